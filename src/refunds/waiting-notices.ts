import type { EntityManager } from 'typeorm';
import type { AnyBooking } from './bookings.js';

/**
 * Closes the notices that waited for a signed query answer about their refund.
 * What agrees with the answer is applied; what is merely older than it is a repeat; what contradicts it, or named other ids or
 * amounts than ours (its reason says so), is refused. While WeChat still works on the refund the rest goes on waiting.
 */
const SETTLE_SQL = `
  UPDATE notification n SET next_query_at = NULL,
    result = CASE
      WHEN n.reason IS NOT NULL THEN 'refused'
      WHEN n.status = v.status THEN 'applied'
      WHEN n.status = 'abnormal' AND v.status = 'succeeded' THEN 'repeat'
      ELSE 'refused' END,
    reason = CASE
      WHEN n.reason IS NOT NULL OR n.status = v.status OR (n.status = 'abnormal' AND v.status = 'succeeded') THEN n.reason
      ELSE 'the signed query shows ' || v.status END
  FROM jsonb_to_recordset($1::jsonb) AS v(refund_id uuid, status text)
  WHERE n.refund_id = v.refund_id AND n.result = 'waiting_for_query'
    AND (n.reason IS NOT NULL OR v.status <> 'accepted')`;

/** Runs {@link SETTLE_SQL} for the proofs by query among these bookings, in the same transaction. */
export async function settleWaitingNotices(tx: EntityManager, bookings: readonly AnyBooking[]): Promise<void> {
  const answers = bookings.flatMap((booking) =>
    booking.kind === 'proof' && booking.cause === 'query'
      ? [{ refund_id: booking.refundId, status: booking.shown.status }]
      : [],
  );
  if (answers.length > 0) await tx.query(SETTLE_SQL, [JSON.stringify(answers)]);
}
