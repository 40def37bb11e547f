/** What must be equal in the databases that took the same load: how many rows each table has, and what stands in every column that the load decides. */

const TABLES = [
  'payment_order',
  'refund',
  'refund_event',
  'outgoing_event',
  'notification',
  'gateway_call',
  'audit_log',
  'webhook_delivery',
  'warning',
];

/** Columns that differ by their nature, fresh ids and times: only whether they are set is compared. */
const OWN = /^(id|source_id|subject_id|request_id|object|at)$|_(at|since|until)$/;
const FRESH_REFUND = ['refund_event', 'outgoing_event', 'notification'];
const OWN_IN_SNAPSHOT = [
  'id',
  'created_at',
  'updated_at',
  'next_attempt_at',
  'in_doubt_since',
  'succeeded_at',
  'paid_at',
  'state_since',
  'first_sent_at',
  'next_query_at',
];

/** What of a column is compared. */
function comparable(table, name) {
  if (name === 'content') return 'length(content)';
  if (name === 'snapshot') return `snapshot - '{${OWN_IN_SNAPSHOT.join(',')}}'::text[]`;
  const own = OWN.test(name) || (name === 'refund_id' && FRESH_REFUND.includes(table));
  return own ? `(${name} IS NULL)` : name;
}

async function digestOf(client, table) {
  const { rows: columns } = await client.query(
    'SELECT column_name AS name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY 1',
    [table],
  );
  const expressions = columns.map(({ name }) => comparable(table, name));
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
