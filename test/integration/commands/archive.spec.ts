import { HISTORY_TABLES as TABLES } from '../../support/history-tables.js';
import pg from 'pg';
import { archiveHistory } from '../../../src/commands/archive.js';
import { checkInvariants } from '../../../src/commands/invariants/check-invariants.js';
import { migrateDown } from '../../../src/database/migrations.js';
import { ADMIN, type Order, type Refund, RefundDomain } from '../../support/refund-domain.js';

let domain: RefundDomain;
beforeEach(async () => {
  domain = await RefundDomain.start();
});
afterEach(() => domain.close());

const DAYS = 400;
/** A refund that was withdrawn, with a call, a notice and a delivery that was tried. */
async function atRest(): Promise<Refund> {
  const merchant = await domain.merchant();
  const refund = await domain.refund(await domain.order(merchant));
  await domain.actions.cancel(ADMIN, refund.id, undefined);
  const { order } = refund;
  await domain.sql(
    `WITH c AS (SELECT tuikuan_now() AS now),
     called AS (INSERT INTO gateway_call (id, mch_id, refund_id, order_id, kind, api_version, intent_at)
       SELECT uuid7(c.now), $1, r, $2, k, 'v2', c.now FROM c, (VALUES ($3::uuid, 'refund_query'), (NULL, 'order_query')) AS v(r, k)),
     noticed AS (INSERT INTO notification (id, mch_id, kind, version, dedupe_key, received_at, last_received_at, status, result,
         refund_id, order_id, kek_id, content)
       SELECT uuid7(c.now), $1, 'refund', 'v2', 'k' || $3, c.now, c.now, 'CLOSED', 'repeat', $3, $2, 'k', '\\x01' FROM c),
     endpoint AS (INSERT INTO webhook_endpoint (id, url, events, created_by, created_at, updated_at)
       SELECT uuid7(c.now), 'https://shop.example/', '{*}', 'test', c.now, c.now FROM c RETURNING id),
     sent AS (INSERT INTO webhook_delivery (id, event_id, endpoint_id, subject_id, sequence, state, delivered_at, created_at)
       SELECT uuid7(c.now), v.id, e.id, v.subject_id, v.sequence, 'delivered', c.now, c.now
       FROM outgoing_event v, endpoint e, c WHERE v.subject_id = $3 RETURNING id),
     told AS (UPDATE outgoing_event v SET fanned_out_at = c.now FROM c WHERE v.subject_id = $3)
     INSERT INTO webhook_attempt SELECT uuid7(c.now), s.id, c.now, '2xx', 'under_1s' FROM sent s, c`,
    [order.mchId, order.id, refund.uuid],
  );
  return refund;
}

const run = (): ReturnType<typeof archiveHistory> => archiveHistory(domain.database.uow, DAYS);

async function rowsOf(schema: 'public' | 'archive' | 'with_archive'): Promise<Record<string, unknown[]>> {
  const all = await Promise.all(
    TABLES.map(async (table) => [table, await domain.sql(`SELECT * FROM ${schema}.${table} ORDER BY 1, 2`)] as const),
  );
  return Object.fromEntries(all);
}

const NONE = Object.fromEntries(TABLES.map((table) => [table, []]));

it('every row of an order at rest is moved as it is, and a migration that is taken back brings it all back', async () => {
  await atRest();
  const before = await rowsOf('public');
  for (const table of TABLES) expect([table, before[table]?.length]).not.toEqual([table, 0]);
  await domain.forward(DAYS * 86_400 + 60);
  expect(await run()).toEqual({
    orders: 1,
    ...Object.fromEntries(TABLES.map((table) => [table, before[table]?.length])),
  });
  expect(await rowsOf('public')).toEqual(NONE);
  expect(await rowsOf('archive')).toEqual(before);
  expect(await rowsOf('with_archive')).toEqual(before);
  expect(await migrateDown(domain.database.url)).toBe('0007-archive');
  expect(await rowsOf('public')).toEqual(before);
});

it('a notice under a key that is gone is found in the archive too, and once', async () => {
  await atRest();
  await domain.forward(DAYS * 86_400 + 60);
  await run();
  const { findings } = await checkInvariants(domain.database.url, { kids: ['test'] });
  const found = findings.filter(({ name }) => name.startsWith('I29')).flatMap(({ rows }) => rows);
  expect(found).toEqual([{ of: 'notification', kek_id: 'k', texts: 1 }]);
});

const OF_DELIVERY = 'event_id IN (SELECT id FROM outgoing_event WHERE order_id = $1)';
const OPEN: readonly (readonly [why: string, sql: string])[] = [
  ['a refund is not final', `UPDATE refund SET state = 'blocked'`],
  ['a refund is to be asked about', 'UPDATE refund SET next_query_at = tuikuan_now()'],
  ['somebody works on a refund', `UPDATE refund SET lease_token = id, lease_until = tuikuan_now()`],
  ['a refund changed since', 'UPDATE refund SET updated_at = tuikuan_now()'],
  ['the order changed since', 'UPDATE payment_order SET updated_at = tuikuan_now()'],
  ['the order is to be asked about', 'UPDATE payment_order SET next_query_at = tuikuan_now()'],
  ['the refunds of the order are to be listed', 'UPDATE payment_order SET refunds_query_at = tuikuan_now()'],
  ['a notice waits', `UPDATE notification SET result = 'waiting_for_query'`],
  ['a notice is to be confirmed', 'UPDATE notification SET next_query_at = tuikuan_now()'],
  ['a notice came since', 'UPDATE notification SET last_received_at = tuikuan_now()'],
  [
    'something is to be told',
    `UPDATE webhook_delivery SET state = 'pending', delivered_at = NULL, next_attempt_at = tuikuan_now()`,
  ],
];

it.each(OPEN)('an order stays where it is while %s', async (_why, sql) => {
  await atRest();
  const { order } = await atRest();
  await domain.forward(DAYS * 86_400 + 60);
  const whose = sql.includes('payment_order')
    ? 'id = $1'
    : sql.includes('webhook_delivery')
      ? OF_DELIVERY
      : 'order_id = $1';
  await domain.sql(`${sql} WHERE ${whose}`, [order.id]);
  expect(await run()).toMatchObject({ orders: 1 });
  expect(await domain.sql('SELECT DISTINCT order_id FROM outgoing_event')).toEqual([{ order_id: order.id }]);
});

it('an event that no worker has looked at stays, with its order', async () => {
  const refund = await domain.refund(await domain.order(await domain.merchant()));
  await domain.sql(`UPDATE refund SET state = 'canceled', next_attempt_at = NULL WHERE id = $1`, [refund.uuid]);
  await domain.forward(DAYS * 86_400 + 60);
  expect(await run()).toMatchObject({ orders: 0 });
});

it('what is younger stays', async () => {
  await atRest();
  await domain.forward((DAYS - 1) * 86_400);
  expect(await run()).toMatchObject({ orders: 0, refund_event: 0 });
});

async function holding<T>(order: Order, work: () => Promise<T>): Promise<T> {
  const other = new pg.Client({ connectionString: domain.database.url });
  await other.connect();
  try {
    await other.query('BEGIN');
    await other.query('SELECT 1 FROM payment_order WHERE id = $1 FOR NO KEY UPDATE', [order.id]);
    return await work();
  } finally {
    await other.end();
  }
}

it('an order that somebody works on is left for the next run', async () => {
  const { order } = await atRest();
  await domain.forward(DAYS * 86_400 + 60);
  expect(await holding(order, run)).toMatchObject({ orders: 0 });
  expect(await run()).toMatchObject({ orders: 1 });
});

describe('the schema', () => {
  const SECOND_LATER = (column: string): string => `${column} = ${column} + interval '1 second'`;
  it.each([
    ['refund_event', SECOND_LATER('at'), []],
    ['gateway_call', SECOND_LATER('intent_at'), []],
    ['notification', SECOND_LATER('received_at'), []],
    ['webhook_attempt', SECOND_LATER('at'), []],
    ['webhook_delivery', SECOND_LATER('created_at'), ['webhook_attempt']],
    ['outgoing_event', SECOND_LATER('at'), ['webhook_attempt', 'webhook_delivery']],
  ])('lets no row of %s go that the archive does not have as it is', async (table, change, first) => {
    const copy = (of: string): Promise<unknown> => domain.sql(`INSERT INTO archive.${of} SELECT * FROM ${of}`);
    await atRest();
    for (const child of first) {
      await copy(child);
      await domain.sql(`DELETE FROM ${child}`);
    }
    const rows = await rowsOf('public');
    await expect(domain.sql(`DELETE FROM ${table}`)).rejects.toThrow('append-only');
    await copy(table);
    await domain.sql(`ALTER TABLE archive.${table} DISABLE TRIGGER USER`);
    await domain.sql(`UPDATE archive.${table} SET ${change}`);
    await expect(domain.sql(`DELETE FROM ${table}`)).rejects.toThrow('append-only');
    expect(await rowsOf('public')).toEqual(rows);
  });

  it('lets nobody change what stands in the archive, but for the key of a sealed text and the count of a notice', async () => {
    await atRest();
    await domain.forward(DAYS * 86_400 + 60);
    await run();
    const kept = await rowsOf('archive');
    for (const table of TABLES) {
      await expect(domain.sql(`DELETE FROM archive.${table}`)).rejects.toThrow('append-only');
      const column = table === 'refund_event' ? 'seq = 9' : `id = '00000000-0000-0000-0000-000000000000'`;
      await expect(domain.sql(`UPDATE archive.${table} SET ${column}`)).rejects.toThrow('append-only');
    }
    expect(await rowsOf('archive')).toEqual(kept);
    await domain.sql(
      `UPDATE archive.notification SET kek_id = 'next', content = '\\x02', deliveries = 2, last_received_at = received_at`,
    );
  });

  it('has the same columns in the same order in table, archive and view', async () => {
    const columns = (schema: string): Promise<unknown[]> =>
      domain.sql(
        `SELECT table_name, column_name, data_type FROM information_schema.columns
         WHERE table_schema = $1 AND table_name = ANY($2) ORDER BY table_name, ordinal_position`,
        [schema, TABLES],
      );
    const hot = await columns('public');
    expect(hot.length).toBeGreaterThan(60);
    expect(await columns('archive')).toEqual(hot);
    expect(await columns('with_archive')).toEqual(hot);
  });
});
