import { latencyOf, TRIES_MAX, type TryResult, verdictOf } from './schedule.js';

const posted = (result: TryResult, change: { gone?: boolean; retryAfterSeconds?: number } = {}) => ({
  result,
  gone: false,
  retryAfterSeconds: null,
  ...change,
});

describe('a try', () => {
  it('is delivered by a 2xx and by nothing else', () => {
    expect(verdictOf(posted('2xx'), 0, 0.5).verdict).toBe('delivered');
    for (const result of ['3xx', '4xx', '5xx', 'no_answer', 'address_refused'] as const) {
      expect(verdictOf(posted(result), 0, 0.5).verdict).toBe('retry');
    }
  });

  it('that failed is made again about ten times over about three days', () => {
    const waits: number[] = [];
    for (let tries = 0; ; tries += 1) {
      const { verdict, waitSeconds } = verdictOf(posted('5xx'), tries, 0.5);
      if (verdict === 'failed') break;
      waits.push(waitSeconds ?? 0);
    }
    expect(waits).toHaveLength(TRIES_MAX - 1);
    expect(TRIES_MAX).toBe(10);
    expect(waits[0]).toBe(5);
    const days = waits.reduce((sum, wait) => sum + wait, 0) / 86_400;
    expect(days).toBeGreaterThan(2.5);
    expect(days).toBeLessThan(3.5);
    expect([...waits].sort((a, b) => a - b)).toEqual(waits);
  });

  it('waits a little more or less each time', () => {
    expect(verdictOf(posted('5xx'), 1, 0).waitSeconds).toBeCloseTo(240);
    expect(verdictOf(posted('5xx'), 1, 1).waitSeconds).toBeCloseTo(360);
  });

  it('obeys Retry-After, for the whole endpoint, and never comes earlier because of it', () => {
    expect(verdictOf(posted('5xx', { retryAfterSeconds: 900 }), 0, 0.5)).toEqual({
      verdict: 'retry',
      waitSeconds: 900,
      holdSeconds: 900,
    });
    expect(verdictOf(posted('4xx', { retryAfterSeconds: 1 }), 1, 0.5)).toMatchObject({
      waitSeconds: 300,
      holdSeconds: 1,
    });
  });

  it('does not let a receiver ask for more than a day', () => {
    expect(verdictOf(posted('5xx', { retryAfterSeconds: 999_999_999 }), 0, 0.5).waitSeconds).toBe(86_400);
  });

  it('answered 410 ends everything', () => {
    expect(verdictOf(posted('4xx', { gone: true }), 0, 0.5)).toEqual({
      verdict: 'gone',
      waitSeconds: null,
      holdSeconds: 0,
    });
  });
});

it.each([
  [0, 'under_100ms'],
  [99.9, 'under_100ms'],
  [100, 'under_1s'],
  [999, 'under_1s'],
  [1000, 'under_5s'],
  [14_999, 'under_15s'],
  [15_000, 'over_15s'],
  [16_000, 'over_15s'],
])('a try of %p ms is kept as %s', (ms, bucket) => {
  expect(latencyOf(ms)).toBe(bucket);
});
