import { Arrivals, TICK_MS } from './arrivals.js';

const PER_SECOND = 100;

/** A clock that is told the time, and what watches it; it ticks as it should until it is let stand still. */
function watched(): { arrivals: Arrivals; run: (ms: number) => void; stand: (ms: number) => void } {
  let nowMs = 1000;
  const arrivals = new Arrivals(() => nowMs);
  return {
    arrivals,
    run: (ms) => {
      for (let passedMs = 0; passedMs < ms; passedMs += TICK_MS) {
        nowMs += TICK_MS;
        arrivals.tick();
      }
    },
    stand: (ms) => void (nowMs += ms),
  };
}

const five = (arrivals: Arrivals): number[] => Array.from({ length: 5 }, () => arrivals.come(PER_SECOND));

describe('when requests came', () => {
  it('is when they are read, however many at once', () => {
    const { arrivals, run } = watched();
    run(100);
    expect(five(arrivals)).toEqual([1100, 1100, 1100, 1100, 1100]);
  });

  it('is spread over a standstill, where sockets are read before the timers', () => {
    const { arrivals, run, stand } = watched();
    run(100);
    stand(80);
    expect(five(arrivals)).toEqual([1110, 1120, 1130, 1140, 1150]);
  });

  it('is spread over a standstill, where the timers run first', () => {
    const { arrivals, run, stand } = watched();
    run(100);
    stand(80);
    arrivals.tick();
    expect(five(arrivals)).toEqual([1110, 1120, 1130, 1140, 1150]);
    run(TICK_MS);
    expect(five(arrivals)).toEqual([1190, 1190, 1190, 1190, 1190]);
  });

  it('is never later than when they are read: more than the standstill holds is a burst', () => {
    const { arrivals, run, stand } = watched();
    run(100);
    stand(32);
    expect(five(arrivals)).toEqual([1110, 1120, 1130, 1132, 1132]);
  });

  it('is not spread over a tick that is a little late', () => {
    const { arrivals, run, stand } = watched();
    run(100);
    stand(TICK_MS + 20);
    expect(five(arrivals)).toEqual([1130, 1130, 1130, 1130, 1130]);
  });
});
