import type { LockedOrder, LockedRefund, MoveBooking, RefundFields } from './bookings.js';
import { type Change, later, moveTo, NO_FAILURE, STALE } from './change.js';
import { ATTEMPTS_MAX } from './limits.js';
import { isOurMove, REFUND_STATES, type RefundState } from './states.js';

/** Why a move asked for by a caller cannot be made; the service turns it into the answer of design.md 8. */
export type MoveRefusal = 'invalid_state' | 'send_in_doubt' | 'amount_exceeds_refundable' | 'refund_count_exceeded';

/** A move that is not made. */
export function refusedMove(reason: MoveRefusal): Change {
  return { result: 'refused', reason, fields: {}, event: null };
}

/** What a move of ours outside a send does. While a send is in doubt nothing is released. */
export function decideMove(refund: LockedRefund, order: LockedOrder, booking: MoveBooking, now: Date): Change {
  const refusal = refusalOf(refund, booking);
  if (refusal !== null) return refusedMove(refusal);
  const runOut = refund.leaseUntil !== null && refund.leaseUntil < now;
  if (booking.cause === 'lease' && !runOut) return STALE;
  const fields = FIELDS[booking.to]?.(refund, order, booking, now);
  if (!fields) return refusedMove('invalid_state');
  const exhausted = (fields.attempts ?? 0) >= ATTEMPTS_MAX;
  return {
    result: 'applied',
    fields: moveTo(refund, booking.to, now, fields),
    event: { incident: exhausted ? 'too_many_attempts' : null, detail: booking.detail ?? {} },
  };
}

function refusalOf(refund: LockedRefund, { from, to }: MoveBooking): MoveRefusal | null {
  if (!from.includes(refund.state) || !isOurMove(refund.state, to)) return 'invalid_state';
  if (REFUND_STATES[to].money === 'released' && refund.inDoubtSince !== null) return 'send_in_doubt';
  return null;
}

type FieldsOf = (refund: LockedRefund, order: LockedOrder, booking: MoveBooking, now: Date) => Partial<RefundFields>;

/** What else changes with the state a move leads to; a state that is not here is not reached by a move. */
const FIELDS: Readonly<Partial<Record<RefundState, FieldsOf>>> = {
  queued: (_refund, order, booking, now) => ({
    ...NO_FAILURE,
    ...(booking.cause === 'operator' && { attempts: 0 }),
    notSentCount: 0,
    nextAttemptAt: later(now, order.nextSendAt),
  }),
  outcome_unknown: (refund, _order, _booking, now) => ({
    attempts: refund.attempts + 1,
    nextQueryAt: now,
    failureCode: 'outcome_unknown',
    failureMessage: 'the lease ran out before an answer was booked',
  }),
  succeeded: (_refund, _order, _booking, now) => ({ ...NO_FAILURE, succeededAt: now.toISOString() }),
  rejected: () => ({ failureCode: 'resolved_by_operator' }),
  closed: () => ({ failureCode: 'resolved_by_operator' }),
  canceled: () => ({}),
};
