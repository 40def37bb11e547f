import { fewRows } from '../database/filters.js';
import type { AnyBooking, Booked, LockedRefund } from './bookings.js';

/**
 * Closes the notices that waited for a signed query answer about their refund, once that or a notice that counts for itself was booked. What agrees with the answer is applied; what is merely
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
      WHEN v.differs THEN v.proof || ' differs from the refund too'
      WHEN n.status = v.status OR (n.status = 'abnormal' AND v.status = 'succeeded') THEN NULL
      ELSE v.proof || ' shows ' || v.status END
  FROM jsonb_to_recordset($1::jsonb) AS v(refund_id uuid, out_refund_no text, status text, differs boolean, proof text)
    JOIN refund r ON r.id = v.refund_id AND r.out_refund_no = v.out_refund_no
  WHERE n.refund_id = v.refund_id AND n.result = 'waiting_for_query' AND ${fewRows('v.refund_id')}
    AND (n.reason IS NOT NULL OR v.differs OR v.status <> 'accepted')`;

/** WeChat does not know the refund, and is not asked again: what a notice said of it is not so. */
const REFUSE_SQL = `
  UPDATE notification SET next_query_at = NULL, result = 'refused', reason = coalesce(reason, 'WeChat does not know this refund')
  WHERE refund_id = ANY($1::uuid[]) AND result = 'waiting_for_query'`;

/**
 * While a notice waits its refund is asked about, whatever has ended it meanwhile: the last answer may have been about another number.
 * Looked up one by one: for EXISTS all that wait would be read, which PostgreSQL takes for none when many begin to.
 */
const ASK_AGAIN_SQL = `
  UPDATE refund r SET next_query_at = (SELECT tuikuan_now()) + interval '1 minute'
  WHERE r.id = ANY($1::uuid[]) AND r.next_query_at IS NULL
    AND (SELECT true FROM notification n WHERE n.refund_id = r.id AND n.result = 'waiting_for_query' LIMIT 1)`;

/** What has settled them, for people. A notice settles the others only when it was booked itself: after the end nobody asks any more. */
const PROOFS = { query: 'the signed query', notice: 'another notice' } as const;

/** The statements that settle by the proofs among these bookings and by questions that were the last; `booked` is what became of each. */
export function settlements(
  bookings: readonly AnyBooking[],
  booked: readonly Booked[],
  refunds: ReadonlyMap<string, LockedRefund>,
): { readonly sql: string; readonly parameters: unknown[] }[] {
  const answers = bookings.flatMap((booking, place) => answerOf(booking, booked[place]));
  const last = bookings.filter(({ refundId }) => refunds.get(refundId)?.nextQueryAt === null);
  const unknown = last.filter((booking) => booking.kind === 'not_shown' && booking.found === false);
  return [
    { sql: SETTLE_SQL, about: answers, parameters: [JSON.stringify(answers)] },
    { sql: REFUSE_SQL, about: unknown, parameters: [unknown.map(({ refundId }) => refundId)] },
    { sql: ASK_AGAIN_SQL, about: last, parameters: [last.map(({ refundId }) => refundId)] },
  ].filter(({ about }) => about.length > 0);
}

function answerOf(booking: AnyBooking, booked: Booked | undefined): object[] {
  if (booking.kind !== 'proof' || (booking.cause !== 'query' && booking.cause !== 'notice')) return [];
  const result = booked?.result;
  if (booking.cause === 'notice' && result !== 'applied') return [];
  const differs = result === 'refused';
  const { outRefundNo, status } = booking.shown;
  return [{ refund_id: booking.refundId, out_refund_no: outRefundNo, status, differs, proof: PROOFS[booking.cause] }];
}
