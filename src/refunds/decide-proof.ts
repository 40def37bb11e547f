import { assertNever } from '../common/assert.js';
import type { LockedOrder, LockedRefund, ProofBooking, RefundFields, WakeBooking } from './bookings.js';
import { askedEnough, type Change, moveTo, NO_FAILURE, RELEASE_LEASE, secondsBetween } from './change.js';
import { LONG_ACCEPTED_SECONDS } from './limits.js';
import type { ShownRefund } from './refund-gateway.port.js';
import { type Evidence, type Judgement, judgeEvidence, REFUND_STATES } from './states.js';

/** `applied` asks for a query; the reason names what the notice has otherwise than we do. */
export function decideWake(refund: LockedRefund, order: LockedOrder, booking: WakeBooking, now: Date): Change {
  const differing = differences(refund, order, booking.shown);
  if (differing.length === 0 && refund.state === booking.shown.status)
    return { result: 'repeat', fields: {}, event: null };
  const reason = differing.length > 0 ? { reason: `differs: ${differing.join(', ')}` } : {};
  return { result: 'applied', ...reason, fields: { nextQueryAt: now, queryStep: 0 }, event: null };
}

/** The names of the ids and amounts in which WeChat's word differs from our row; what a source does not carry is not compared. */
export function differences(refund: LockedRefund, order: LockedOrder, shown: ShownRefund): string[] {
  const differ = (ours: unknown, theirs: unknown): boolean => ours !== null && theirs !== null && ours !== theirs;
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['mch_id', refund.mchId, shown.mchId],
    ['appid', refund.appid, shown.appid],
    ['out_trade_no', order.outTradeNo, shown.outTradeNo],
    ['transaction_id', order.transactionId, shown.transactionId],
    ['out_refund_no', refund.outRefundNo, shown.outRefundNo],
    ['refund_id', refund.refundId, shown.refundId],
    ['refund_fee', refund.amountFen, shown.refundFen],
    ['total_fee', order.paidFen, shown.totalFen],
  ];
  return pairs.filter(([, ours, theirs]) => differ(ours, theirs)).map(([name]) => name);
}

/** What WeChat's verified word does to a refund: moves it by the table of evidence, or shows that we disagree. */
export function decideProof(refund: LockedRefund, order: LockedOrder, booking: ProofBooking, now: Date): Change {
  const differing = differences(refund, order, booking.shown);
  const evidence: Evidence = differing.length > 0 ? 'mismatch' : booking.shown.status;
  const askedAfter = booking.askedAt !== null && booking.askedAt > refund.stateSince;
  const judgement = judgeEvidence(evidence, refund.state, askedAfter);
  const released = {
    ...(booking.sourceId === refund.leaseToken && RELEASE_LEASE),
    ...(booking.cause === 'query' && askedEnough(refund)),
  };
  const judged: Judged = { evidence, judgement, released };
  return evidence === 'mismatch'
    ? decideMismatch(refund, booking, { ...judged, differing }, now)
    : decideAgreed(refund, booking, judged, now);
}

interface Judged {
  readonly evidence: Evidence;
  readonly judgement: Judgement;
  /** The lease, where the word is the lease holder's, and the next question, where none is needed. */
  readonly released: Partial<RefundFields>;
}

function decideMismatch(
  refund: LockedRefund,
  booking: ProofBooking,
  judged: Judged & { readonly differing: readonly string[] },
  now: Date,
): Change {
  const { differing, judgement, released } = judged;
  const reason = `differs: ${differing.join(', ')}`;
  const detail = { wechat_status: booking.shown.wechatStatus, differing };
  // A signed answer to a question for our number settles what became of our send, whatever it shows.
  const settled = booking.cause === 'query' && booking.shown.outRefundNo === refund.outRefundNo;
  if (judgement !== 'apply') {
    const event = judgement === 'incident' ? { incident: 'mismatch_after_final', detail } : null;
    return { result: 'refused', reason, fields: { ...released, ...(settled && { inDoubtSince: null }) }, event };
  }
  // Anything else opens it again: WeChat may hold this refund as it should be and not find it yet when a person decides.
  const inDoubtSince = settled ? null : (refund.inDoubtSince ?? now);
  const failure = { failureCode: 'mismatch', failureWechatCode: null, failureMessage: reason };
  const fields = moveTo(refund, 'mismatch', now, { inDoubtSince, ...failure });
  return { result: 'refused', reason, fields, event: { incident: 'mismatch', detail } };
}

function decideAgreed(refund: LockedRefund, booking: ProofBooking, judged: Judged, now: Date): Change {
  const { evidence, judgement, released } = judged;
  const { shown } = booking;
  const detail = { wechat_status: shown.wechatStatus };
  const learned: Partial<RefundFields> = {
    inDoubtSince: null,
    refundId: shown.refundId ?? refund.refundId,
    userReceivedAccount: shown.userReceivedAccount ?? refund.userReceivedAccount,
  };
  if (judgement !== 'apply') {
    const event =
      judgement === 'incident' ? { incident: 'contradicts_final', detail } : longAccepted(refund, booking, now);
    return { result: 'repeat', fields: { ...released, ...learned }, event };
  }
  const lateTruth = REFUND_STATES[refund.state].money === 'released';
  return {
    result: 'applied',
    fields: moveTo(refund, evidence, now, { ...learned, ...outcomeOf(shown) }),
    event: { incident: lateTruth ? 'late_truth' : null, detail },
  };
}

/** A refund that WeChat has been working on for days: an incident with every answer that shows it so. */
function longAccepted(refund: LockedRefund, { shown, cause }: ProofBooking, now: Date): Change['event'] {
  const long = secondsBetween(refund.stateSince, now) >= LONG_ACCEPTED_SECONDS;
  if (cause !== 'query' || refund.state !== 'accepted' || !long) return null;
  return { incident: 'accepted_for_days', detail: { wechat_status: shown.wechatStatus } };
}

/** Failure and success fields of a proven state. */
export function outcomeOf(shown: ShownRefund): Partial<RefundFields> {
  switch (shown.status) {
    case 'accepted':
      return NO_FAILURE;
    case 'succeeded':
      return { ...NO_FAILURE, succeededAt: shown.succeededAt };
    case 'abnormal':
      return { failureCode: 'payer_account_abnormal', failureWechatCode: shown.wechatStatus, failureMessage: null };
    case 'closed':
      return { failureCode: 'closed_by_wechat', failureWechatCode: shown.wechatStatus, failureMessage: null };
    default:
      return assertNever(shown.status);
  }
}
