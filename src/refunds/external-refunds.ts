import type { EntityManager } from 'typeorm';
import { newUuid } from '../common/ids.js';
import { ORDER_SNAPSHOT, OUTBOX_COLUMNS, REFUNDED_TYPE_SQL } from '../orders/outgoing-events.js';
import type { Booked } from './bookings.js';
import { outcomeOf } from './decide-proof.js';
import { QUERY_GAPS_SECONDS } from './limits.js';
import { TELL_NEW_SQL } from './outgoing-events.js';
import type { ApiVersion, ShownRefund } from './refund-gateway.port.js';
import { REFUND_STATES } from './states.js';

/**
 * Takes in a refund that was made in the merchant platform: a row of its own, its money outside (design.md 4). One statement,
 * under the order's lock, so it meets no half-made twin. The order must be ours and agree in every id and amount it names.
 */
const TAKE_IN_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  o AS MATERIALIZED (
    SELECT * FROM payment_order WHERE mch_id = $2 AND out_trade_no = $3 FOR NO KEY UPDATE),
  made AS (
    INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, refund_id, amount_fen, state, state_since, source,
      booked_outside, api_version, user_received_account, succeeded_at, next_query_at, created_by, created_at, updated_at,
      event_sequence, failure_code, failure_wechat_code)
    SELECT $1, o.id, o.mch_id, o.appid, $4, $5, $6::bigint, $7, c.now, 'external', $8::boolean, $9, $10, $11::timestamptz,
      CASE WHEN $12::boolean THEN c.now + make_interval(secs => $13) END, 'wechat', c.now, c.now, 1, $19, $20
    FROM o, clock c
    WHERE o.status = 'paid' AND o.paid_fen = $14::bigint
      AND ($15::text IS NULL OR o.transaction_id IS NULL OR o.transaction_id = $15)
      AND ($16::text IS NULL OR o.appid = $16)
    ON CONFLICT (mch_id, out_refund_no) DO NOTHING
    RETURNING *),
  counted AS (
    UPDATE payment_order p SET outside_fen = p.outside_fen + m.amount_fen, updated_at = c.now,
      event_sequence = p.event_sequence + CASE WHEN m.state = 'succeeded' THEN 1 ELSE 0 END
    FROM made m, clock c WHERE p.id = m.order_id AND m.booked_outside
    RETURNING p.*, m.state, p.reserved_fen + p.refunded_fen + p.outside_fen > p.paid_fen AS over_paid),
  told AS (${TELL_NEW_SQL}),
  told_of_order AS (
    INSERT INTO outgoing_event (${OUTBOX_COLUMNS})
    SELECT uuid7(c.now + interval '1 millisecond'), ${REFUNDED_TYPE_SQL}, o.id, NULL::uuid, o.id, o.appid, o.event_sequence, o.status,
      ${ORDER_SNAPSHOT}, c.now
    FROM counted o, clock c WHERE o.state = 'succeeded'),
  event AS (
    INSERT INTO refund_event (refund_id, seq, from_state, to_state, cause, source_id, incident, detail, at)
    SELECT m.id, 1, NULL, $7, 'query', $17, CASE WHEN n.over_paid THEN 'more_than_paid' END,
      jsonb_build_object('wechat_status', $18::text), (SELECT tuikuan_now())
    FROM made m LEFT JOIN counted n ON true)
  SELECT (SELECT id FROM o) AS order_id, (SELECT id FROM made) AS refund_id, (SELECT over_paid FROM counted) AS over_paid`;

/** What became of a refund that WeChat shows and we may not know. */
export type TakenIn = Booked | { readonly result: 'known' } | { readonly result: 'unmatched'; readonly reason: string };

/**
 * Books a refund from a signed query answer when we have no row of its number. `known`: we have one, book it as proof instead.
 * `unmatched`: the order is not ours or differs.
 */
export async function takeInExternal(
  tx: EntityManager,
  shown: ShownRefund,
  from: { readonly callId: string; readonly apiVersion: ApiVersion },
): Promise<TakenIn> {
  const running = !REFUND_STATES[shown.status].final;
  const { failureCode = null, failureWechatCode = null } = outcomeOf(shown);
  const [row] = await tx.query<{ order_id: string | null; refund_id: string | null; over_paid: boolean | null }[]>(
    TAKE_IN_SQL,
    [
      newUuid(),
      shown.mchId,
      shown.outTradeNo,
      shown.outRefundNo,
      shown.refundId,
      shown.refundFen,
      shown.status,
      REFUND_STATES[shown.status].money !== 'released',
      from.apiVersion,
      shown.userReceivedAccount,
      shown.succeededAt,
      running,
      QUERY_GAPS_SECONDS[0],
      shown.totalFen,
      shown.transactionId,
      shown.appid,
      from.callId,
      shown.wechatStatus,
      failureCode,
      failureWechatCode,
    ],
  );
  if (row?.refund_id) {
    const incidents = row.over_paid ? ['more_than_paid'] : [];
    return { refundId: row.refund_id, result: 'applied', from: shown.status, to: shown.status, incidents };
  }
  const known = await tx.query<unknown[]>('SELECT 1 FROM refund WHERE mch_id = $1 AND out_refund_no = $2', [
    shown.mchId,
    shown.outRefundNo,
  ]);
  if (known.length > 0) return { result: 'known' };
  return { result: 'unmatched', reason: row?.order_id ? 'the order differs from ours' : 'the order is not ours' };
}
