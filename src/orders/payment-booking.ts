import type { EntityManager } from 'typeorm';
import type { UnitOfWork } from '../database/unit-of-work.js';
import type { ShownPayment } from './order-gateway.port.js';
import { tellOrderStatus } from './outgoing-events.js';

/** What the door made of a payment WeChat showed. `reason` says what differed. */
export interface PaymentBooked {
  readonly result: 'applied' | 'repeat' | 'unmatched' | 'refused';
  readonly reason?: string;
  readonly orderId?: string;
  /** An incident code to report once the transaction has committed. */
  readonly incident?: string;
}

interface Locked {
  readonly id: string;
  readonly appid: string;
  readonly status: 'created' | 'paid' | 'closed';
  readonly transaction_id: string | null;
  readonly amount_fen: string;
  readonly verified: boolean;
  readonly touched: boolean;
}

const LOCK_SQL = `
  SELECT id, appid, status, transaction_id, amount_fen::text, verified, refund_count + outside_fen > 0
    OR EXISTS (SELECT 1 FROM refund r WHERE r.order_id = payment_order.id) AS touched
  FROM payment_order WHERE mch_id = $1 AND out_trade_no = $2 FOR NO KEY UPDATE`;

/** $5 is the status before; a vouched payment that WeChat now proves was paid before, too, and is not told again. */
const PAID_SQL = `
  WITH paid AS (
    UPDATE payment_order SET status = 'paid', paid_fen = $2::bigint, amount_fen = $2::bigint, paid_at = $3::timestamptz,
      verified = true, transaction_id = coalesce(transaction_id, $4), next_query_at = NULL, updated_at = (SELECT tuikuan_now()),
      event_sequence = event_sequence + CASE WHEN status = 'paid' THEN 0 ELSE 1 END
    WHERE id = $1 RETURNING *)
  ${tellOrderStatus('paid', '$5::text')}`;

const VERIFIED_SQL = `
  UPDATE payment_order SET verified = true, transaction_id = coalesce(transaction_id, $2), updated_at = (SELECT tuikuan_now())
  WHERE id = $1`;

const CLOSED_SQL = `
  WITH closed AS (
    UPDATE payment_order SET status = 'closed', next_query_at = NULL, updated_at = (SELECT tuikuan_now()),
      event_sequence = event_sequence + 1
    WHERE id = $1 AND status = 'created' RETURNING *)
  ${tellOrderStatus('closed', "'created'")}`;

/** Closes an order that is still unpaid, and tells of it; any other stays as it is. */
export async function bookClosed(tx: EntityManager | UnitOfWork, orderId: string): Promise<void> {
  await tx.query(CLOSED_SQL, [orderId]);
}

/** Something was refunded; perhaps not by us: the refunds of this order are to be listed. */
const LIST_REFUNDS_SQL = `UPDATE payment_order SET refunds_query_at = (SELECT tuikuan_now()) WHERE id = $1`;

/**
 * The one door to an order's payment status: notice, query, sync, register and close pass it. It locks the order, compares every
 * id and the amount, and books. A payment that differs leaves the order as it is and is an incident. A paid order never
 * becomes anything else; a closed one becomes paid when WeChat proves it late.
 */
export async function bookPayment(tx: EntityManager, shown: ShownPayment): Promise<PaymentBooked> {
  const [order] = await tx.query<Locked[]>(LOCK_SQL, [shown.mchId, shown.outTradeNo]);
  if (!order) return { result: 'unmatched', reason: 'the order is not ours' };
  const orderId = order.id;
  const replaceable = order.status === 'paid' && !order.verified && !order.touched;
  const differing = differences(order, shown, replaceable);
  if (differing.length > 0) {
    return { result: 'refused', reason: `differs: ${differing.join(', ')}`, orderId, incident: 'payment_mismatch' };
  }
  if (shown.refunded) await tx.query(LIST_REFUNDS_SQL, [orderId]);
  if (shown.status === 'paid') return bookPaid(tx, order, shown, replaceable);
  if (order.status === 'paid') {
    return {
      result: 'refused',
      reason: `WeChat shows ${shown.wechatStatus}`,
      orderId,
      incident: 'paid_order_not_paid',
    };
  }
  if (shown.status !== 'closed' || order.status !== 'created') return { result: 'repeat', orderId };
  await bookClosed(tx, orderId);
  return { result: 'applied', orderId };
}

async function bookPaid(
  tx: EntityManager,
  order: Locked,
  shown: ShownPayment,
  replaceable: boolean,
): Promise<PaymentBooked> {
  const orderId = order.id;
  if (order.status === 'paid' && order.verified) return { result: 'repeat', orderId };
  if (await isTaken(tx, shown, orderId)) {
    return {
      result: 'refused',
      reason: 'the transaction_id stands for another order',
      orderId,
      incident: 'payment_mismatch',
    };
  }
  if (order.status === 'paid' && !replaceable) {
    await tx.query(VERIFIED_SQL, [orderId, shown.transactionId]);
    return { result: 'applied', orderId };
  }
  const paidFen = shown.totalFen ?? Number(order.amount_fen);
  await tx.query(PAID_SQL, [orderId, paidFen, shown.paidAt, shown.transactionId, order.status]);
  return { result: 'applied', orderId, ...(order.status === 'closed' && { incident: 'paid_after_closed' }) };
}

/** One payment of WeChat's pays one order. */
async function isTaken(tx: EntityManager, shown: ShownPayment, orderId: string): Promise<boolean> {
  const others = await tx.query<unknown[]>(
    'SELECT 1 FROM payment_order WHERE mch_id = $1 AND transaction_id = $2 AND id <> $3',
    [shown.mchId, shown.transactionId, orderId],
  );
  return others.length > 0;
}

function differences(order: Locked, shown: ShownPayment, amountMayDiffer: boolean): string[] {
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['appid', order.appid, shown.appid],
    ['transaction_id', order.transaction_id, shown.transactionId],
    ['total_fee', amountMayDiffer ? null : Number(order.amount_fen), shown.totalFen],
  ];
  const missing =
    shown.status === 'paid' && (shown.transactionId === null || shown.paidAt === null || shown.totalFen === null);
  const differing = pairs
    .filter(([, ours, theirs]) => ours !== null && theirs !== null && ours !== theirs)
    .map(([name]) => name);
  return missing ? [...differing, 'the payment is incomplete'] : differing;
}
