import { jest } from '@jest/globals';
import pg from 'pg';
import { archiveHistory } from '../../../src/commands/archive.js';
import { bookTries } from '../../../src/events/delivery-booking.js';
import { claimDeliveries } from '../../../src/events/delivery-claim.js';
import { fanOut } from '../../../src/events/fan-out.js';
import { RefundReads } from '../../../src/refunds/refund-reads.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { HISTORY_TABLES } from '../../support/history-tables.js';
import { ADMIN, type Merchant, RefundDomain } from '../../support/refund-domain.js';
import { makeEndpoint } from '../events/support.js';

/** Databases by how many finished refunds they hold: a new one of which nothing is known yet, a young one, and one that has grown. */
const SIZES = [0, 1000, 20_000] as const;
const GROWING: readonly string[] = ['payment_order', 'refund', ...HISTORY_TABLES];
/** Walked in its order as far as a LIMIT. */
const WALKED = 'outgoing_event_waiting_idx';

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** A table, or an index of one, is gone through from end to end, however few rows PostgreSQL expects there. */
const isWhole = (node: PlanNode): boolean =>
  node['Node Type'] === 'Seq Scan' ||
  (node['Index Name'] !== undefined && node['Index Name'] !== WALKED && node['Index Cond'] === undefined);

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

const idOf = (letter: string): string => `('0190000000007000${letter}000' || lpad(to_hex(n), 12, '0'))::uuid`;
const ENDPOINT_ID = '01900000-0000-7000-9000-000000000001';
const [ORDER_ID, REFUND_ID, CALL_ID, NOTICE_ID, EVENT_ID, DELIVERY_ID] = ['a', 'b', 'c', 'd', 'e', 'f'].map(idOf);

/** Finished refunds with all that belongs to them. Foreign keys of rows that are made to fit need not be looked up. */
const fillOf = (finished: number): string => `
  SET session_replication_role = replica;
  INSERT INTO payment_order (id, mch_id, appid, out_trade_no, status, amount_fen, paid_fen, refunded_fen, refund_count, source,
    request_digest, paid_at, created_by, created_at, updated_at)
  SELECT ${ORDER_ID}, mch, app, 'plan-' || n, 'paid', 100, 100, 100, 1, 'register', '', now(), 'test', now(), now()
  FROM generate_series(1, ${finished}) n, filled;
  INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, created_by, created_at, updated_at)
  SELECT ${REFUND_ID}, ${ORDER_ID}, mch, app, 'plan-' || n, 100, 'succeeded', now(), 'api', 'test', now(), now()
  FROM generate_series(1, ${finished}) n, filled;
  INSERT INTO refund_event (refund_id, seq, to_state, cause, at)
  SELECT ${REFUND_ID}, 1, 'succeeded', 'request', now() FROM generate_series(1, ${finished}) n;
  INSERT INTO gateway_call (id, mch_id, refund_id, kind, api_version, intent_at)
  SELECT ${CALL_ID}, mch, ${REFUND_ID}, 'refund', 'v2', now() FROM generate_series(1, ${finished}) n, filled;
  INSERT INTO notification (id, mch_id, kind, version, dedupe_key, received_at, last_received_at, status, result, refund_id, order_id,
    kek_id, content)
  SELECT ${NOTICE_ID}, mch, 'refund', 'v2', 'plan-' || n, now(), now(), 'succeeded', 'applied', ${REFUND_ID}, ${ORDER_ID}, 'test', ''
  FROM generate_series(1, ${finished}) n, filled;
  INSERT INTO webhook_endpoint (id, url, events, created_by, created_at, updated_at)
  VALUES ('${ENDPOINT_ID}', 'https://shop.example/', '{*}', 'test', now(), now());
  INSERT INTO outgoing_event (id, type, subject_id, refund_id, order_id, appid, sequence, snapshot, at, fanned_out_at)
  SELECT ${EVENT_ID}, 'refund.succeeded', ${REFUND_ID}, ${REFUND_ID}, ${ORDER_ID}, app, 1, '{}', now(), now()
  FROM generate_series(1, ${finished}) n, filled;
  INSERT INTO webhook_delivery (id, event_id, endpoint_id, subject_id, sequence, state, delivered_at, created_at)
  SELECT ${DELIVERY_ID}, ${EVENT_ID}, '${ENDPOINT_ID}', ${REFUND_ID}, 1, 'delivered', now(), now()
  FROM generate_series(1, ${finished}) n;
  INSERT INTO webhook_attempt
  SELECT gen_random_uuid(), ${DELIVERY_ID}, now(), '2xx', 'under_1s' FROM generate_series(1, ${finished}) n;
  INSERT INTO archive.notification
  SELECT * FROM json_populate_recordset(NULL::archive.notification,
    (SELECT json_agg(to_jsonb(n) || jsonb_build_object('id', gen_random_uuid(), 'dedupe_key', 'old-' || n.id)) FROM notification n));
  SET session_replication_role = origin;
  ANALYZE`;

let domain: RefundDomain;
const databases: TestDatabase[] = [];
const clients = new Map<number, pg.Client>();
/** The statements that the services and their workers sent, by text, each with its last values. */
const sent = new Map<string, unknown[]>();
/** Those sent before the archive, which no new database needs. */
let sentDaily: readonly string[] = [];

beforeAll(async () => {
  domain = await RefundDomain.start();
  const merchant = await domain.merchant();
  for (const size of SIZES) clients.set(size, await filled(size, merchant));
  const query = pg.Client.prototype.query as (...all: unknown[]) => unknown;
  const spy = jest.spyOn(pg.Client.prototype, 'query').mockImplementation(function (this: unknown, ...all: unknown[]) {
    const [config, values] = all as [unknown, unknown];
    const text = typeof config === 'string' ? config : (config as { text?: string }).text;
    if (text !== undefined && Array.isArray(values)) sent.set(text, values as unknown[]);
    return query.apply(this, all);
  });
  const order = await domain.order(merchant);
  const refund = await domain.refund(order);
  await domain.service.requestRefund(ADMIN, {
    out_trade_no: order.outTradeNo,
    amount: 100,
    out_refund_no: 'by-number',
  });
  await domain.show(refund, { status: 'accepted' });
  domain.work();
  await domain.until(refund, 'accepted');
  await domain.notice(refund, { status: 'succeeded' });
  const asked = await domain.refund(await domain.order(merchant));
  await domain.until(asked, 'accepted');
  await domain.show(asked, { status: 'succeeded' });
  await domain.sql('UPDATE refund SET next_query_at = tuikuan_now() WHERE id = $1', [asked.uuid]);
  await domain.until(asked, 'succeeded');
  await new RefundReads(domain.database.uow).get(ADMIN, refund.id);
  await domain.sql(
    `UPDATE merchant_rate SET paused_at = tuikuan_now(), pause_reason = 'configuration', next_probe_at = tuikuan_now(),
       probe_refund_id = $2 WHERE mch_id = $1`,
    [merchant.mchId, asked.uuid],
  );
  expect(await domain.eventually(() => [...sent.keys()].some((text) => text.includes('AS awaits')))).toBe(true);
  await told();
  sentDaily = [...sent.keys()];
  await domain.forward(500 * 86_400);
  expect(await archiveHistory(domain.database.uow, 400)).toMatchObject({ webhook_attempt: 1 });
  spy.mockRestore();
});
afterAll(async () => {
  await domain.close();
  for (const client of clients.values()) await client.end();
  for (const database of databases) await database.close();
});

/** One event gets to its receiver. */
async function told(): Promise<void> {
  const { uow } = domain.database;
  await makeEndpoint(domain.database, { events: ['refund.succeeded'] });
  await fanOut(uow);
  const claimed = await claimDeliveries(uow, 1);
  const end = {
    verdict: 'delivered',
    wait_seconds: null,
    hold_seconds: 0,
    result: '2xx',
    latency: 'under_1s',
  } as const;
  await bookTries(
    uow,
    claimed.map((one) => ({ ...one, ...end, at: one.claimed_at })),
  );
}

async function filled(size: number, { mchId, appid }: Merchant): Promise<pg.Client> {
  const database = await createTestDatabase(1);
  databases.push(database);
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  if (size === 0) return client;
  await client.query('SET statement_timeout = 0');
  await client.query(`CREATE TEMP TABLE filled AS SELECT '${mchId}' AS mch, '${appid}' AS app`);
  await client.query(fillOf(size));
  return client;
}

async function planOf(client: pg.Client, text: string, values: readonly unknown[] | null): Promise<PlanNode[]> {
  const explain = `EXPLAIN (FORMAT JSON${values ? '' : ', GENERIC_PLAN'}) ${text}`;
  const { rows } = await client.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>(
    explain,
    values ? [...values] : undefined,
  );
  return nodesOf(rows[0]?.['QUERY PLAN'][0]?.Plan as PlanNode);
}

/** A statement of the service by a part of it that no other has, and the indexes it cannot do without. */
const HOT: readonly (readonly [string, RegExp, readonly string[]])[] = [
  [
    'the order of a wish',
    /CROSS JOIN LATERAL \(\s*SELECT id, mch_id, appid FROM payment_order/,
    ['payment_order_pkey'],
  ],
  ['the intake', /INSERT INTO refund \(id, order_id/, ['payment_order_pkey', 'refund_out_refund_no_key']],
  ['the claim', /e\.order_id = r\.order_id AND e\.id < r\.id/, ['refund_due_idx']],
  ['the claim of one refund', /AND r\.id = \$6/, ['refund_pkey']],
  [
    'the look at a notice',
    /d\.id AS earlier/,
    ['notification_dedupe_key', 'notification_mch_id_kind_dedupe_key_key', 'refund_out_refund_no_key'],
  ],
  ['the lock of the ledger', /WITH o AS MATERIALIZED/, ['payment_order_pkey']],
  ['the booking of the ledger', /counted AS/, ['refund_pkey', 'payment_order_pkey']],
  ['the end of calls', /UPDATE gateway_call g SET done_at/, ['gateway_call_pkey']],
  ['GET of a refund', /WHERE r\.id = ANY\(\$1::uuid\[\]\)$/, ['refund_pkey', 'payment_order_pkey']],
];

describe.each(SIZES)('beside %d finished refunds', (size) => {
  it('no statement goes through a table or an index from end to end', async () => {
    const whole: [string, string | undefined][] = [];
    for (const text of size === 0 ? sentDaily : sent.keys()) {
      const values = sent.get(text) ?? [];
      for (const given of values.length === 0 ? [values] : [values, null]) {
        const nodes = await planOf(clients.get(size) as pg.Client, text, given);
        const growing = nodes.filter(({ 'Relation Name': table = '' }) => GROWING.includes(table));
        whole.push(...growing.filter(isWhole).map((node): [string, string | undefined] => [text, node['Index Name']]));
      }
    }
    expect(sent.size).toBeGreaterThan(45);
    expect(whole).toEqual([]);
  });

  it.each(HOT)('%s goes through indexes, with a plan for its values and with one for all', async (_, part, indexes) => {
    const found = [...sent].filter(([text]) => part.test(text));
    expect(found).toHaveLength(1);
    for (const [text, values] of found) {
      for (const given of [values, null]) {
        const nodes = await planOf(clients.get(size) as pg.Client, text, given);
        // Of a new database nothing tells PostgreSQL yet which of two indexes is the narrower one.
        const wanted = size === 0 ? indexes.filter((index) => index.endsWith('_pkey')) : indexes;
        expect(nodes.map((node) => node['Index Name'])).toEqual(expect.arrayContaining(wanted));
      }
    }
  });
});
