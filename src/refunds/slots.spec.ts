import { afterError, currentRate, handOutSlots, isSetBack, type RateState, slotsToHandOut } from './slots.js';

const LIMITS = { refundRatePerSecond: 150, refundFailureRatePerSecond: 6 };
const NOW = 1_800_000_000_000;
const state = (change: Partial<RateState> = {}): RateState => ({
  nextSlotMs: NOW,
  ratePerSecond: 150,
  rateChangedMs: NOW - 10_000,
  recentErrorsMs: [],
  ...change,
});

describe('send slots', () => {
  it('lie so far apart that no rolling second holds more than 150, late writes included', () => {
    let current = state();
    const slots: number[] = [];
    for (let claim = 0, nowMs = NOW; claim < 100; claim += 1, nowMs += 50) {
      const count = slotsToHandOut(current, nowMs);
      const out = handOutSlots(
        current,
        nowMs,
        Array.from({ length: count }, () => false),
      );
      slots.push(...out.slotsMs);
      current = { ...current, nextSlotMs: out.nextSlotMs };
    }
    const TOLERANCE_MS = 20;
    const fullest = Math.max(
      ...slots.map((from) => slots.filter((at) => at >= from && at < from + 1000 + TOLERANCE_MS).length),
    );
    expect(fullest).toBeLessThanOrEqual(150);
    expect(slots.length).toBeGreaterThan(700);
  });

  it('are never saved up, and at most 15 are handed out by one claim', () => {
    const idle = state({ nextSlotMs: NOW - 60_000 });
    expect(slotsToHandOut(idle, NOW)).toBe(15);
    expect(handOutSlots(idle, NOW, [false]).slotsMs[0]).toBeGreaterThan(NOW);
    expect(slotsToHandOut(state({ nextSlotMs: NOW + 600 }), NOW)).toBe(0);
  });

  it('are handed out half a second ahead, no further', () => {
    const slow = (nextSlotMs: number): number => slotsToHandOut({ nextSlotMs, ratePerSecond: 10 }, NOW);
    expect([slow(NOW), slow(NOW + 400), slow(NOW + 499), slow(NOW + 500)]).toEqual([5, 1, 1, 0]);
  });

  it('far ahead, since the database clock was set back, give way to one in a second', () => {
    const hourAhead = state({ nextSlotMs: NOW + 3_600_000 });
    expect([isSetBack(hourAhead, NOW), isSetBack(state({ nextSlotMs: NOW + 3000 }), NOW)]).toEqual([true, false]);
    expect(slotsToHandOut(hourAhead, NOW)).toBe(0);
    expect(handOutSlots(hourAhead, NOW, [false]).slotsMs).toEqual([NOW + 1000]);
  });

  it('of orders older than a month are at most 5,000 a minute', () => {
    const { slotsMs } = handOutSlots(
      state(),
      NOW,
      Array.from({ length: 10 }, () => true),
    );
    const gaps = slotsMs.slice(1).map((at, place) => at - (slotsMs[place] ?? 0));
    for (const gap of gaps) expect(gap).toBeCloseTo(60_000 / 4800, 3);
  });
});

describe('the rate of a merchant', () => {
  it('starts at 30 a second after 5 idle seconds and doubles each second up to the limit', () => {
    let current = state({ nextSlotMs: NOW - 5001 });
    const rates: number[] = [];
    for (let second = 0; second < 4; second += 1) {
      const nowMs = NOW + second * 1000;
      current = { ...current, ...currentRate(current, nowMs, LIMITS), nextSlotMs: nowMs };
      rates.push(current.ratePerSecond);
    }
    expect(rates).toEqual([30, 60, 120, 150]);
  });

  it('falls to one below the failing rate after five errors within a second', () => {
    let current = state();
    for (let n = 0; n < 4; n += 1) current = afterError(current, NOW + n * 100, LIMITS);
    expect(current.ratePerSecond).toBe(150);
    expect(afterError(current, NOW + 400, LIMITS).ratePerSecond).toBe(5);
    expect(afterError(current, NOW + 1100, LIMITS).ratePerSecond).toBe(150);
  });

  it('stays down while every second holds three errors, and rises again when it does not', () => {
    const slow = state({
      ratePerSecond: 5,
      rateChangedMs: NOW - 2000,
      recentErrorsMs: [NOW - 900, NOW - 600, NOW - 300],
    });
    expect(currentRate(slow, NOW, LIMITS).ratePerSecond).toBe(5);
    expect(
      currentRate({ ...slow, recentErrorsMs: [NOW - 1500, NOW - 600, NOW - 300] }, NOW, LIMITS).ratePerSecond,
    ).toBe(10);
  });

  it('is that of before after exactly 5 idle seconds, and has changed only when it is another', () => {
    const quick = state({ nextSlotMs: NOW - 5000, rateChangedMs: NOW - 10_000 });
    expect(currentRate(quick, NOW, LIMITS)).toEqual({ ratePerSecond: 150, rateChangedMs: NOW - 10_000 });
  });

  it('doubles a second after it changed, not earlier, and errors of exactly a second ago are over', () => {
    const slow = (ago: number, errors: readonly number[] = []): RateState =>
      state({ ratePerSecond: 40, rateChangedMs: NOW - ago, recentErrorsMs: errors.map((ms) => NOW - ms) });
    expect(currentRate(slow(999), NOW, LIMITS)).toEqual({ ratePerSecond: 40, rateChangedMs: NOW - 999 });
    expect(currentRate(slow(1000), NOW, LIMITS)).toEqual({ ratePerSecond: 80, rateChangedMs: NOW });
    expect(currentRate(slow(1000, [1000, 500, 400]), NOW, LIMITS).ratePerSecond).toBe(80);
    expect(currentRate(slow(1000, [999, 500, 400]), NOW, LIMITS).ratePerSecond).toBe(40);
  });

  it('remembers five errors, and does not fall when they took a whole second', () => {
    const errors = [1000, 600, 500, 400].map((ms) => NOW - ms);
    const after = afterError(state({ recentErrorsMs: [NOW - 5000, ...errors] }), NOW, LIMITS);
    expect(after).toEqual({ ...state(), recentErrorsMs: [...errors, NOW] });
  });

  it('never exceeds a stricter limit', () => {
    expect(currentRate(state(), NOW, { ...LIMITS, refundRatePerSecond: 10 }).ratePerSecond).toBe(10);
  });
});
