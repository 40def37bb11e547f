/** How a try ended: the class of the status, or why there was none. Nothing finer is kept or shown (S19). */
export type TryResult = '2xx' | '3xx' | '4xx' | '5xx' | 'no_answer' | 'address_refused';

/** Gaps after the first, second, … try; with the first at once ten tries over about three days. Source: Standard Webhooks, "Delivery". */
const GAPS_SECONDS = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400] as const;
/** A gap is stretched or shrunk by up to this share, so that what failed together does not come back together. */
const JITTER = 0.2;
const RETRY_AFTER_MAX_SECONDS = 86_400;

/** Tries of one delivery before it is failed. */
export const TRIES_MAX = GAPS_SECONDS.length + 1;
/** An endpoint without a success for this long, failing, is disabled. */
export const FAILING_DAYS_MAX = 5;
/** The secret before the current one signs beside it for this long. */
export const ROTATION_HOURS = 24;
/** A worker that is gone leaves its deliveries to others after this. */
export const LEASE_SECONDS = 60;
/** Tries under way at once per endpoint: of one that answers, and of one whose last try failed. */
export const IN_FLIGHT_HEALTHY = 32;
export const IN_FLIGHT_FAILING = 2;
/** From so many failures in a row on, an endpoint is left alone between tries, twice as long each time up to the most. */
export const HOLD_FROM_FAILURES = 5;
export const HOLD_FIRST_SECONDS = 2;
export const HOLD_MAX_SECONDS = 60;

/** What a try means for its delivery. `gone`: the receiver wants nothing more, ever. */
export interface Verdict {
  readonly verdict: 'delivered' | 'retry' | 'failed' | 'gone';
  /** Seconds until the next try; null when there is none. */
  readonly waitSeconds: number | null;
  /** Seconds in which the whole endpoint is left alone, at the receiver's wish. */
  readonly holdSeconds: number;
}

/**
 * Judges a try. `triesBefore` counts those before it; `chance` is from 0 to 1. Only a 2xx delivers; a redirect is a failure like any
 * other; 410 ends everything; Retry-After, up to a day, is obeyed for the endpoint and never shortens a gap.
 */
export function verdictOf(
  posted: { readonly result: TryResult; readonly gone: boolean; readonly retryAfterSeconds: number | null },
  triesBefore: number,
  chance: number,
): Verdict {
  if (posted.result === '2xx') return { verdict: 'delivered', waitSeconds: null, holdSeconds: 0 };
  if (posted.gone) return { verdict: 'gone', waitSeconds: null, holdSeconds: 0 };
  const holdSeconds = Math.min(posted.retryAfterSeconds ?? 0, RETRY_AFTER_MAX_SECONDS);
  const gap = GAPS_SECONDS[triesBefore];
  if (gap === undefined) return { verdict: 'failed', waitSeconds: null, holdSeconds };
  const jittered = gap * (1 - JITTER + 2 * JITTER * chance);
  return { verdict: 'retry', waitSeconds: Math.max(jittered, holdSeconds), holdSeconds };
}

const LATENCIES = [
  [100, 'under_100ms'],
  [1000, 'under_1s'],
  [5000, 'under_5s'],
  [15_000, 'under_15s'],
] as const;

/** How long a try took, as coarse as it is kept. */
export function latencyOf(durationMs: number): string {
  return LATENCIES.find(([below]) => durationMs < below)?.[1] ?? 'over_15s';
}
