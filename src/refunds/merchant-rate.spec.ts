import { type Pause, pauseAfter } from './merchant-rate.js';
import type { SendOutcome } from './refund-gateway.port.js';

const NOW = new Date('2026-06-01T00:00:00Z');
const at = (seconds: number): Date => new Date(NOW.getTime() + seconds * 1000);

const FREE: Pause = {
  configurationFailures: 0,
  pausedAt: null,
  pauseReason: null,
  pausedUntil: null,
  nextProbeAt: null,
  releaseAt: null,
};
const PAUSED: Pause = {
  ...FREE,
  configurationFailures: 3,
  pausedAt: at(-100),
  pauseReason: 'configuration',
  nextProbeAt: at(200),
};

interface Answer {
  readonly outcome: SendOutcome;
  readonly pauseSeconds?: number;
  readonly claimedAt?: Date;
}

const after = (pause: Pause, { outcome, pauseSeconds = 0, claimedAt = NOW }: Answer) =>
  pauseAfter(pause, { outcome, pauseSeconds }, claimedAt, NOW);

/** The pause after answers in this order. */
function afterAll(outcomes: readonly SendOutcome[]): Pause {
  return outcomes.reduce((pause, outcome) => after(pause, { outcome }).next, FREE);
}

describe('three configuration answers in a row', () => {
  it('pause the merchant with a probe five minutes later, and say so once', () => {
    const two = afterAll(['configuration', 'configuration']);
    expect(two).toEqual({ ...FREE, configurationFailures: 2 });
    const third = after(two, { outcome: 'configuration' });
    expect(third.change).toBe('configuration');
    expect(third.next).toEqual({
      ...FREE,
      configurationFailures: 3,
      pausedAt: NOW,
      pauseReason: 'configuration',
      nextProbeAt: at(300),
    });
    const fourth = after(third.next, { outcome: 'configuration' });
    expect(fourth).toEqual({ next: { ...third.next, configurationFailures: 4 }, change: null });
  });

  it.each<SendOutcome>(['shown', 'later', 'balance', 'refused'])(
    'are none when %s came between, which proves the configuration',
    (proof) => {
      const pause = afterAll(['configuration', proof, 'configuration', proof, 'configuration']);
      expect(pause).toMatchObject({ pauseReason: null, configurationFailures: 1 });
      expect(afterAll(['configuration', 'configuration', proof, 'configuration', 'configuration'])).toMatchObject({
        pauseReason: null,
        configurationFailures: 2,
      });
    },
  );

  it.each<SendOutcome>(['unknown', 'not_sent', 'differs'])('are still in a row when %s came between', (silence) => {
    expect(afterAll(['configuration', silence, 'configuration', silence, 'configuration'])).toMatchObject({
      pauseReason: 'configuration',
    });
  });
});

describe('a pause for configuration', () => {
  it.each<SendOutcome>(['shown', 'later', 'balance', 'refused'])(
    'is ended by %s to a send claimed after it began, and blocked refunds go on',
    (outcome) => {
      expect(after(PAUSED, { outcome })).toEqual({ next: { ...FREE, releaseAt: NOW }, change: 'ended' });
    },
  );

  it('is not ended by the answer to a send claimed before it began, or at that very moment', () => {
    for (const claimedAt of [at(-101), at(-100)]) {
      const { next, change } = after(PAUSED, { outcome: 'shown', claimedAt });
      expect(change).toBeNull();
      expect(next).toEqual({ ...PAUSED, configurationFailures: 0 });
    }
  });

  it('becomes one for too many requests when that is what WeChat answers the probe', () => {
    const { next, change } = after(PAUSED, { outcome: 'later', pauseSeconds: 60 });
    expect(change).toBe('too_many_requests');
    expect(next).toEqual({
      configurationFailures: 0,
      pausedAt: NOW,
      pauseReason: 'too_many_requests',
      pausedUntil: at(60),
      nextProbeAt: null,
      releaseAt: NOW,
    });
  });

  it('stays when "too many requests" answers a send claimed before it began', () => {
    const { next, change } = after(PAUSED, { outcome: 'later', pauseSeconds: 60, claimedAt: at(-101) });
    expect([next.pauseReason, next.nextProbeAt, change]).toEqual(['configuration', PAUSED.nextProbeAt, null]);
  });

  it.each<SendOutcome>(['unknown', 'not_sent', 'differs'])('is left as it is by %s', (outcome) => {
    expect(after(PAUSED, { outcome })).toEqual({ next: PAUSED, change: null });
  });
});

describe('a pause for too many requests', () => {
  const busy: Pause = { ...FREE, pausedAt: at(-10), pauseReason: 'too_many_requests', pausedUntil: at(50) };

  it('lasts a minute from the latest such answer, whatever else is answered meanwhile', () => {
    expect(after(busy, { outcome: 'shown' })).toEqual({ next: busy, change: null });
    expect(after(busy, { outcome: 'later', pauseSeconds: 60 }).next).toMatchObject({ pausedUntil: at(60) });
  });

  it('gives way to one for configuration, which has no end of its own', () => {
    const { next, change } = after({ ...busy, configurationFailures: 2 }, { outcome: 'configuration' });
    expect(change).toBe('configuration');
    expect(next).toMatchObject({ pauseReason: 'configuration', pausedUntil: null, nextProbeAt: at(300) });
  });
});
