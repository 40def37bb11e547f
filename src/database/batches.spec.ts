import { setImmediate as turn } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { Batches } from './batches.js';
import { DatabaseUnavailable } from './database-errors.js';

/** Batches whose work is held until it is let go, and the batches it was given. */
function gated(sizeMax = 100, work: (items: readonly string[]) => readonly string[] = (items) => items) {
  const begun: string[][] = [];
  const gates: (() => void)[] = [];
  const batches = new Batches<string, string>(
    sizeMax,
    (item) => item.split('/')[0] ?? '',
    async (items) => {
      begun.push([...items]);
      await new Promise<void>((open) => gates.push(open));
      return work(items);
    },
  );
  const letGo = async (): Promise<void> => {
    gates.splice(0).forEach((open) => open());
    await turns();
  };
  return { batches, begun, letGo, begins: turns };
}

/** A batch begins in the turn of the event loop after the one it was asked in. */
async function turns(): Promise<void> {
  await turn();
  await turn();
}

const lockTimeout = Object.assign(new Error('lock'), { code: '55P03' });

describe('batches', () => {
  // The clock stands, so that no busy machine makes a batch one that takes long.
  beforeAll(() => void jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));
  afterAll(() => void jest.useRealTimers());

  it('begins at once for a caller who is alone, and gathers what is asked for meanwhile', async () => {
    const { batches, begun, letGo, begins } = gated();
    const first = batches.ask('a');
    await begins();
    const others = Promise.all(['b', 'c', 'd'].map((item) => batches.ask(item)));
    await begins();
    expect(begun).toEqual([['a']]);
    await letGo();
    expect(await first).toBe('a');
    expect(begun).toEqual([['a'], ['b', 'c', 'd']]);
    await letGo();
    expect(await others).toEqual(['b', 'c', 'd']);
  });

  it('answers each by its place', async () => {
    const { batches, letGo, begins } = gated(100, (items) => items.map((item) => `${item} of ${items.length}`));
    const answers = Promise.all(['a', 'b'].map((item) => batches.ask(item)));
    await begins();
    await letGo();
    expect(await answers).toEqual(['a of 2', 'b of 2']);
  });

  it('takes no more than fit, and never two of one key; their order is kept', async () => {
    const { batches, begun, letGo, begins } = gated(2);
    const all = Promise.all(['a/1', 'a/2', 'b/1', 'a/3', 'c/1', 'b/2'].map((item) => batches.ask(item)));
    for (let rounds = 0; rounds < 4; rounds += 1) {
      await begins();
      await letGo();
    }
    await all;
    expect(begun).toEqual([
      ['a/1', 'b/1'],
      ['a/2', 'c/1'],
      ['a/3', 'b/2'],
    ]);
  });

  it('does a batch that failed again one by one: each has its own answer or error', async () => {
    const seen: string[][] = [];
    const batches = new Batches<string, string>(
      100,
      (item) => item,
      (items) => {
        seen.push([...items]);
        return items.includes('bad') ? Promise.reject(new Error('bad')) : Promise.resolve(items);
      },
    );
    const ends = await Promise.allSettled(['a', 'bad', 'b'].map((item) => batches.ask(item)));
    expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(seen).toEqual([['a', 'bad', 'b'], ['a'], ['bad'], ['b']]);
  });

  it('does one behind a lock that did not come again, but nothing while the database is away', async () => {
    const failing = (error: Error) => {
      const sizes: number[] = [];
      const work = (items: readonly string[]) => {
        sizes.push(items.length);
        return items.length > 1 ? Promise.reject(new DatabaseUnavailable(error)) : Promise.resolve(items);
      };
      return { sizes, batches: new Batches<string, string>(100, (item) => item, work) };
    };
    const locked = failing(lockTimeout);
    expect(await Promise.all(['a', 'b'].map((item) => locked.batches.ask(item)))).toEqual(['a', 'b']);
    expect(locked.sizes).toEqual([2, 1, 1]);
    const away = failing(new Error('Connection terminated'));
    const ends = await Promise.allSettled(['a', 'b'].map((item) => away.batches.ask(item)));
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(away.sizes).toEqual([2]);
  });

  it('does not let one that takes long keep the next waiting, and still never begins two at a time', async () => {
    const { batches, begun, letGo, begins } = gated();
    const slow = batches.ask('slow');
    await begins();
    jest.advanceTimersByTime(60);
    const next = batches.ask('next');
    await begins();
    const later = batches.ask('later');
    await begins();
    expect(begun).toEqual([['slow'], ['next']]);
    await letGo();
    await letGo();
    expect(await Promise.all([slow, next, later])).toEqual(['slow', 'next', 'later']);
  });

  it('with a pace gathers for that long, however soon a batch is done', async () => {
    const begun: string[][] = [];
    const work = (items: readonly string[]): Promise<readonly string[]> => {
      begun.push([...items]);
      return Promise.resolve(items);
    };
    const paced = new Batches<string, string>(100, null, work, 25);
    expect(await paced.ask('a')).toBe('a');
    const others = Promise.all(['b', 'c'].map((item) => paced.ask(item)));
    await turns();
    jest.advanceTimersByTime(24);
    await turns();
    expect(begun).toEqual([['a']]);
    jest.advanceTimersByTime(1);
    expect(await others).toEqual(['b', 'c']);
    jest.advanceTimersByTime(25);
    expect(await paced.ask('d')).toBe('d');
    expect(begun).toEqual([['a'], ['b', 'c'], ['d']]);
  });

  it('goes on after a failure', async () => {
    const batches = new Batches<string, string>(
      100,
      (item) => item,
      (items) => (items[0] === 'bad' ? Promise.reject(new Error('bad')) : Promise.resolve(items)),
    );
    await expect(batches.ask('bad')).rejects.toThrow('bad');
    expect(await batches.ask('good')).toBe('good');
  });
});
