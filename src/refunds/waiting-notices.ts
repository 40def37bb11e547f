import type { EntityManager } from 'typeorm';
import type { AnyBooking, Booked } from './bookings.js';

/**
 * Closes the notices that waited for a signed query answer about their refund. What agrees with the answer is applied; what is merely
 * older than it is a repeat; what contradicts it, or named other ids or amounts than ours (its reason says so), is refused. While WeChat
 * still works on the refund the rest goes on waiting. An answer that itself differs from our row confirms no notice, and one about
 * another number says nothing.
 */
const SETTLE_SQL = `
  UPDATE notification n SET next_query_at = NULL,
    result = CASE
      WHEN n.reason IS NOT NULL OR v.differs THEN 'refused'
      WHEN n.status = v.status THEN 'applied'
      WHEN n.status = 'abnormal' AND v.status = 'succeeded' THEN 'repeat'
      ELSE 'refused' END,
    reason = CASE
      WHEN n.reason IS NOT NULL THEN n.reason
      WHEN v.differs THEN 'the signed query differs from the refund too'
      WHEN n.status = v.status OR (n.status = 'abnormal' AND v.status = 'succeeded') THEN NULL
      ELSE 'the signed query shows ' || v.status END
  FROM jsonb_to_recordset($1::jsonb) AS v(refund_id uuid, out_refund_no text, status text, differs boolean)
    JOIN refund r ON r.id = v.refund_id AND r.out_refund_no = v.out_refund_no
  WHERE n.refund_id = v.refund_id AND n.result = 'waiting_for_query'
    AND (n.reason IS NOT NULL OR v.differs OR v.status <> 'accepted')`;

/** Runs {@link SETTLE_SQL} for the proofs by query among these bookings, in the same transaction; `booked` is what became of each. */
export async function settleWaitingNotices(
  tx: EntityManager,
  bookings: readonly AnyBooking[],
  booked: readonly Booked[],
): Promise<void> {
  const answers = bookings.flatMap((booking, place) =>
    booking.kind === 'proof' && booking.cause === 'query'
      ? [
          {
            refund_id: booking.refundId,
            out_refund_no: booking.shown.outRefundNo,
            status: booking.shown.status,
            differs: booked[place]?.result === 'refused',
          },
        ]
      : [],
  );
  if (answers.length > 0) await tx.query(SETTLE_SQL, [JSON.stringify(answers)]);
}
