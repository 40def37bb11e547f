import type { LockedOrder, LockedRefund, NotShownBooking, RefundFields, SendBooking } from './bookings.js';
import {
  after,
  ASKED_TWICE,
  askedEnough,
  type Change,
  later,
  moveTo,
  RELEASE_LEASE,
  secondsBetween,
  STALE,
} from './change.js';
import {
  AFTERMATH_RETRY_SECONDS,
  ATTEMPTS_MAX,
  BALANCE_WAIT_SECONDS,
  DOUBT_SECONDS,
  LATER_WAIT_SECONDS,
  LOST_ACCEPTED_SECONDS,
  NOT_SENT_WAITS_SECONDS,
  SLOT_MISSED,
} from './limits.js';
import type { RefundState } from './states.js';

type UnprovenOutcome = SendBooking['outcome'];
type Refusal = Exclude<UnprovenOutcome, 'not_sent' | 'unknown'>;

/** Where a believed refusal leads; `waitSeconds` is the time to the next send. */
const REFUSALS: Readonly<Record<Refusal, { to: RefundState; waitSeconds: number | null; code: string }>> = {
  later: { to: 'queued', waitSeconds: LATER_WAIT_SECONDS, code: 'wechat_busy' },
  balance: { to: 'insufficient_balance', waitSeconds: BALANCE_WAIT_SECONDS, code: 'insufficient_balance' },
  configuration: { to: 'blocked', waitSeconds: null, code: 'configuration' },
  refused: { to: 'rejected', waitSeconds: null, code: 'refused_by_wechat' },
  differs: { to: 'mismatch', waitSeconds: null, code: 'mismatch' },
};

const COUNTS_AS_ATTEMPT: readonly UnprovenOutcome[] = ['later', 'unknown'];

/**
 * What a send that ended without proof does. Only the lease holder is heard. A refusal is believed only of a refund that was not in doubt
 * before this send; one that was is unknown again, with its earlier doubt.
 */
export function decideSend(refund: LockedRefund, booking: SendBooking, now: Date): Change {
  if (refund.leaseToken !== booking.leaseToken || refund.state !== 'submitting') return STALE;
  const { outcome, code, message, inDoubtBefore } = booking;
  const failure = { failureWechatCode: wechatCodeOf(code), failureMessage: message };
  if (outcome === 'not_sent') return notSent(refund, booking, failure, now);
  const attempts = refund.attempts + (COUNTS_AS_ATTEMPT.includes(outcome) ? 1 : 0);
  // Nothing was written: the first send is still to come, and its window is still to be checked.
  const firstSentAt = !booking.written && booking.firstSend ? null : refund.firstSentAt;
  const sent = { attempts, notSentCount: 0, firstSentAt, ...failure };
  if (outcome === 'unknown') return unknown(refund, booking, { ...sent, inDoubtSince: refund.inDoubtSince }, now);
  if (inDoubtBefore !== null) return unknown(refund, booking, { ...sent, inDoubtSince: inDoubtBefore }, now);
  return believed(refund, booking, sent, now);
}

/** WeChat's codes are in capitals, our own words for a missing answer are not. */
function wechatCodeOf(code: string | null): string | null {
  return code !== null && /^[A-Z]/.test(code) ? code : null;
}

function believed(
  refund: LockedRefund,
  booking: SendBooking,
  sent: Partial<RefundFields> & { readonly attempts: number },
  now: Date,
): Change {
  const outcome = booking.outcome as Refusal;
  if (outcome === 'later' && sent.attempts >= ATTEMPTS_MAX)
    return tooManyAttempts(refund, now, sent, detailOf(booking));
  const { to, waitSeconds, code: failureCode } = REFUSALS[outcome];
  const nextAttemptAt = waitSeconds === null ? null : after(now, waitSeconds);
  return {
    result: 'applied',
    fields: moveTo(refund, to, now, { ...sent, inDoubtSince: null, nextAttemptAt, failureCode }),
    event: { incident: to === 'mismatch' ? 'mismatch' : null, detail: detailOf(booking) },
  };
}

function detailOf({ outcome, code }: SendBooking): Readonly<Record<string, unknown>> {
  return { outcome, ...(code !== null && { code }) };
}

function notSent(refund: LockedRefund, booking: SendBooking, failure: Partial<RefundFields>, now: Date): Change {
  // A missed slot is a hiccup of ours and says nothing of the way to WeChat: due again at once, in its old place.
  const missed = booking.code === SLOT_MISSED;
  const step = Math.min(refund.notSentCount, NOT_SENT_WAITS_SECONDS.length - 1);
  const fields = moveTo(refund, 'queued', now, {
    inDoubtSince: booking.inDoubtBefore,
    firstSentAt: booking.firstSend ? null : refund.firstSentAt,
    nextAttemptAt: missed ? booking.dueAt : after(now, NOT_SENT_WAITS_SECONDS[step] ?? 0),
    notSentCount: refund.notSentCount + (missed ? 0 : 1),
    ...failure,
    failureCode: 'not_sent',
  });
  return { result: 'applied', fields, event: { incident: null, detail: detailOf(booking) }, freesSpacing: true };
}

function unknown(refund: LockedRefund, booking: SendBooking, fields: Partial<RefundFields>, now: Date): Change {
  const exhausted = (fields.attempts ?? 0) >= ATTEMPTS_MAX;
  return {
    result: 'applied',
    fields: moveTo(refund, 'outcome_unknown', now, { ...fields, failureCode: 'outcome_unknown' }),
    event: { incident: exhausted ? 'too_many_attempts' : null, detail: detailOf(booking) },
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

/** What a query that showed nothing does: by itself "not found" never means failed. Only the lease holder is heard. */
export function decideNotShown(refund: LockedRefund, order: LockedOrder, booking: NotShownBooking, now: Date): Change {
  if (refund.leaseToken !== booking.leaseToken) return STALE;
  if (booking.found === null)
    return { result: 'applied', fields: { ...RELEASE_LEASE, ...askAgain(refund, booking, now) }, event: null };
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
    fields: { ...RELEASE_LEASE, ...askedEnough(refund), inDoubtSince },
    event: lost ? { incident: 'accepted_not_found', detail } : null,
  };
}

/** One of the two questions after the end that got no answer is asked again and does not count; the other lists go on by themselves. */
function askAgain({ state, queryStep }: LockedRefund, { planned }: NotShownBooking, now: Date): Partial<RefundFields> {
  if (!planned || !ASKED_TWICE.includes(state)) return {};
  return { nextQueryAt: after(now, AFTERMATH_RETRY_SECONDS), queryStep: Math.max(0, queryStep - 1) };
}
