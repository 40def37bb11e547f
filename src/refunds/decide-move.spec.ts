import { at, before, booking, moved, NO_FAILURE, NOW, order, refund } from '../../test/support/locked-rows.js';
import type { AnyBooking, LockedRefund, MoveBooking, RefundFields } from './bookings.js';
import { decide } from './decide.js';
import type { RefundState } from './states.js';

const move = (to: RefundState, from: RefundState, change: Partial<MoveBooking> = {}): AnyBooking => ({
  ...booking,
  kind: 'move',
  cause: 'operator',
  to,
  from: [from],
  ...change,
});
const RESOLVED = { failureCode: 'resolved_by_operator' };

describe('the whole of what a move does', () => {
  it.each<[string, LockedRefund, AnyBooking, Partial<RefundFields>]>([
    [
      'an operator’s retry counts from nothing again',
      refund('blocked', { attempts: 10, notSentCount: 2 }),
      move('queued', 'blocked'),
      moved('queued', { ...NO_FAILURE, attempts: 0, notSentCount: 0, nextAttemptAt: at(30) }),
    ],
    [
      'a repaired configuration leaves the attempts',
      refund('blocked', { attempts: 3 }),
      move('queued', 'blocked', { cause: 'configuration' }),
      moved('queued', { ...NO_FAILURE, notSentCount: 0, nextAttemptAt: at(30) }),
    ],
    [
      'a resolved mismatch that succeeded',
      refund('mismatch'),
      move('succeeded', 'mismatch'),
      moved('succeeded', { ...NO_FAILURE, succeededAt: NOW.toISOString() }),
    ],
    [
      'a resolved mismatch that succeeded is not asked about, in doubt or not',
      refund('mismatch', { inDoubtSince: before(60) }),
      move('succeeded', 'mismatch'),
      moved('succeeded', { ...NO_FAILURE, succeededAt: NOW.toISOString() }),
    ],
    ['a resolved mismatch that was closed', refund('mismatch'), move('closed', 'mismatch'), moved('closed', RESOLVED)],
    [
      'a resolved mismatch that was rejected is asked for once more',
      refund('mismatch'),
      move('rejected', 'mismatch'),
      moved('rejected', { ...RESOLVED, nextQueryAt: at(3600) }),
    ],
    [
      'a cancel of what was never sent',
      refund('queued', { firstSentAt: null }),
      move('canceled', 'queued'),
      moved('canceled', {}),
    ],
    [
      'a cancel of what was never sent, while its notice waits for a question that is to come again',
      refund('queued', { firstSentAt: null, nextQueryAt: at(600) }),
      move('canceled', 'queued'),
      moved('canceled', { nextQueryAt: at(600) }),
    ],
    [
      'a retry in doubt is asked about, but not canceled',
      refund('outcome_unknown', { inDoubtSince: before(60) }),
      move('queued', 'outcome_unknown'),
      moved('queued', { ...NO_FAILURE, attempts: 0, notSentCount: 0, nextAttemptAt: at(30), nextQueryAt: at(10) }),
    ],
  ])('%s', (_, of, what, fields) => {
    expect(decide(of, order({ nextSendAt: at(30) }), what, NOW)).toEqual({
      result: 'applied',
      fields,
      event: { incident: null, detail: {} },
    });
  });

  it('keeps its detail in the history', () => {
    const change = decide(refund('mismatch'), order(), move('closed', 'mismatch', { detail: { reason: 'why' } }), NOW);
    expect(change.event).toEqual({ incident: null, detail: { reason: 'why' } });
  });

  it('leaves a question that is due, which a notice woke, due; not one that is still to come, nor after success', () => {
    const nextQueryAt = (queryAt: Date | null, to: RefundState): unknown =>
      decide(refund('mismatch', { nextQueryAt: queryAt }), order(), move(to, 'mismatch'), NOW).fields.nextQueryAt;
    expect([nextQueryAt(before(1), 'closed'), nextQueryAt(NOW, 'closed')]).toEqual([NOW, NOW]);
    expect([nextQueryAt(at(1), 'closed'), nextQueryAt(before(1), 'succeeded')]).toEqual([null, null]);
  });
});

describe('the end of a lease', () => {
  const lease = move('outcome_unknown', 'submitting', { cause: 'lease' });

  it.each<[number, string]>([
    [9, 'applied'],
    [8, 'applied'],
  ])('that has run out leaves the outcome unknown, asked for at once (after %i attempts)', (attempts) => {
    expect(decide(refund('submitting', { leaseUntil: before(1), attempts }), order(), lease, NOW)).toEqual({
      result: 'applied',
      fields: moved('outcome_unknown', {
        attempts: attempts + 1,
        nextQueryAt: NOW,
        failureCode: 'outcome_unknown',
        failureMessage: 'the lease ran out before an answer was booked',
      }),
      event: { incident: attempts === 9 ? 'too_many_attempts' : null, detail: {} },
    });
  });

  it.each([
    ['runs on', at(1)],
    ['ends this moment', NOW],
    ['is none', null],
  ])('that %s is stale', (_, leaseUntil) => {
    expect(decide(refund('submitting', { leaseUntil }), order(), lease, NOW)).toEqual({
      result: 'stale',
      fields: {},
      event: null,
    });
  });
});

describe('a move that is not made', () => {
  const refused = (reason: string): object => ({ result: 'refused', reason, fields: {}, event: null });

  it.each<[string, RefundState, RefundState, RefundState, string]>([
    ['from another state than the caller meant', 'queued', 'blocked', 'canceled', 'invalid_state'],
    ['along no edge', 'accepted', 'accepted', 'canceled', 'invalid_state'],
    ['to a state that no move leads to', 'queued', 'queued', 'submitting', 'invalid_state'],
  ])('%s', (_, state, from, to, reason) => {
    expect(decide(refund(state), order(), move(to, from), NOW)).toEqual(refused(reason));
  });

  it('releases money in doubt', () => {
    const doubtful = { inDoubtSince: before(5) };
    for (const to of ['closed', 'rejected'] as const)
      expect(decide(refund('mismatch', doubtful), order(), move(to, 'mismatch'), NOW)).toEqual(
        refused('send_in_doubt'),
      );
    expect(decide(refund('mismatch', doubtful), order(), move('succeeded', 'mismatch'), NOW).result).toBe('applied');
  });
});
