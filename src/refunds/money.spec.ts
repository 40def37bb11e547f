import fc from 'fast-check';
import type { LockedOrder } from './bookings.js';
import { hasRoom, moveMoney, refundableFen } from './money.js';
import { REFUND_STATE_NAMES, REFUND_STATES, type RefundState } from './states.js';

interface Held {
  state: RefundState;
  bookedOutside: boolean;
  readonly amountFen: number;
  readonly source: 'api' | 'external';
}

const PAID_FEN = 10_000_019;
const REFUNDS_MAX = 50;
/** Replays with SEED=<the seed that a failure prints>. */
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

const order = (): LockedOrder => ({
  id: 'o',
  outTradeNo: 'T1',
  transactionId: null,
  paidFen: PAID_FEN,
  paidAt: null,
  nextSendAt: null,
  reservedFen: 0,
  refundedFen: 0,
  outsideFen: 0,
  refundCount: 0,
  eventSequence: 0,
});

/** The counters an order must have, from its refunds alone: design.md 4, read a second time. */
function expected(refunds: readonly Held[]): object {
  const live = refunds.filter(({ state }) => REFUND_STATES[state].money !== 'released');
  const sum = (some: readonly Held[]): number => some.reduce((total, { amountFen }) => total + amountFen, 0);
  const inside = live.filter(({ bookedOutside }) => !bookedOutside);
  return {
    reservedFen: sum(inside.filter(({ state }) => state !== 'succeeded')),
    refundedFen: sum(inside.filter(({ state }) => state === 'succeeded')),
    outsideFen: sum(live.filter(({ bookedOutside }) => bookedOutside)),
    refundCount: inside.length,
  };
}

const steps = fc.array(
  fc.record({
    place: fc.nat(59),
    to: fc.constantFrom(...REFUND_STATE_NAMES),
    amountFen: fc.integer({ min: 1, max: PAID_FEN }),
    external: fc.boolean(),
  }),
  { minLength: 1, maxLength: 200 },
);

describe('the counters of an order', () => {
  it(`equal the sums of its refunds after any history, and never pass what was paid inside (seed ${seed})`, () => {
    const property = fc.property(steps, (history) => {
      const now = order();
      const refunds = new Map<number, Held>();
      for (const { place, to, amountFen, external } of history) {
        const known = refunds.get(place);
        const refund: Held = known ?? {
          state: 'canceled',
          bookedOutside: false,
          amountFen: (amountFen % Math.floor(PAID_FEN / 7)) + 1,
          source: external ? 'external' : 'api',
        };
        refund.bookedOutside = moveMoney(now, refund, to, REFUNDS_MAX);
        refund.state = to;
        refunds.set(place, refund);
        expect(now).toMatchObject(expected([...refunds.values()]));
        expect(now.reservedFen + now.refundedFen).toBeLessThanOrEqual(PAID_FEN);
        expect(now.refundCount).toBeLessThanOrEqual(REFUNDS_MAX);
      }
    });
    fc.assert(property, { seed, numRuns: 300 });
  });

  it('give an order back to the last fen in fifty parts, remainder included', () => {
    const now = order();
    const part = Math.floor(PAID_FEN / REFUNDS_MAX);
    const parts = [...Array<number>(REFUNDS_MAX - 1).fill(part), PAID_FEN - part * (REFUNDS_MAX - 1)];
    for (const amountFen of parts) {
      const refund: Held = { state: 'canceled', bookedOutside: false, amountFen, source: 'api' };
      expect(refundableFen(now)).toBeGreaterThanOrEqual(amountFen);
      moveMoney(now, refund, 'succeeded', REFUNDS_MAX);
    }
    expect(now).toMatchObject({ refundedFen: PAID_FEN, reservedFen: 0, outsideFen: 0, refundCount: REFUNDS_MAX });
    expect(refundableFen(now)).toBe(0);
  });
});

describe('the room of an order', () => {
  const paid = { ...order(), paidFen: 1000 };

  it('is what was paid less what is reserved, refunded and outside, and never negative', () => {
    expect(refundableFen(paid)).toBe(1000);
    expect(refundableFen({ ...paid, reservedFen: 1, refundedFen: 20, outsideFen: 300 })).toBe(679);
    expect(refundableFen({ ...paid, reservedFen: 900, outsideFen: 101 })).toBe(0);
  });

  it.each<[string, number, number, boolean]>([
    ['the last fen in the last place', 1000, 49, true],
    ['a fen too much', 1001, 49, false],
    ['one refund too many', 1, 50, false],
    ['both too much', 1001, 50, false],
  ])('holds %s or not', (_, amountFen, refundCount, room) => {
    expect(hasRoom({ ...paid, refundCount }, amountFen, REFUNDS_MAX)).toBe(room);
  });

  it('is not asked for by money that is held already, inside or outside', () => {
    const full = { ...paid, reservedFen: 1000, refundCount: 50 };
    const inside: Held = { state: 'accepted', bookedOutside: false, amountFen: 1000, source: 'api' };
    expect(moveMoney(full, inside, 'succeeded', REFUNDS_MAX)).toBe(false);
    expect(full).toMatchObject({ reservedFen: 0, refundedFen: 1000, outsideFen: 0, refundCount: 50 });
    const roomy = { ...paid, outsideFen: 10 };
    const outside: Held = { state: 'accepted', bookedOutside: true, amountFen: 10, source: 'api' };
    expect(moveMoney(roomy, outside, 'succeeded', REFUNDS_MAX)).toBe(true);
    expect(roomy).toMatchObject({ reservedFen: 0, refundedFen: 0, outsideFen: 10, refundCount: 0 });
  });

  it('is taken by late truth where there is some; without any, and for refunds made by hand, it stands outside', () => {
    const late = (now: LockedOrder, source: Held['source']): boolean =>
      moveMoney(now, { state: 'rejected', bookedOutside: false, amountFen: 10, source }, 'succeeded', REFUNDS_MAX);
    expect([
      late({ ...paid }, 'api'),
      late({ ...paid, reservedFen: 991 }, 'api'),
      late({ ...paid, refundCount: 50 }, 'api'),
    ]).toEqual([false, true, true]);
    expect(late({ ...paid }, 'external')).toBe(true);
  });

  it('is given back by money that is let go, wherever it stood, and the mark with it', () => {
    const now = { ...paid, outsideFen: 10, reservedFen: 20, refundCount: 1 };
    expect(
      moveMoney(
        now,
        { state: 'accepted', bookedOutside: true, amountFen: 10, source: 'external' },
        'closed',
        REFUNDS_MAX,
      ),
    ).toBe(false);
    expect(
      moveMoney(now, { state: 'accepted', bookedOutside: false, amountFen: 20, source: 'api' }, 'closed', REFUNDS_MAX),
    ).toBe(false);
    expect(now).toMatchObject({ reservedFen: 0, refundedFen: 0, outsideFen: 0, refundCount: 0 });
    expect(
      moveMoney(now, { state: 'rejected', bookedOutside: false, amountFen: 20, source: 'api' }, 'closed', REFUNDS_MAX),
    ).toBe(false);
    expect(now).toMatchObject({ reservedFen: 0, refundedFen: 0, outsideFen: 0, refundCount: 0 });
  });
});
