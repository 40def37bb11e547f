import { setTimeout as sleep } from 'node:timers/promises';
import { WorkLoop } from './work-loop.js';

const LONG_MS = 60_000;

/** Resolves when `done` does; the loops of these tests never wait for their poll. */
const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await sleep(1);
};

describe('a worker', () => {
  it('takes a step at once, then one each time it is woken, also while a step is under way', async () => {
    let steps = 0;
    let release: () => void = () => undefined;
    const loop = new WorkLoop('test', LONG_MS, async () => {
      steps += 1;
      if (steps === 1) await new Promise<void>((resolve) => (release = resolve));
    });
    loop.start();
    await until(() => steps === 1);
    loop.wake();
    release();
    await until(() => steps === 2);
    loop.wake();
    await until(() => steps === 3);
    await loop.end();
    expect(steps).toBe(3);
  });

  it('repeats a step that asks for it', async () => {
    let steps = 0;
    const loop = new WorkLoop('test', LONG_MS, () => Promise.resolve((steps += 1) < 5));
    loop.start();
    await until(() => steps === 5);
    await loop.end();
  });

  it('outlives a step and a work that fail', async () => {
    let steps = 0;
    const loop = new WorkLoop('test', 1, () => {
      steps += 1;
      return Promise.reject(new Error('planned by a test'));
    });
    loop.track(Promise.reject(new Error('planned by a test')));
    loop.start();
    await until(() => steps >= 3);
    await loop.end();
    await loop.drained();
    expect(loop.size).toBe(0);
  });

  it('at its end takes no further step, and is drained when all work has ended', async () => {
    let release: () => void = () => undefined;
    let steps = 0;
    const loop = new WorkLoop('test', LONG_MS, () => {
      steps += 1;
      loop.track(new Promise<void>((resolve) => (release = resolve)));
      return Promise.resolve();
    });
    loop.start();
    await until(() => steps === 1);
    await loop.end();
    loop.wake();
    expect([loop.size, loop.isEnding]).toEqual([1, true]);
    release();
    await loop.drained();
    expect([loop.size, steps]).toEqual([0, 1]);
  });

  it('is not drained before the work that its work has set off', async () => {
    const loop = new WorkLoop('test', LONG_MS, () => Promise.resolve());
    let over = false;
    loop.track(
      sleep(5).then(() => {
        loop.track(sleep(20).then(() => (over = true)));
      }),
    );
    await loop.drained();
    expect([over, loop.size]).toEqual([true, 0]);
  });
});
