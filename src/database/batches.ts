import { DatabaseUnavailable, isLockTimeout } from './database-errors.js';

/**
 * A batch that takes longer, for instance behind a lock, no longer keeps the next one waiting. Long enough to gather, short enough that
 * PostgreSQL has work while Node has: of 1 to 40 ms, 6 to 10 gave the most.
 */
const HOLD_MS = 8;

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly answer: (answer: Answer) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Group commit: what is asked for while a batch is under way is gathered and done by the next one, so that many callers share its
 * statements and its commit. A caller who is alone is a batch of one and waits for nobody.
 *
 * `work` does a whole batch, all or nothing, and answers by place. A batch of more than one that fails is done again one by one, so
 * that each item has its own answer and no other's fault, unless the database is away: then each is told so. `work` must bear that: a
 * commit whose reply was lost is met again. Items of one
 * `keyOf`, where it is given, never share a batch, and keep their order. With a `paceMs`, for work that nobody waits for, batches begin
 * that far apart, however soon one is done: fewer and larger ones.
 */
export class Batches<Item, Answer> {
  private waiting: Waiting<Item, Answer>[] = [];
  private held = false;

  constructor(
    private readonly sizeMax: number,
    private readonly keyOf: ((item: Item) => string) | null,
    private readonly work: (items: readonly Item[]) => Promise<readonly Answer[]>,
    private readonly paceMs: number | null = null,
  ) {}

  /** The item's own answer, or its own error. */
  ask(item: Item): Promise<Answer> {
    return new Promise((answer, fail) => {
      this.waiting.push({ item, answer, fail });
      if (this.waiting.length === 1) setImmediate(() => this.next());
    });
  }

  private next(): void {
    if (this.held || this.waiting.length === 0) return;
    this.held = true;
    let over = false;
    const release = (): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      this.held = false;
      this.next();
    };
    const timer = setTimeout(release, this.paceMs ?? HOLD_MS);
    const done = this.run(this.take());
    if (this.paceMs === null) void done.then(release);
  }

  /** The longest waiting ones, of each key the first. */
  private take(): Waiting<Item, Answer>[] {
    const keys = new Set<string>();
    const taken: Waiting<Item, Answer>[] = [];
    const left: Waiting<Item, Answer>[] = [];
    for (const one of this.waiting) {
      const key = this.keyOf?.(one.item);
      const fits = taken.length < this.sizeMax && (key === undefined || !keys.has(key));
      if (key !== undefined) keys.add(key);
      (fits ? taken : left).push(one);
    }
    this.waiting = left;
    return taken;
  }

  private async run(batch: readonly Waiting<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.work(batch.map(({ item }) => item));
      batch.forEach(({ answer }, place) => answer(answers[place] as Answer));
    } catch (error) {
      const away = error instanceof DatabaseUnavailable && !isLockTimeout(error);
      if (batch.length === 1 || away) for (const { fail } of batch) fail(error);
      else await Promise.all(batch.map((one) => this.run([one])));
    }
  }
}
