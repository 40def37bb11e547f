import { before, at, booking, notFound, NOW, order, refund, sent, shown } from '../../test/support/locked-rows.js';
import type { AnyBooking, LockedRefund, SendBooking } from './bookings.js';
import { decide } from './decide.js';
import { moveMoney, refundableFen } from './money.js';
import type { ShownRefund } from './refund-gateway.port.js';
import type { RefundState } from './states.js';

describe('a send that ended without proof', () => {
  it.each<[SendBooking['outcome'], RefundState, Date | null]>([
    ['not_sent', 'queued', at(10)],
    ['later', 'queued', at(60)],
    ['balance', 'insufficient_balance', at(3600)],
    ['configuration', 'blocked', null],
    ['refused', 'rejected', null],
    ['differs', 'mismatch', null],
  ])('%s, of a refund that was not in doubt, leads to %s and leaves no doubt', (outcome, state, nextAttemptAt) => {
    const { fields } = decide(refund('submitting'), order(), sent(outcome), NOW);
    expect(fields).toMatchObject({ state, nextAttemptAt, inDoubtSince: null, leaseToken: null });
  });

  it('unknown keeps the doubt of the claim and asks in ten seconds', () => {
    const { fields } = decide(refund('submitting'), order(), sent('unknown'), NOW);
    expect(fields).toMatchObject({
      state: 'outcome_unknown',
      inDoubtSince: before(1),
      nextQueryAt: at(10),
      attempts: 1,
    });
  });

  it.each(['later', 'balance', 'configuration', 'refused', 'differs'] as const)(
    '%s, of a refund that was in doubt before, is unknown with the earlier doubt',
    (outcome) => {
      const { fields } = decide(refund('submitting'), order(), sent(outcome, { inDoubtBefore: before(500) }), NOW);
      expect(fields).toMatchObject({ state: 'outcome_unknown', inDoubtSince: before(500) });
    },
  );

  it('not_sent puts the earlier doubt back, does not count, and waits 10 s, 1 m, then 5 m', () => {
    const waits = [0, 1, 2, 3].map((notSentCount) => {
      const { fields } = decide(
        refund('submitting', { notSentCount }),
        order(),
        sent('not_sent', { inDoubtBefore: before(500) }),
        NOW,
      );
      expect(fields).toMatchObject({ inDoubtSince: before(500), firstSentAt: null });
      expect(fields.attempts).toBeUndefined();
      return ((fields.nextAttemptAt?.getTime() ?? 0) - NOW.getTime()) / 1000;
    });
    expect(waits).toEqual([10, 60, 300, 300]);
  });

  it('a missed slot is due again at once, in its old place', () => {
    const { fields } = decide(refund('submitting'), order(), sent('not_sent', { code: 'slot_missed' }), NOW);
    expect(fields).toMatchObject({ state: 'queued', nextAttemptAt: before(30), notSentCount: 0 });
  });

  it('the tenth "later" blocks at once; the tenth unknown stays unknown, as an incident', () => {
    const tired = refund('submitting', { attempts: 9 });
    expect(decide(tired, order(), sent('later'), NOW).fields).toMatchObject({
      state: 'blocked',
      failureCode: 'too_many_attempts',
    });
    const unknown = decide(tired, order(), sent('unknown'), NOW);
    expect(unknown).toMatchObject({ fields: { state: 'outcome_unknown' }, event: { incident: 'too_many_attempts' } });
  });

  it('balance and configuration do not count as attempts', () => {
    for (const outcome of ['balance', 'configuration'] as const) {
      expect(decide(refund('submitting', { attempts: 9 }), order(), sent(outcome), NOW).fields.attempts).toBe(9);
    }
  });

  it('by a worker whose lease is over is stale and changes nothing', () => {
    for (const outcome of ['not_sent', 'later', 'refused', 'unknown'] as const) {
      const other = decide(refund('submitting', { leaseToken: 'another' }), order(), sent(outcome), NOW);
      const moved = decide(refund('accepted', { leaseToken: 'call' }), order(), sent(outcome), NOW);
      expect([other, moved]).toEqual(Array(2).fill({ result: 'stale', fields: {}, event: null }));
    }
  });
});

describe('"not found"', () => {
  const unknown = (change: Partial<LockedRefund> = {}): LockedRefund =>
    refund('outcome_unknown', { leaseToken: 'call', leaseUntil: at(10), inDoubtSince: before(60), ...change });

  it('sends again under the same number, still in doubt before twenty minutes', () => {
    const { fields } = decide(unknown(), order({ nextSendAt: at(30) }), notFound(), NOW);
    expect(fields).toMatchObject({ state: 'queued', inDoubtSince: before(60), nextAttemptAt: at(30) });
  });

  it('ends the doubt when asked twenty minutes after the send, not a second earlier', () => {
    expect(
      decide(unknown({ inDoubtSince: before(1199) }), order(), notFound(), NOW).fields.inDoubtSince,
    ).not.toBeNull();
    expect(decide(unknown({ inDoubtSince: before(1200) }), order(), notFound(), NOW).fields.inDoubtSince).toBeNull();
  });

  it('after ten sends only asks on, until the doubt ends; then it blocks', () => {
    const early = decide(unknown({ attempts: 10 }), order(), notFound(), NOW).fields;
    expect(early.state).toBeUndefined();
    expect(
      decide(unknown({ attempts: 10, inDoubtSince: before(1300) }), order(), notFound(), NOW).fields,
    ).toMatchObject({
      state: 'blocked',
      failureCode: 'too_many_attempts',
    });
  });

  it.each(['accepted', 'abnormal', 'mismatch', 'rejected', 'canceled', 'queued'] as const)(
    'never moves a refund that is %s',
    (state) => {
      const { fields } = decide(refund(state, { leaseToken: 'call' }), order(), notFound(), NOW);
      expect(fields.state).toBeUndefined();
    },
  );

  it('for an accepted refund is an incident after a day', () => {
    const old = refund('accepted', { leaseToken: 'call', stateSince: before(86_400) });
    expect(decide(old, order(), notFound(), NOW).event?.incident).toBe('accepted_not_found');
    expect(decide(refund('accepted', { leaseToken: 'call' }), order(), notFound(), NOW).event).toBeNull();
  });

  it('and no answer at all are heard from the lease holder only', () => {
    const other = decide(unknown({ leaseToken: 'another' }), order(), notFound(), NOW);
    expect(other.result).toBe('stale');
    const silent = decide(unknown(), order(), { ...notFound(), found: null } as AnyBooking, NOW);
    expect(silent.fields).toEqual({ leaseToken: null, leaseUntil: null });
  });
});

describe('WeChat’s word', () => {
  const proof = (change: Partial<ShownRefund>, cause: 'answer' | 'query' | 'notice' = 'query'): AnyBooking => ({
    ...booking,
    kind: 'proof',
    cause,
    shown: shown(change),
    askedAt: NOW,
  });

  it.each<[keyof ShownRefund, unknown]>([
    ['mchId', '1900000002'],
    ['appid', 'wx2'],
    ['outTradeNo', 'T000002'],
    ['transactionId', '43'],
    ['outRefundNo', 'R2'],
    ['refundFen', 299],
    ['totalFen', 999],
  ])('with another %s is a mismatch and never what it says', (field, value) => {
    const change = decide(refund('submitting'), order(), proof({ status: 'succeeded', [field]: value }), NOW);
    expect(change).toMatchObject({
      result: 'refused',
      fields: { state: 'mismatch', nextQueryAt: NOW },
      event: { incident: 'mismatch' },
    });
  });

  it('with another refund_id than the one we know is a mismatch', () => {
    const change = decide(refund('accepted', { refundId: '49' }), order(), proof({ status: 'succeeded' }), NOW);
    expect(change.fields.state).toBe('mismatch');
  });

  it('after a final state changes nothing when it differs, and a person hears of it', () => {
    const change = decide(refund('succeeded'), order(), proof({ refundFen: 1 }), NOW);
    expect(change).toMatchObject({ result: 'refused', event: { incident: 'mismatch_after_final' } });
    expect(change.fields.state).toBeUndefined();
  });

  it('clears the doubt, whatever state it finds', () => {
    for (const state of ['outcome_unknown', 'accepted', 'queued', 'mismatch'] as const) {
      expect(
        decide(refund(state, { inDoubtSince: before(10) }), order(), proof({}), NOW).fields.inDoubtSince,
      ).toBeNull();
    }
  });

  it('in an answer that is about another refund leaves or opens the doubt; a query for our number settles it', () => {
    const doubtful = refund('submitting', { inDoubtSince: before(5) });
    const other = proof({ outRefundNo: 'R2' }, 'answer');
    expect(decide(doubtful, order(), other, NOW).fields.inDoubtSince).toEqual(before(5));
    expect(decide(refund('accepted'), order(), other, NOW).fields.inDoubtSince).toEqual(NOW);
    expect(decide(doubtful, order(), proof({ refundFen: 5 }, 'query'), NOW).fields.inDoubtSince).toBeNull();
  });

  it('takes an abnormal refund back to accepted only if it was asked after that was booked', () => {
    const abnormal = refund('abnormal');
    expect(decide(abnormal, order(), proof({}), NOW).fields.state).toBe('accepted');
    expect(
      decide(abnormal, order(), { ...proof({}), askedAt: before(61) } as AnyBooking, NOW).fields.state,
    ).toBeUndefined();
  });
});

describe('a move by a caller', () => {
  const move = (to: RefundState, from: RefundState[]): AnyBooking => ({
    ...booking,
    kind: 'move',
    cause: 'operator',
    to,
    from,
  });

  it.each<[RefundState, RefundState]>([
    ['canceled', 'queued'],
    ['closed', 'mismatch'],
    ['rejected', 'mismatch'],
  ])('to %s is refused while a send is in doubt', (to, from) => {
    const change = decide(refund(from, { inDoubtSince: before(5) }), order(), move(to, [from]), NOW);
    expect(change).toMatchObject({ result: 'refused', reason: 'send_in_doubt', fields: {} });
  });

  it('along no edge is refused', () => {
    expect(decide(refund('accepted'), order(), move('canceled', ['accepted']), NOW)).toMatchObject({
      reason: 'invalid_state',
    });
    expect(decide(refund('succeeded'), order(), move('queued', ['succeeded']), NOW)).toMatchObject({
      reason: 'invalid_state',
    });
  });

  it('of a sent refund to canceled has it asked for once more in an hour', () => {
    expect(decide(refund('queued'), order(), move('canceled', ['queued']), NOW).fields.nextQueryAt).toEqual(at(3600));
    expect(
      decide(refund('queued', { firstSentAt: null }), order(), move('canceled', ['queued']), NOW).fields.nextQueryAt,
    ).toBeNull();
  });
});

describe('the money of an order', () => {
  it('follows a refund through its life and back', () => {
    const now = order();
    const one = refund('accepted');
    one.bookedOutside = moveMoney(now, one, 'closed', 50);
    expect(now).toMatchObject({ reservedFen: 0, refundedFen: 0, refundCount: 0 });
    one.state = 'closed';
    one.bookedOutside = moveMoney(now, one, 'succeeded', 50);
    expect(now).toMatchObject({ reservedFen: 0, refundedFen: 300, outsideFen: 0, refundCount: 1 });
  });

  it('takes late truth outside when there is no room in money or in count', () => {
    for (const full of [order({ reservedFen: 800 }), order({ reservedFen: 100, refundCount: 50 })]) {
      const counts = { ...full };
      expect(moveMoney(full, refund('rejected'), 'succeeded', 50)).toBe(true);
      expect(full).toEqual({ ...counts, outsideFen: 300 });
      expect(moveMoney(full, refund('succeeded', { bookedOutside: true }), 'closed', 50)).toBe(false);
      expect(full).toEqual(counts);
    }
  });

  it('of an external refund always stands outside and is not counted', () => {
    const now = order();
    expect(moveMoney(now, refund('accepted', { source: 'external', bookedOutside: true }), 'succeeded', 50)).toBe(true);
    expect(now).toMatchObject({ outsideFen: 0 + 300 - 300, refundCount: 1 });
  });

  it('that can be refunded is never negative', () => {
    expect(refundableFen(order({ reservedFen: 900, outsideFen: 500 }))).toBe(0);
  });
});
