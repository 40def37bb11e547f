import { randomBytes } from 'node:crypto';
import { newUuid, publicId } from '../../../src/common/ids.js';
import { Settings } from '../../../src/config/settings.js';
import { type EventPayload, payloadOf, PAYLOAD_COLUMNS, type PayloadRow } from '../../../src/events/payload.js';
import { INTAKE_SQL, type IntakeRow } from '../../../src/refunds/intake.js';
import type { ShownRefund } from '../../../src/refunds/refund-gateway.port.js';
import type { RefundRow } from '../../../src/refunds/refund.view.js';
import type { TestDatabase } from '../../support/database.js';

export const MCH_ID = '1900000001';
export const APPID = 'wx-events';

/** The settings these tests need; the rest is not read by what they call. */
export const settings = new Settings({
  refundsPerOrderMax: 50,
  refundWindowDays: 365,
  refundSpacingSeconds: 0,
  refundRatePerSecond: 150,
  refundFailureRatePerSecond: 6,
} as Settings);

/** A merchant with two mini-programs. */
export async function seed(database: TestDatabase): Promise<void> {
  await database.dataSource.query(`
    INSERT INTO merchant VALUES ('${MCH_ID}', 'one', true, 'v2', 'MD5', 'confirm', 'token', tuikuan_now(), tuikuan_now());
    INSERT INTO merchant_rate (mch_id, next_slot_at, rate_per_second, rate_changed_at, next_query_slot_at)
      VALUES ('${MCH_ID}', tuikuan_now(), 150, tuikuan_now(), tuikuan_now());
    INSERT INTO mini_program VALUES ('${APPID}', 'app', tuikuan_now(), tuikuan_now()), ('wx-other', 'app', tuikuan_now(), tuikuan_now())`);
}

export interface SeededOrder {
  readonly id: string;
  readonly outTradeNo: string;
  readonly paidFen: number;
}

/** An order, paid unless another status is named; no event is told of it. */
export async function makeOrder(
  database: TestDatabase,
  { paidFen = 1000, status = 'paid', appid = APPID, paidAgo = '1 hour' } = {},
): Promise<SeededOrder> {
  const order = { id: newUuid(), outTradeNo: `T${randomBytes(8).toString('hex')}`, paidFen };
  const paid = status === 'paid';
  await database.uow.query(
    `INSERT INTO payment_order (id, mch_id, appid, out_trade_no, transaction_id, status, amount_fen, paid_fen, paid_at, verified, source,
       request_digest, openid, created_by, created_at, updated_at, next_query_at)
     SELECT $1, $2, $3, $4, $5, $6, $7::bigint, $8::bigint, CASE WHEN $9::boolean THEN c.now - $10::interval END, true, 'prepay', '',
       'secret-openid', 'key_test', c.now, c.now, CASE WHEN $9::boolean THEN NULL ELSE c.now END
     FROM (SELECT tuikuan_now() AS now) c`,
    [
      order.id,
      MCH_ID,
      appid,
      order.outTradeNo,
      paid ? `42${order.outTradeNo}` : null,
      status,
      paidFen,
      paid ? paidFen : 0,
      paid,
      paidAgo,
    ],
  );
  return order;
}

export function intakeRow(order: SeededOrder, amountFen: number | null, change: Partial<IntakeRow> = {}): IntakeRow {
  const id = newUuid();
  return {
    id,
    order_id: order.id,
    appids: null,
    out_refund_no: publicId('refund', id),
    amount_fen: amountFen,
    idempotency_key: null,
    request_digest: 'ab',
    reason: '退货',
    items: [{ ref: 'line-1', amount: 5 }],
    funds_account: null,
    note: 'a note',
    metadata: { shop: '7' },
    created_by: 'key_test',
    replaces: null,
    action: 'refund.create',
    address: null,
    request_id: null,
    ...change,
  };
}

/** Takes a refund in by the statement of the intake. */
export async function takeIn(
  database: TestDatabase,
  order: SeededOrder,
  amountFen: number | null,
  change: Partial<IntakeRow> = {},
): Promise<RefundRow> {
  const rows = await database.uow.query<RefundRow>(INTAKE_SQL, [
    JSON.stringify([intakeRow(order, amountFen, change)]),
    50,
    365,
  ]);
  if (!rows[0]) throw new Error('the intake refused');
  return rows[0];
}

/** WeChat's word about a refund of ours, as it agrees with our row. */
export function shownOf(
  refund: RefundRow,
  order: SeededOrder,
  status: ShownRefund['status'],
  change: Partial<ShownRefund> = {},
): ShownRefund {
  return {
    status,
    mchId: MCH_ID,
    appid: null,
    outTradeNo: order.outTradeNo,
    transactionId: null,
    outRefundNo: refund.out_refund_no,
    refundId: `50${refund.out_refund_no}`,
    refundFen: Number(refund.amount_fen),
    totalFen: order.paidFen,
    userReceivedAccount: status === 'succeeded' ? '支付用户零钱' : null,
    succeededAt: status === 'succeeded' ? '2026-06-01T12:00:00+08:00' : null,
    wechatStatus: status.toUpperCase(),
    ...change,
  };
}

/** Every event of a refund or order, by sequence, as it is sent. */
export async function eventsOf(database: TestDatabase, subjectId: string): Promise<EventPayload[]> {
  const rows = await database.uow.query<PayloadRow>(
    `SELECT v.id AS event_id, ${PAYLOAD_COLUMNS} FROM outgoing_event v WHERE subject_id = $1 ORDER BY sequence`,
    [subjectId],
  );
  return rows.map((row) => payloadOf(row, settings));
}

/** An endpoint with one secret that nobody opens. */
export async function makeEndpoint(
  database: TestDatabase,
  { events = ['*'], appids = null as string[] | null, enabled = true } = {},
): Promise<string> {
  const id = newUuid();
  await database.uow.query(
    `INSERT INTO webhook_endpoint (id, url, events, appids, enabled, disabled_reason, created_by, created_at, updated_at)
     VALUES ($1, 'https://shop.example/', $2, $3, $4, CASE WHEN $4 THEN NULL ELSE 'caller' END, 'key_test', tuikuan_now(), tuikuan_now())`,
    [id, events, appids, enabled],
  );
  await database.uow.query(
    `INSERT INTO webhook_secret (endpoint_id, version, kek_id, sealed, created_at) VALUES ($1, 1, 'k', 'x', tuikuan_now())`,
    [id],
  );
  return id;
}
