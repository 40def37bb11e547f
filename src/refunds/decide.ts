import { assertNever } from '../common/assert.js';
import type { AnyBooking, LockedOrder, LockedRefund } from './bookings.js';
import type { Change } from './change.js';
import { decideMove } from './decide-move.js';
import { decideProof, decideWake } from './decide-proof.js';
import { decideNotShown, decideSend } from './decide-send.js';

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
