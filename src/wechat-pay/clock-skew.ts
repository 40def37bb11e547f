import { incident } from '../common/log.js';

/** WeChat refuses v3 signatures five minutes off; from here on a person should hear of it (faults.md P08). */
const ALARM_MS = 60_000;

/**
 * How far the process clock is from WeChat's, by the Date header of its answers (whole seconds, less the way back). Only v3
 * signatures depend on it: everything stored is in database time.
 */
export class ClockSkew {
  private latestMs: number | null = null;

  /** Process time minus WeChat's, in milliseconds; null before the first answer with a Date. */
  get ms(): number | null {
    return this.latestMs;
  }

  /** Notes the Date header of an answer that came at `wallMs`; anything that is no date says nothing. */
  note(date: string | string[] | undefined, wallMs: number): void {
    const theirsMs = typeof date === 'string' ? Date.parse(date) : NaN;
    if (Number.isNaN(theirsMs)) return;
    const wasOff = this.isOff;
    this.latestMs = wallMs - theirsMs;
    if (this.isOff && !wasOff) incident('clock_skew', { skewMs: this.latestMs });
  }

  /** True while the clocks are more than a minute apart. */
  get isOff(): boolean {
    return this.latestMs !== null && Math.abs(this.latestMs) > ALARM_MS;
  }
}
