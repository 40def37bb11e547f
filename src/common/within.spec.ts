import { setTimeout as sleep } from 'node:timers/promises';
import { LATE, within } from './within.js';

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('work with a deadline', () => {
  it('gives what the work gives, or throws what it throws, and leaves no timer behind', async () => {
    const before = timers();
    expect(await within(60_000, Promise.resolve('done'))).toBe('done');
    await expect(within(60_000, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(timers()).toBe(before);
  });

  it('says LATE once the time is over; the work goes on, and its failure is nobody’s surprise', async () => {
    let ended = false;
    const work = sleep(30).then(() => {
      ended = true;
      throw new Error('too late to matter');
    });
    expect(await within(5, work)).toBe(LATE);
    expect(ended).toBe(false);
    await sleep(60);
    expect(ended).toBe(true);
  });
});
