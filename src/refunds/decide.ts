import { assertNever } from '../common/assert.js';
import type {
  AnyBooking,
  LockedOrder,
  LockedRefund,
  MoveBooking,
  NotShownBooking,
  ProofBooking,
  RefundFields,
  SendBooking,
  WakeBooking,
} from './bookings.js';
import {
  AFTERMATH_GAPS_SECONDS,
  ATTEMPTS_MAX,
  BALANCE_WAIT_SECONDS,
  DOUBT_SECONDS,
  LATER_WAIT_SECONDS,
  LOST_ACCEPTED_SECONDS,
  NOT_SENT_WAITS_SECONDS,
  QUERY_GAPS_SECONDS,
  SLOT_MISSED,
} from './limits.js';
import type { ShownRefund } from './refund-gateway.port.js';
import { isOurMove, judgeEvidence, REFUND_STATES, type RefundState } from './states.js';

/** What a booking does to a locked refund. `event` null: nothing worth a line in its history. */
export interface Change {
  readonly result: 'applied' | 'repeat' | 'refused' | 'stale';
  readonly reason?: string;
  readonly fields: Partial<RefundFields>;
  readonly event: { readonly incident: string | null; readonly detail: Readonly<Record<string, unknown>> } | null;
  /** Nothing went out: the order's spacing need not run. */
  readonly freesSpacing?: true;
}

const STALE: Change = { result: 'stale', fields: {}, event: null };
const RELEASE_LEASE = { leaseToken: null, leaseUntil: null } as const;
const NO_FAILURE = { failureCode: null, failureWechatCode: null, failureMessage: null } as const;

const after = (now: Date, seconds: number): Date => new Date(now.getTime() + seconds * 1000);
const secondsBetween = (from: Date, to: Date): number => (to.getTime() - from.getTime()) / 1000;
const later = (a: Date, b: Date | null): Date => (b !== null && b > a ? b : a);

/** Decides what one booking does to one refund; pure, so the same under any lock and in any batch. */
export function decide(refund: LockedRefund, order: LockedOrder, booking: AnyBooking, now: Date): Change {
  switch (booking.kind) {
    case 'proof':
      return decideProof(refund, order, booking, now);
    case 'send':
      return decideSend(refund, booking, now);
    case 'not_shown':
      return decideNotShown(refund, order, booking, now);
    case 'move':
      return decideMove(refund, order, booking, now);
    case 'wake':
      return decideWake(refund, order, booking, now);
    default:
      return assertNever(booking);
  }
}

/** `applied` asks for a query; the reason names what the notice has otherwise than we do. */
function decideWake(refund: LockedRefund, order: LockedOrder, booking: WakeBooking, now: Date): Change {
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

/** When the refund is asked for next after a change of state; the list of gaps starts again. */
function queryPlan(
  refund: LockedRefund,
  to: RefundState,
  now: Date,
  inDoubt: boolean,
): Pick<RefundFields, 'nextQueryAt' | 'queryStep'> {
  const wasSent = refund.firstSentAt !== null;
  const delay: Readonly<Record<RefundState, number | null>> = {
    queued: inDoubt ? QUERY_GAPS_SECONDS[0] : null,
    insufficient_balance: null,
    submitting: null,
    outcome_unknown: QUERY_GAPS_SECONDS[0],
    accepted: QUERY_GAPS_SECONDS[0],
    abnormal: QUERY_GAPS_SECONDS[0],
    blocked: null,
    mismatch: 0,
    succeeded: null,
    closed: null,
    rejected: wasSent ? AFTERMATH_GAPS_SECONDS[0] : null,
    canceled: wasSent ? AFTERMATH_GAPS_SECONDS[0] : null,
  };
  const seconds = delay[to];
  return { nextQueryAt: seconds === null ? null : after(now, seconds), queryStep: 0 };
}

/** The fields every change of state sets; a move ends any lease, so the holder's own later word is stale. */
function moveTo(refund: LockedRefund, to: RefundState, now: Date, more: Partial<RefundFields>): Partial<RefundFields> {
  const inDoubt = (more.inDoubtSince === undefined ? refund.inDoubtSince : more.inDoubtSince) !== null;
  return {
    state: to,
    stateSince: now,
    nextAttemptAt: null,
    ...RELEASE_LEASE,
    ...queryPlan(refund, to, now, inDoubt),
    ...more,
  };
}

function decideProof(refund: LockedRefund, order: LockedOrder, booking: ProofBooking, now: Date): Change {
  const { shown } = booking;
  const released = booking.sourceId === refund.leaseToken ? RELEASE_LEASE : {};
  const differing = differences(refund, order, shown);
  const evidence = differing.length > 0 ? 'mismatch' : shown.status;
  const askedAfter = booking.askedAt !== null && booking.askedAt > refund.stateSince;
  const judgement = judgeEvidence(evidence, refund.state, askedAfter);
  const detail = { wechat_status: shown.wechatStatus, ...(differing.length > 0 && { differing }) };

  if (evidence === 'mismatch') {
    const reason = `differs: ${differing.join(', ')}`;
    // A signed answer to a question for our number settles what became of our send, whatever it shows.
    const settled = booking.cause === 'query' && shown.outRefundNo === refund.outRefundNo;
    const doubt = settled ? { inDoubtSince: null } : {};
    if (judgement !== 'apply') {
      const event = judgement === 'incident' ? { incident: 'mismatch_after_final', detail } : null;
      return { result: 'refused', reason, fields: { ...released, ...doubt }, event };
    }
    const failure = { failureCode: 'mismatch', failureWechatCode: null, failureMessage: reason };
    return {
      result: 'refused',
      reason,
      fields: moveTo(refund, 'mismatch', now, { ...doubt, ...failure }),
      event: { incident: 'mismatch', detail },
    };
  }

  const learned: Partial<RefundFields> = {
    inDoubtSince: null,
    refundId: shown.refundId ?? refund.refundId,
    userReceivedAccount: shown.userReceivedAccount ?? refund.userReceivedAccount,
  };
  if (judgement !== 'apply') {
    const event = judgement === 'incident' ? { incident: 'contradicts_final', detail } : null;
    return { result: 'repeat', fields: { ...released, ...learned }, event };
  }
  const lateTruth = REFUND_STATES[refund.state].money === 'released' && evidence !== 'closed';
  return {
    result: 'applied',
    fields: moveTo(refund, evidence, now, { ...learned, ...outcomeOf(shown) }),
    event: { incident: lateTruth ? 'late_truth' : null, detail },
  };
}

/** Failure and success fields of a proven state. */
function outcomeOf(shown: ShownRefund): Partial<RefundFields> {
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

type UnprovenOutcome = SendBooking['outcome'];

/** Where a believed refusal leads; `wait` is the time to the next send. */
const REFUSALS: Readonly<
  Record<
    Exclude<UnprovenOutcome, 'not_sent' | 'unknown'>,
    { to: RefundState; waitSeconds: number | null; code: string }
  >
> = {
  later: { to: 'queued', waitSeconds: LATER_WAIT_SECONDS, code: 'wechat_busy' },
  balance: { to: 'insufficient_balance', waitSeconds: BALANCE_WAIT_SECONDS, code: 'insufficient_balance' },
  configuration: { to: 'blocked', waitSeconds: null, code: 'configuration' },
  refused: { to: 'rejected', waitSeconds: null, code: 'refused_by_wechat' },
  differs: { to: 'mismatch', waitSeconds: null, code: 'mismatch' },
};

const COUNTS_AS_ATTEMPT: readonly UnprovenOutcome[] = ['later', 'unknown'];

function decideSend(refund: LockedRefund, booking: SendBooking, now: Date): Change {
  if (refund.leaseToken !== booking.leaseToken || refund.state !== 'submitting') return STALE;
  const { outcome, code, inDoubtBefore } = booking;
  const failure = { failureWechatCode: code, failureMessage: booking.message };
  const event = { incident: null, detail: { outcome, ...(code !== null && { code }) } };

  if (outcome === 'not_sent') {
    // A missed slot is a hiccup of ours and says nothing of the way to WeChat: due again at once.
    const missed = code === SLOT_MISSED;
    const step = Math.min(refund.notSentCount, NOT_SENT_WAITS_SECONDS.length - 1);
    const fields = moveTo(refund, 'queued', now, {
      inDoubtSince: inDoubtBefore,
      firstSentAt: booking.firstSend ? null : refund.firstSentAt,
      nextAttemptAt: after(now, missed ? 0 : (NOT_SENT_WAITS_SECONDS[step] ?? 0)),
      notSentCount: refund.notSentCount + (missed ? 0 : 1),
      ...failure,
      failureCode: 'not_sent',
    });
    return { result: 'applied', fields, event, freesSpacing: true };
  }
  const attempts = refund.attempts + (COUNTS_AS_ATTEMPT.includes(outcome) ? 1 : 0);
  const exhausted = attempts >= ATTEMPTS_MAX;
  const sent = { attempts, notSentCount: 0, ...failure };

  if (outcome === 'unknown' || inDoubtBefore !== null) {
    const inDoubtSince = outcome === 'unknown' ? refund.inDoubtSince : inDoubtBefore;
    return {
      result: 'applied',
      fields: moveTo(refund, 'outcome_unknown', now, { ...sent, inDoubtSince, failureCode: 'outcome_unknown' }),
      event: { ...event, incident: exhausted ? 'too_many_attempts' : null },
    };
  }
  if (exhausted && outcome === 'later') return tooManyAttempts(refund, now, sent, event.detail);
  const refusal = REFUSALS[outcome];
  return {
    result: 'applied',
    fields: moveTo(refund, refusal.to, now, {
      ...sent,
      inDoubtSince: null,
      nextAttemptAt: refusal.waitSeconds === null ? null : after(now, refusal.waitSeconds),
      failureCode: refusal.code,
    }),
    event: { ...event, incident: refusal.to === 'mismatch' ? 'mismatch' : null },
  };
}

function tooManyAttempts(
  refund: LockedRefund,
  now: Date,
  more: Partial<RefundFields>,
  detail: Readonly<Record<string, unknown>>,
): Change {
  return {
    result: 'applied',
    fields: moveTo(refund, 'blocked', now, { ...more, inDoubtSince: null, failureCode: 'too_many_attempts' }),
    event: { incident: 'too_many_attempts', detail },
  };
}

function decideNotShown(refund: LockedRefund, order: LockedOrder, booking: NotShownBooking, now: Date): Change {
  if (refund.leaseToken !== booking.leaseToken) return STALE;
  if (booking.found === null) return { result: 'applied', fields: RELEASE_LEASE, event: null };
  const doubtEnds =
    refund.inDoubtSince !== null && secondsBetween(refund.inDoubtSince, booking.askedAt) >= DOUBT_SECONDS;
  const inDoubtSince = doubtEnds ? null : refund.inDoubtSince;
  const detail = { found: false };

  if (refund.state === 'outcome_unknown') {
    if (refund.attempts < ATTEMPTS_MAX) {
      const nextAttemptAt = later(now, order.nextSendAt);
      return {
        result: 'applied',
        fields: moveTo(refund, 'queued', now, { inDoubtSince, nextAttemptAt }),
        event: { incident: null, detail },
      };
    }
    if (inDoubtSince === null) return tooManyAttempts(refund, now, {}, detail);
  }
  const lost = refund.state === 'accepted' && secondsBetween(refund.stateSince, now) >= LOST_ACCEPTED_SECONDS;
  return {
    result: 'applied',
    fields: { ...RELEASE_LEASE, inDoubtSince },
    event: lost ? { incident: 'accepted_not_found', detail } : null,
  };
}

/** Why a move asked for by a caller cannot be made; the service turns it into the answer of design.md 8. */
export type MoveRefusal = 'invalid_state' | 'send_in_doubt' | 'amount_exceeds_refundable';

function decideMove(refund: LockedRefund, order: LockedOrder, booking: MoveBooking, now: Date): Change {
  const { to } = booking;
  const refused = (reason: MoveRefusal): Change => ({ result: 'refused', reason, fields: {}, event: null });
  if (!booking.from.includes(refund.state) || !isOurMove(refund.state, to)) return refused('invalid_state');
  if (REFUND_STATES[to].money === 'released' && refund.inDoubtSince !== null) return refused('send_in_doubt');
  if (booking.cause === 'lease' && !(refund.leaseUntil !== null && refund.leaseUntil < now)) return STALE;
  const event = { incident: null, detail: booking.detail ?? {} };

  switch (to) {
    case 'queued':
      return {
        result: 'applied',
        fields: moveTo(refund, to, now, {
          ...NO_FAILURE,
          attempts: booking.cause === 'operator' ? 0 : refund.attempts,
          notSentCount: 0,
          nextAttemptAt: later(now, order.nextSendAt),
        }),
        event,
      };
    case 'outcome_unknown':
      return {
        result: 'applied',
        fields: moveTo(refund, to, now, {
          attempts: refund.attempts + 1,
          nextQueryAt: now,
          failureCode: 'outcome_unknown',
          failureMessage: 'the lease ran out before an answer was booked',
        }),
        event: { ...event, incident: refund.attempts + 1 >= ATTEMPTS_MAX ? 'too_many_attempts' : null },
      };
    case 'succeeded':
      return {
        result: 'applied',
        fields: moveTo(refund, to, now, { ...NO_FAILURE, succeededAt: now.toISOString() }),
        event,
      };
    case 'rejected':
      return { result: 'applied', fields: moveTo(refund, to, now, { failureCode: rejectionCode(booking) }), event };
    case 'closed':
    case 'canceled':
      return { result: 'applied', fields: moveTo(refund, to, now, {}), event };
    default:
      return refused('invalid_state');
  }
}

function rejectionCode(booking: MoveBooking): string {
  return booking.cause === 'window' ? 'refund_window_expired' : 'resolved_by_operator';
}
