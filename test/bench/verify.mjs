/** What must be equal in the databases that took the same load: how many rows each table has, and what stands in every column that the load decides. */

const TABLES = [
  'payment_order',
  'refund',
  'refund_event',
  'outgoing_event',
  'notification',
  'gateway_call',
  'webhook_delivery',
  'warning',
];

/** Columns that differ by their nature: fresh ids, times, and contents sealed under fresh keys. `at` of a set column still counts as set. */
const OWN = /(^id|^source_id|_id|_at|_since|_until|^at|^content|^snapshot)$/;

async function digestOf(client, table) {
  const { rows: columns } = await client.query(
    'SELECT column_name AS name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY 1',
    [table],
  );
  const expressions = columns.map(({ name }) => {
    if (table === 'notification' && name === 'content') return 'length(content)';
    if (name === 'snapshot')
      return '(SELECT string_agg(key, chr(44) ORDER BY key) FROM jsonb_object_keys(snapshot) AS key)';
    return OWN.test(name) ? `(${name} IS NULL)` : name;
  });
  const { rows } = await client.query(
    `SELECT count(*)::int AS count, md5(coalesce(string_agg(line, E'\\n' ORDER BY line), '')) AS digest
     FROM (SELECT ROW(${expressions.join(', ')})::text AS line FROM ${table}) lines`,
  );
  return rows[0];
}

/** Compares the sides table by table; the differences in words. */
export async function verify(stage, sides) {
  const found = [];
  for (const { database } of sides) {
    found.push(
      await stage.sql(database, async (client) =>
        Object.fromEntries(await inOrder(TABLES, async (table) => [table, await digestOf(client, table)])),
      ),
    );
  }
  const differences = [];
  for (const table of TABLES) {
    found.forEach((tables, place) => {
      for (const figure of ['count', 'digest']) {
        if (tables[table][figure] === found[0][table][figure]) continue;
        differences.push(
          `${table}: ${figure} of ${sides[place].name} is ${tables[table][figure]}, of ${sides[0].name} ${found[0][table][figure]}`,
        );
      }
    });
  }
  return { compared: TABLES.length * 2, differences };
}

async function inOrder(items, work) {
  const results = [];
  for (const item of items) results.push(await work(item));
  return results;
}
