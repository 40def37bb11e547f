import { setTimeout as sleep } from 'node:timers/promises';
import { log } from './log.js';

const WOKEN_GAP_MS = 10;

/**
 * The life of a worker: repeats one step until it ends, at once when it is woken or the step asks for it, else after `pollMs`; and keeps
 * the work that steps have set off, so that an end can wait for it. A step or a work that fails is one error line and comes again
 * by itself: what it was about is in the database.
 */
export class WorkLoop {
  private readonly underWay = new Set<Promise<void>>();
  private ending = false;
  private woken = false;
  private wakeUp: () => void = () => undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly name: string,
    private readonly pollMs: number,
    /** Answers true to be repeated at once. */
    private readonly step: () => Promise<boolean | void>,
  ) {}

  start(): void {
    this.running = this.run();
  }

  /** Takes the next step now; one under way is followed by another. */
  wake(): void {
    this.woken = true;
    this.wakeUp();
  }

  /** Keeps work until it has ended. */
  track(work: Promise<unknown>): void {
    const tracked: Promise<void> = work
      .then(() => undefined)
      .catch((cause: unknown) => log.error(`${this.name}: a piece of work failed, it comes again`, { cause }))
      .finally(() => this.underWay.delete(tracked));
    this.underWay.add(tracked);
  }

  /** How much work is under way. */
  get size(): number {
    return this.underWay.size;
  }

  get isEnding(): boolean {
    return this.ending;
  }

  /** No further step; resolves when the one under way is over. Work may still be under way. */
  async end(): Promise<void> {
    this.ending = true;
    this.wakeUp();
    await this.running;
  }

  /** Resolves when no work is under way, nor what that has set off. */
  async drained(): Promise<void> {
    while (this.underWay.size > 0) await Promise.all(this.underWay);
  }

  private async run(): Promise<void> {
    while (!this.ending) {
      this.woken = false;
      const again = await this.step().catch((cause: unknown) => {
        log.error(`${this.name} stopped for a moment`, { cause });
        return false;
      });
      if (again === true || this.ending) continue;
      // Woken again and again, as by a busy intake, it still leaves the database a moment between its steps.
      if (this.woken) await sleep(WOKEN_GAP_MS);
      else await this.pollOrWake();
    }
  }

  private pollOrWake(): Promise<void> {
    return new Promise((resolve) => {
      const poll = setTimeout(resolve, this.pollMs);
      this.wakeUp = () => {
        clearTimeout(poll);
        resolve();
      };
    });
  }
}
