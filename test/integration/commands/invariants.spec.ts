import pg from 'pg';
import { AGAINST_WECHAT, SETTLED_WITH_WECHAT } from '../../../src/commands/invariants/against-wechat.js';
import { ALWAYS } from '../../../src/commands/invariants/check-invariants.js';
import { findingsOf } from '../../../src/commands/invariants/invariant.js';
import { PUNCTUALITY, SETTLED } from '../../../src/commands/invariants/liveness.js';
import { sealedUnder } from '../../../src/commands/invariants/secrets.js';
import {
  fillLedgerTables,
  makeLedgerTables,
  type WechatLedger,
} from '../../../src/commands/invariants/wechat-ledger.js';
import { RefundDomain } from '../../support/refund-domain.js';

const EVERY = [...ALWAYS, ...PUNCTUALITY, ...SETTLED, sealedUnder(['test']), ...AGAINST_WECHAT, ...SETTLED_WITH_WECHAT];

let domain: RefundDomain;
let client: pg.Client;
/** The refund of a whole history: asked for, sent, accepted, told of by a notice, asked about, succeeded. */
let refundId: string;

const read = async (sql: string): Promise<Record<string, unknown>[]> =>
  (await client.query<Record<string, unknown>>(sql)).rows;

/** False when the send missed its slot, as on a machine that stands still for a moment, and went again: as good, but longer than is told here. */
async function live(): Promise<boolean> {
  domain = await RefundDomain.start();
  domain.work();
  const merchant = await domain.merchant();
  const order = await domain.order(merchant, 1000);
  const refund = await domain.refund(order, 300);
  refundId = refund.uuid;
  await domain.until(refund, 'accepted');
  await domain.show(refund, { status: 'succeeded' });
  await domain.notice(refund, { status: 'succeeded' });
  await domain.until(refund, 'succeeded');
  const states = (await domain.events(refund)).map(({ to_state: to }) => to);
  const missed = states[2] === 'queued';
  if (missed) await domain.close();
  return !missed;
}

beforeAll(async () => {
  let lived = false;
  while (!lived) lived = await live();
  client = new pg.Client({ connectionString: domain.database.url });
  await client.connect();
  await makeLedgerTables(read);
  await client.query('UPDATE outgoing_event SET fanned_out_at = at');
  await fillLedgerTables((sql, parameters) => client.query(sql, [...parameters]), await ledgerOfAll());
});
afterAll(async () => {
  await client.end();
  await domain.close();
});

/** What a WeChat without a fault has written down of all that is in the database. */
async function ledgerOfAll(): Promise<WechatLedger> {
  const refunds = await read(
    `SELECT r.mch_id, r.out_refund_no, o.out_trade_no, r.amount_fen, 'SUCCESS' AS state, 'API' AS source, now() AS at
     FROM refund r JOIN payment_order o ON o.id = r.order_id`,
  );
  return {
    accepted: refunds,
    refunds,
    requests: await read(
      `SELECT 1 AS id, c.kind AS call, c.mch_id, c.mch_id AS cert_mch_id, replace(c.id::text, '-', '') AS attempt_id,
         r.out_refund_no, 'digest' AS param_digest, now() AS received_at, 1000 AS received_ms, false AS failing
       FROM gateway_call c JOIN refund r ON r.id = c.refund_id WHERE c.kind = 'refund'`,
    ),
    orders: await read('SELECT mch_id, out_trade_no, paid_fen AS total FROM payment_order'),
    acks: refunds.map((row) => ({ ...row, kind: 'refund', ok: true })),
    violations: [],
  };
}

/** The invariants broken by these statements, which leave nothing behind. Triggers, foreign keys and checks are out of the way. */
async function brokenBy(...statements: readonly string[]): Promise<string[]> {
  await client.query('BEGIN');
  try {
    await client.query('SET LOCAL session_replication_role = replica');
    for (const statement of statements) await client.query(statement.replaceAll('$refund', `'${refundId}'`));
    return (await findingsOf(read, EVERY)).map(({ name }) => name);
  } finally {
    await client.query('ROLLBACK');
  }
}

const refund = (assignment: string): string => `UPDATE refund SET ${assignment} WHERE id = $refund`;
const order = (assignment: string): string =>
  `UPDATE payment_order SET ${assignment} WHERE reserved_fen + refunded_fen > 0`;
const event = (seq: number, assignment: string): string =>
  `UPDATE refund_event SET ${assignment} WHERE refund_id = $refund AND seq = ${seq}`;
const unchecked = (table: string, constraint: string): string => `ALTER TABLE ${table} DROP CONSTRAINT ${constraint}`;
const again = (table: string, change: string): string =>
  `INSERT INTO ${table} SELECT (jsonb_populate_record(t, '${change}')).* FROM ${table} t LIMIT 1`;
/** As many requests of the merchant as said, `gapMs` apart. */
const requests = (count: number, gapMs: number, failing = false): string =>
  `INSERT INTO sim_request (id, call, mch_id, cert_mch_id, attempt_id, out_refund_no, param_digest, received_at, received_ms, failing)
   SELECT n, 'refund', mch_id, mch_id, attempt_id, out_refund_no, param_digest, now(), 9000 + n * ${gapMs}, ${failing}
   FROM sim_request, generate_series(1, ${count}) n`;

/** Each invariant, by its number, with statements after which it does not hold any more. */
const VIOLATIONS: Readonly<Record<string, readonly string[]>> = {
  I01: [order('paid_fen = 299'.concat(', reserved_fen = 0, refunded_fen = 0'))],
  I02: [order('refunded_fen = refunded_fen - 1')],
  I02b: [order('outside_fen = 1')],
  I02c: [refund("booked_outside = true, state = 'closed'")],
  I03: [
    `INSERT INTO refund SELECT (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid(), 'out_refund_no', 'N' || n))).*
     FROM refund r, generate_series(1, 50) n WHERE r.id = $refund`,
  ],
  I04: [refund('amount_fen = 1001')],
  I05: [order("paid_at = paid_at - interval '366 days'")],
  I12: [refund("state = 'accepted'")],
  I13: [refund("state = 'accepted', next_query_at = NULL")],
  I13b: [refund("state = 'blocked', failure_code = NULL")],
  I14: [refund("state = 'submitting', lease_token = id, lease_until = now() - interval '3 minutes'")],
  I15: ["UPDATE notification SET result = 'waiting_for_query', next_query_at = NULL"],
  I15b: ["UPDATE outgoing_event SET fanned_out_at = NULL, at = now() - interval '6 minutes'"],
  I15c: ['UPDATE outgoing_event SET fanned_out_at = NULL'],
  I16: [event(2, 'seq = 9')],
  I16b: [refund('version = version + 1')],
  I17: [event(3, "from_state = 'blocked'")],
  I18: [event(4, "to_state = 'blocked'")],
  I19: [event(3, "from_state = 'succeeded'")],
  I20: ['DELETE FROM gateway_call'],
  I24: [
    unchecked('notification', 'notification_dedupe_key'),
    again('notification', '{"id": "01900000-0000-7000-8000-00000000000a"}'),
  ],
  I24b: [
    event(2, "cause = 'notice', source_id = (SELECT id FROM notification)"),
    event(3, "cause = 'notice', source_id = (SELECT id FROM notification)"),
  ],
  I25: [
    event(4, "cause = 'notice', source_id = (SELECT id FROM notification)"),
    "UPDATE merchant SET updated_at = updated_at - interval '1 minute'",
  ],
  I26: ["DELETE FROM outgoing_event WHERE type = 'refund.succeeded'"],
  I26b: ["DELETE FROM outgoing_event WHERE type = 'refund.created'"],
  I27: [refund("appid = 'wx-other'")],
  I29: ["UPDATE notification SET kek_id = 'gone'"],
  I06: ['INSERT INTO sim_accepted SELECT * FROM sim_accepted'],
  I07: [
    'INSERT INTO sim_request SELECT * FROM sim_request',
    "UPDATE sim_request SET param_digest = 'other' WHERE ctid = (SELECT max(ctid) FROM sim_request)",
  ],
  I08: [refund('amount_fen = 299')],
  I09: ["UPDATE sim_refund SET state = 'PROCESSING'"],
  I10: ['UPDATE sim_order SET total = 299'],
  I11: ["UPDATE gateway_call SET intent_at = now() + interval '5 seconds'"],
  I23: ['INSERT INTO sim_ack SELECT * FROM sim_ack'],
  I28: ["UPDATE sim_request SET cert_mch_id = '1900000000'"],
  I30: [requests(151, 6)],
  I30b: [requests(40, 100, true)],
  I31: ["INSERT INTO sim_violation VALUES ('spacing', '1900000000', 'T1', now())"],
};

describe('the invariants', () => {
  it('hold of a refund that went its whole way', async () => {
    expect((await domain.events({ uuid: refundId })).map(({ to_state: to }) => to)).toEqual([
      'queued',
      'submitting',
      'accepted',
      'succeeded',
    ]);
    expect(await brokenBy()).toEqual([]);
  });

  it('are all violated by a planted row', () => {
    expect(Object.keys(VIOLATIONS).sort()).toEqual(EVERY.map(({ name }) => name.split(' ')[0]).sort());
  });

  it.each(Object.entries(VIOLATIONS))('%s finds what was planted against it', async (number, statements) => {
    const broken = await brokenBy(...statements);
    expect(broken.map((name) => name.split(' ')[0])).toContain(number);
  });

  it('allow what the limits allow', async () => {
    expect(await brokenBy(requests(150, 10))).toEqual([]);
    expect(await brokenBy(requests(12, 150, true))).toEqual([]);
  });

  it('show the first ten rows of a finding and how many there are', async () => {
    const sql = 'SELECT n FROM generate_series(1, 25) n';
    const [finding] = await findingsOf(read, [{ name: 'I00', sql }]);
    expect([finding?.count, finding?.rows.length, finding?.rows[0]]).toEqual([25, 10, { n: 1 }]);
  });
});
