import type { LockedOrder, LockedRefund } from './bookings.js';
import type { Fen } from '../common/fen.js';
import { REFUND_STATES, type RefundState } from './states.js';

/** What an order still has to give: the intake reserves against exactly this (design.md 4). */
export function refundableFen(order: Pick<LockedOrder, 'paidFen' | 'reservedFen' | 'refundedFen' | 'outsideFen'>): Fen {
  return Math.max(0, order.paidFen - order.reservedFen - order.refundedFen - order.outsideFen);
}

/** True when the order can take one more refund of this amount. */
export function hasRoom(order: LockedOrder, amountFen: Fen, refundsPerOrderMax: number): boolean {
  return amountFen <= refundableFen(order) && order.refundCount < refundsPerOrderMax;
}

type Counters = Pick<LockedOrder, 'reservedFen' | 'refundedFen' | 'outsideFen' | 'refundCount'>;

/** The share of one refund in its order's counters: inside as reserved or refunded, outside as a fact without a reservation. */
function shareOf(state: RefundState, bookedOutside: boolean, amountFen: Fen): Counters {
  const { money } = REFUND_STATES[state];
  const nothing = { reservedFen: 0, refundedFen: 0, outsideFen: 0, refundCount: 0 };
  if (money === 'released') return nothing;
  if (bookedOutside) return { ...nothing, outsideFen: amountFen };
  return { ...nothing, [money === 'reserved' ? 'reservedFen' : 'refundedFen']: amountFen, refundCount: 1 };
}

/**
 * Moves a refund's money from one state to another in its order's counters and says whether it now stands outside.
 * Leaving a released state takes room on the order if there is any, else the fact is booked outside, as every external refund is;
 * released money drops the mark.
 */
export function moveMoney(
  order: LockedOrder,
  refund: Pick<LockedRefund, 'state' | 'bookedOutside' | 'amountFen' | 'source'>,
  to: RefundState,
  refundsPerOrderMax: number,
): boolean {
  const wasReleased = REFUND_STATES[refund.state].money === 'released';
  const outside =
    REFUND_STATES[to].money !== 'released' &&
    (refund.source === 'external' ||
      (wasReleased ? !hasRoom(order, refund.amountFen, refundsPerOrderMax) : refund.bookedOutside));
  const before = shareOf(refund.state, refund.bookedOutside, refund.amountFen);
  const now = shareOf(to, outside, refund.amountFen);
  order.reservedFen += now.reservedFen - before.reservedFen;
  order.refundedFen += now.refundedFen - before.refundedFen;
  order.outsideFen += now.outsideFen - before.outsideFen;
  order.refundCount += now.refundCount - before.refundCount;
  return outside;
}
