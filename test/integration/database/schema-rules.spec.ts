import { constraintOf } from '../../../src/database/unit-of-work.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const ORDER = '01900000-0000-7000-8000-00000000000a';
const REFUND = '01900000-0000-7000-8000-00000000000b';
const OTHER = '01900000-0000-7000-8000-00000000000c';
/** Paid like ORDER, but nothing of it was refunded yet. */
const UNTOUCHED = '01900000-0000-7000-8000-00000000000d';

const SEED_SQL = `
  INSERT INTO merchant VALUES ('10000001', 'one', true, 'v3', 'MD5', 'confirm', 'token', now(), now()),
    ('10000002', 'two', true, 'v3', 'MD5', 'confirm', 'token 2', now(), now());
  INSERT INTO merchant_rate (mch_id, next_slot_at, rate_per_second, rate_changed_at, next_query_slot_at)
    VALUES ('10000001', now(), 30, now(), now());
  INSERT INTO mini_program VALUES ('wx1', 'app', now(), now()), ('wx2', 'app', now(), now());
  INSERT INTO payment_order (id, mch_id, appid, out_trade_no, transaction_id, status, amount_fen, paid_fen, paid_at, source,
      request_digest, created_by, created_at, updated_at)
    VALUES ('${ORDER}', '10000001', 'wx1', 'order-1', '4200', 'paid', 100, 100, now(), 'prepay', '', 'key', now(), now()),
      ('${UNTOUCHED}', '10000001', 'wx1', 'order-0', '4199', 'paid', 100, 100, now(), 'prepay', '', 'key', now(), now());
  INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, idempotency_key,
      request_digest, created_by, created_at, updated_at)
    VALUES ('${REFUND}', '${ORDER}', '10000001', 'wx1', 'refund-1', 10, 'queued', now(), 'api', 'key-1', 'digest', 'key', now(), now());
  INSERT INTO refund_event VALUES ('${REFUND}', 1, NULL, 'queued', 'request', NULL, NULL, NULL, '{}', now());
  INSERT INTO notification (id, mch_id, kind, version, dedupe_key, received_at, last_received_at, status, result, kek_id, content)
    VALUES ('${OTHER}', '10000001', 'refund', 'v3', 'envelope', now(), now(), 'SUCCESS', 'applied', 'k', '');`;

/** A second row like the first, with other values where `changes` says so. */
function copy(table: string, id: string, changes: Record<string, string>): string {
  const record = JSON.stringify({ id: OTHER, ...changes }).replaceAll("'", "''");
  return `INSERT INTO ${table} SELECT (jsonb_populate_record(t, '${record}')).* FROM ${table} t WHERE t.id = '${id}'`;
}

const order = (assignment: string): string => `UPDATE payment_order SET ${assignment} WHERE id = '${ORDER}'`;
const untouchedOrder = (assignment: string): string => order(assignment).replace(ORDER, UNTOUCHED);
const refund = (assignment: string): string => `UPDATE refund SET ${assignment} WHERE id = '${REFUND}'`;
const order2 = (changes: Record<string, string>): string =>
  copy('payment_order', ORDER, { out_trade_no: 'order-2', transaction_id: '4201', ...changes });
const refund2 = (changes: Record<string, string>): string =>
  copy('refund', REFUND, { out_refund_no: 'refund-2', idempotency_key: 'key-2', ...changes });

type Rule = readonly [guarantee: string, constraint: string, ...forbidden: string[]];

const CHECKS: readonly Rule[] = [
  ['reserved money is never negative', 'payment_order_money_check', order('reserved_fen = -1')],
  ['refunded money is never negative', 'payment_order_money_check', order('refunded_fen = -1')],
  ['money moved outside is never negative', 'payment_order_money_check', order('outside_fen = -1')],
  [
    'paid money is never negative',
    'payment_order_money_check',
    untouchedOrder("paid_fen = -1, status = 'created', paid_at = NULL"),
  ],
  [
    'reserved and refunded money is never more than was paid',
    'payment_order_money_check',
    order('reserved_fen = 60, refunded_fen = 41'),
  ],
  ['an order has at most 50 refunds', 'payment_order_refund_count_check', order('refund_count = 51')],
  ['the number of refunds is never negative', 'payment_order_refund_count_check', order('refund_count = -1')],
  ['an order is for at least one fen', 'payment_order_amount_check', order2({ amount_fen: '0' })],
  [
    'an order is for at most ten thousand million yuan',
    'payment_order_amount_check',
    order2({ amount_fen: '1000000000001' }),
  ],
  [
    'a paid order has a time and an amount of payment',
    'payment_order_paid_check',
    order('paid_at = NULL'),
    untouchedOrder('paid_fen = 0'),
  ],
  ['an order that is not paid has neither', 'payment_order_paid_check', order("status = 'closed'")],
  [
    'a refund is for at least one fen',
    'refund_amount_check',
    refund2({ amount_fen: '0' }),
    refund2({ amount_fen: '-1' }),
  ],
  [
    'a refund is for at most ten thousand million yuan',
    'refund_amount_check',
    refund2({ amount_fen: '1000000000001' }),
  ],
  ['a refund has a state of the table only', 'refund_state_check', refund("state = 'failed'")],
  ['a refund comes from the API or from outside', 'refund_source_check', refund("source = 'import'")],
  [
    'a refund in doubt is never released',
    'refund_doubt_check',
    ...['rejected', 'canceled'].map((state) => refund(`state = '${state}', in_doubt_since = now()`)),
  ],
  [
    'a lease has a token and an end, or neither',
    'refund_lease_check',
    refund('lease_until = now()'),
    refund('lease_token = id'),
  ],
  [
    'only a refund that waits for its turn has a turn',
    'refund_attempt_check',
    refund("state = 'accepted', next_attempt_at = now()"),
  ],
  [
    'a refund number has 1 to 64 characters that WeChat takes',
    'refund_out_refund_no_check',
    refund2({ out_refund_no: '' }),
    refund2({ out_refund_no: 'x'.repeat(65) }),
    refund2({ out_refund_no: 'a b' }),
  ],
  [
    'an order number has 6 to 32 characters that WeChat takes',
    'payment_order_out_trade_no_check',
    order2({ out_trade_no: 'short' }),
    order2({ out_trade_no: 'x'.repeat(33) }),
  ],
  ['a merchant speaks v2 or v3', 'merchant_api_version_check', "UPDATE merchant SET api_version = 'v4'"],
  ['a pause has a reason', 'merchant_rate_pause_check', 'UPDATE merchant_rate SET paused_at = now()'],
];

const KEYS: readonly Rule[] = [
  ['a merchant has a refund number once', 'refund_out_refund_no_key', refund2({ out_refund_no: 'refund-1' })],
  ['a merchant has an order number once', 'payment_order_out_trade_no_key', order2({ out_trade_no: 'order-1' })],
  ['a merchant has a transaction once', 'payment_order_transaction_id_key', order2({ transaction_id: '4200' })],
  [
    'an app of a merchant has an idempotency key once',
    'refund_idempotency_key_key',
    refund2({ idempotency_key: 'key-1' }),
  ],
  [
    'a closed refund is replaced once',
    'refund_replaces_key',
    `${refund2({ replaces: REFUND })}; ${refund2({ id: ORDER, out_refund_no: 'refund-3', idempotency_key: 'key-3', replaces: REFUND })}`,
  ],
  ['a notification is kept once', 'notification_dedupe_key', copy('notification', OTHER, { id: ORDER })],
  [
    'an event of a refund has a number of its own',
    'refund_event_pkey',
    'INSERT INTO refund_event SELECT * FROM refund_event',
  ],
  ['a refund belongs to an order that exists', 'refund_order_id_fkey', refund2({ order_id: OTHER })],
];

const FROZEN: readonly (readonly [guarantee: string, text: string, ...forbidden: string[]])[] = [
  ['a refund’s number never changes', 'is frozen', refund("out_refund_no = 'other'")],
  ['a refund’s amount never changes', 'is frozen', refund('amount_fen = 11')],
  ['a refund never moves to another order', 'is frozen', refund(`order_id = '${OTHER}'`)],
  [
    'a refund’s request digest never changes',
    'is frozen',
    refund("request_digest = 'other'"),
    refund('request_digest = NULL'),
  ],
  [
    'a refund’s merchant, app and id never change',
    'is frozen',
    refund("mch_id = '10000002'"),
    refund("appid = 'wx2'"),
    refund(`id = '${OTHER}'`),
  ],
  [
    'a refund’s protocol never changes once it is set',
    'is frozen',
    `${refund("api_version = 'v2'")}; ${refund("api_version = 'v3'")}`,
    `${refund("api_version = 'v2'")}; ${refund('api_version = NULL')}`,
  ],
  ['an order’s number never changes', 'is frozen', order("out_trade_no = 'order-9'")],
  ['an order’s merchant and app never change', 'is frozen', order("mch_id = '10000002'"), order("appid = 'wx2'")],
  ['a paid amount never changes once the order has a refund', 'is frozen', order('paid_fen = 90')],
  ['events are never updated', 'append-only', "UPDATE refund_event SET to_state = 'succeeded'"],
  ['events are never deleted', 'append-only', 'DELETE FROM refund_event'],
  ['events are never truncated', 'append-only', 'TRUNCATE refund_event'],
];

const ALLOWED: readonly (readonly [guarantee: string, statement: string])[] = [
  ['two merchants may have the same order number', order2({ out_trade_no: 'order-1', mch_id: '10000002' })],
  ['two apps may have the same idempotency key', refund2({ idempotency_key: 'key-1', appid: 'wx2' })],
  [
    'any number of refunds may have no idempotency key',
    `${refund2({ idempotency_key: null as never })}; ${refund2({ id: ORDER, out_refund_no: 'refund-3', idempotency_key: null as never })}`,
  ],
  ['money moved outside may go beyond what was paid: a fact is never refused', order('outside_fen = 1000')],
  ['a refund’s protocol is set once', refund("api_version = 'v2'")],
  ['a paid amount may be put right while there is no refund', untouchedOrder('paid_fen = 90')],
  ['a whole order may be refunded in 50 refunds', order('refunded_fen = 100, refund_count = 50')],
];

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.dataSource.query(SEED_SQL);
});
afterAll(() => database.close());

/** Runs the statements and takes them back; the error, if there was one. */
async function outcomeOf(sql: string): Promise<unknown> {
  const runner = database.dataSource.createQueryRunner();
  await runner.startTransaction();
  try {
    await runner.query(sql);
    return null;
  } catch (error) {
    return error;
  } finally {
    await runner.rollbackTransaction();
    await runner.release();
  }
}

describe('the schema refuses by itself', () => {
  it.each([...CHECKS, ...KEYS])('%s', async (_guarantee, constraint, ...forbidden) => {
    for (const sql of forbidden) expect([sql, constraintOf(await outcomeOf(sql))]).toEqual([sql, constraint]);
  });

  it.each(FROZEN)('%s', async (_guarantee, text, ...forbidden) => {
    for (const sql of forbidden) {
      expect(await outcomeOf(sql)).toMatchObject({
        driverError: { code: '23001' },
        message: expect.stringContaining(text) as string,
      });
    }
  });
});

describe('the schema allows', () => {
  it.each(ALLOWED)('%s', async (_guarantee, statement) => {
    expect(await outcomeOf(statement)).toBeNull();
  });
});

it('every CHECK and unique key of orders, refunds and events has a test here', async () => {
  const rows = await database.uow.query<{ name: string }>(
    `SELECT conname AS name FROM pg_constraint WHERE contype IN ('c', 'u')
     AND conrelid IN ('payment_order'::regclass, 'refund'::regclass, 'notification'::regclass)`,
    [],
  );
  const tested = new Set([...CHECKS, ...KEYS].map(([, constraint]) => constraint));
  const literalLists = /_(status|source|api_version|kind|version|result)_check$/;
  expect(rows.map(({ name }) => name).filter((name) => !tested.has(name) && !literalLists.test(name))).toEqual([]);
});
