/** How often the simulator looks whether it still runs. */
export const TICK_MS = 10;
/** A tick that is later than this is a standstill. */
const STANDSTILL_MS = 20;

/**
 * When requests came. They are known when they are read, and a simulator that stood still, for its garbage or because the machine gave
 * its core to others, reads at once what came one by one: such requests count as if they had come over the standstill, evenly, no
 * denser than `perSecond`. A burst that is read without a standstill is a burst.
 */
export class Arrivals {
  private tickedMs: number;
  /** Since when the simulator had stood still until its last tick; null when it had not. */
  private sinceMs: number | null = null;
  private cameMs = -Infinity;

  constructor(private readonly nowMs: () => number = () => performance.now()) {
    this.tickedMs = nowMs();
  }

  tick(): void {
    const nowMs = this.nowMs();
    this.sinceMs = this.isStandstill(nowMs) ? this.tickedMs : null;
    this.tickedMs = nowMs;
  }

  /** When the request that is read now came, in milliseconds of `nowMs`. */
  come(perSecond: number): number {
    const nowMs = this.nowMs();
    // Sockets are read before the timers where the process slept through it.
    const sinceMs = this.isStandstill(nowMs) ? this.tickedMs : this.sinceMs;
    this.cameMs = sinceMs === null ? nowMs : Math.min(nowMs, Math.max(sinceMs, this.cameMs) + 1000 / perSecond);
    return this.cameMs;
  }

  private isStandstill(nowMs: number): boolean {
    return nowMs - this.tickedMs > TICK_MS + STANDSTILL_MS;
  }
}
