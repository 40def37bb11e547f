import type { LockedRefund, RefundFields } from './bookings.js';
import { AFTERMATH_GAPS_SECONDS, QUERY_GAPS_SECONDS } from './limits.js';
import type { RefundState } from './states.js';

/** What a booking does to a locked refund. `event` null: nothing worth a line in its history. */
export interface Change {
  readonly result: 'applied' | 'repeat' | 'refused' | 'stale';
  readonly reason?: string;
  readonly fields: Partial<RefundFields>;
  readonly event: { readonly incident: string | null; readonly detail: Readonly<Record<string, unknown>> } | null;
  /** Nothing went out: the order's spacing need not run. */
  readonly freesSpacing?: true;
}

/** The holder's word came too late: its lease is over. */
export const STALE: Change = { result: 'stale', fields: {}, event: null };
export const RELEASE_LEASE = { leaseToken: null, leaseUntil: null } as const;
export const NO_FAILURE = { failureCode: null, failureWechatCode: null, failureMessage: null } as const;

export const after = (now: Date, seconds: number): Date => new Date(now.getTime() + seconds * 1000);
export const secondsBetween = (from: Date, to: Date): number => (to.getTime() - from.getTime()) / 1000;
/** The later of two times; null is no time. */
export const later = (a: Date, b: Date | null): Date => (b !== null && b > a ? b : a);

/** States that WeChat is asked about until it has shown an end; a queued one only while it is in doubt. */
const ON_THE_LIST: readonly RefundState[] = ['outcome_unknown', 'accepted', 'abnormal', 'mismatch'];
/** States after whose booking a refund that was sent is asked for twice more. */
export const ASKED_TWICE: readonly RefundState[] = ['rejected', 'canceled'];

/** Seconds until the refund is asked for after a change of state; null for never. */
function queryDelay(refund: LockedRefund, to: RefundState, inDoubt: boolean): number | null {
  if (to === 'mismatch') return 0;
  if (ON_THE_LIST.includes(to) || (to === 'queued' && inDoubt)) return QUERY_GAPS_SECONDS[0];
  return ASKED_TWICE.includes(to) && refund.firstSentAt !== null ? AFTERMATH_GAPS_SECONDS[0] : null;
}

/** When the refund is asked for next; the list of gaps starts again. A question that is due, which a notice woke, stays due. */
function queryPlan(
  refund: LockedRefund,
  to: RefundState,
  now: Date,
  inDoubt: boolean,
): Pick<RefundFields, 'nextQueryAt' | 'queryStep'> {
  const seconds = queryDelay(refund, to, inDoubt);
  const woken = refund.nextQueryAt !== null && refund.nextQueryAt <= now && to !== 'succeeded';
  // Of one that was never sent only a notice asks, and it goes on waiting for its answer.
  const kept = to === 'canceled' ? refund.nextQueryAt : null;
  return { nextQueryAt: woken ? now : seconds === null ? kept : after(now, seconds), queryStep: 0 };
}

/** WeChat has answered about a refund that is on no list, or the last time of two: it need not be asked again, until something wakes it. */
export function askedEnough({ state, inDoubtSince, queryStep }: LockedRefund): Partial<RefundFields> {
  const listed =
    ON_THE_LIST.includes(state) ||
    (ASKED_TWICE.includes(state) && queryStep < AFTERMATH_GAPS_SECONDS.length) ||
    (state === 'queued' && inDoubtSince !== null);
  return listed ? {} : { nextQueryAt: null };
}

/** The fields every change of state sets; a move ends any lease, so the holder's own later word is stale. */
export function moveTo(
  refund: LockedRefund,
  to: RefundState,
  now: Date,
  more: Partial<RefundFields>,
): Partial<RefundFields> {
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
