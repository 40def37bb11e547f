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
