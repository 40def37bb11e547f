import { SLOTS_PER_CLAIM_MAX } from './limits.js';

/**
 * Send slots of one merchant (design.md 5, Rate): points in database time, one request each, 1/(0.96 × rate) apart, never saved
 * up. Any rolling second then holds at most `rate` requests, over any number of instances, because the merchant's row hands
 * them out under its lock. All times here are milliseconds of database time since 1970, with fractions.
 */
export interface RateState {
  readonly nextSlotMs: number;
  readonly ratePerSecond: number;
  readonly rateChangedMs: number;
  /** The times of the last refusals and error answers, oldest first, at most {@link ERRORS_KEPT}. */
  readonly recentErrorsMs: readonly number[];
}

export interface RateLimits {
  readonly refundRatePerSecond: number;
  readonly refundFailureRatePerSecond: number;
}

/**
 * WeChat counts what arrives. A request leaves up to 20 ms after its slot and is a while on its way: at 0.98 (design.md 5) 20 ms in all
 * were enough for 151 in a second, and 152 were counted; at 0.96 it takes 40, and 144 a second are left.
 */
const SAFETY = 0.96;
const SECOND_MS = 1000;
/** A merchant that sent nothing for this long starts slowly again. */
const IDLE_MS = 5000;
const START_RATE_PER_SECOND = 30;
/** This many refusals or error answers within one second slow the merchant down … */
export const ERRORS_KEPT = 5;
/** … and every second with fewer than this many speeds it up again. */
const ERRORS_THAT_HOLD = 3;
/** WeChat takes refunds of orders older than a month at 5,000 a minute. */
const OLD_ORDER_GAP_MS = 60_000 / (5000 * SAFETY);
/** Time for the claim to commit before its first slot. */
const LEAD_MS = 25;
/** Slots are handed out at most this far ahead, so a slow-down takes hold within half a second. */
const HORIZON_MS = 500;
/** No slot is handed out this far ahead, not even at one a second. */
const SET_BACK_MS = 3000;

/** The rate in force at `nowMs`, after start-up, doubling and slow-down. */
export function currentRate(
  state: RateState,
  nowMs: number,
  limits: RateLimits,
): Pick<RateState, 'ratePerSecond' | 'rateChangedMs'> {
  const max = limits.refundRatePerSecond;
  if (nowMs - state.nextSlotMs > IDLE_MS) {
    return { ratePerSecond: Math.min(START_RATE_PER_SECOND, max), rateChangedMs: nowMs };
  }
  const errorsInLastSecond = state.recentErrorsMs.filter((at) => nowMs - at < SECOND_MS).length;
  const mayDouble = nowMs - state.rateChangedMs >= SECOND_MS && errorsInLastSecond < ERRORS_THAT_HOLD;
  if (!mayDouble || state.ratePerSecond >= max) {
    return { ratePerSecond: Math.min(state.ratePerSecond, max), rateChangedMs: state.rateChangedMs };
  }
  return { ratePerSecond: Math.min(state.ratePerSecond * 2, max), rateChangedMs: nowMs };
}

/** The state after one more refusal or error answer at `nowMs`. */
export function afterError(state: RateState, nowMs: number, limits: RateLimits): RateState {
  const recentErrorsMs = [...state.recentErrorsMs, nowMs].slice(-ERRORS_KEPT);
  const oldest = recentErrorsMs[0] ?? nowMs;
  const burst = recentErrorsMs.length === ERRORS_KEPT && nowMs - oldest < SECOND_MS;
  if (!burst) return { ...state, recentErrorsMs };
  const ratePerSecond = Math.max(1, Math.min(state.ratePerSecond, limits.refundFailureRatePerSecond - 1));
  return { ...state, recentErrorsMs, ratePerSecond, rateChangedMs: nowMs };
}

/** True when the next slot stems from a database clock that was set back meanwhile. */
export function isSetBack({ nextSlotMs }: Pick<RateState, 'nextSlotMs'>, nowMs: number): boolean {
  return nextSlotMs > nowMs + SET_BACK_MS;
}

/** How many slots may be handed out now: at most 15, none beyond the horizon. */
export function slotsToHandOut(state: Pick<RateState, 'nextSlotMs' | 'ratePerSecond'>, nowMs: number): number {
  const firstMs = firstSlotMs(state, nowMs);
  const roomMs = nowMs + HORIZON_MS - firstMs;
  if (roomMs <= 0) return 0;
  return Math.min(SLOTS_PER_CLAIM_MAX, Math.floor(roomMs / gapMs(state.ratePerSecond)) + 1);
}

/** The slot of each claimed refund in order, and the first one left for the next claim. */
export function handOutSlots(
  state: Pick<RateState, 'nextSlotMs' | 'ratePerSecond'>,
  nowMs: number,
  olderThanMonth: readonly boolean[],
): { readonly slotsMs: readonly number[]; readonly nextSlotMs: number } {
  let nextSlotMs = firstSlotMs(state, nowMs);
  const slotsMs = olderThanMonth.map((old) => {
    const slotMs = nextSlotMs;
    const gap = gapMs(state.ratePerSecond);
    nextSlotMs += old ? Math.max(gap, OLD_ORDER_GAP_MS) : gap;
    return slotMs;
  });
  return { slotsMs, nextSlotMs };
}

/**
 * The first slot that is left. One far ahead stems from a database clock that was set back: the last slot is then at most a second
 * behind us, and waiting a second keeps any rolling second whole.
 */
function firstSlotMs(state: Pick<RateState, 'nextSlotMs'>, nowMs: number): number {
  const nextSlotMs = isSetBack(state, nowMs) ? nowMs + SECOND_MS : state.nextSlotMs;
  return Math.max(nextSlotMs, nowMs + LEAD_MS);
}

function gapMs(ratePerSecond: number): number {
  return SECOND_MS / (SAFETY * ratePerSecond);
}
