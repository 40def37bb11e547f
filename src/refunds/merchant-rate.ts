import type { EntityManager } from 'typeorm';
import { assert } from '../common/assert.js';
import { CONFIGURATION_FAILURES_MAX, PROBE_GAP_SECONDS } from './limits.js';
import type { SendAnswer, SendOutcome } from './refund-gateway.port.js';
import { afterError, type RateLimits, type RateState } from './slots.js';

/** The hot row of a merchant under its lock: slots, errors, pause. */
export interface Rate {
  readonly nowMs: number;
  readonly slots: RateState;
  readonly configurationFailures: number;
  readonly pausedAt: Date | null;
  readonly pauseReason: 'configuration' | 'too_many_requests' | null;
  readonly pausedUntil: Date | null;
  readonly nextProbeAt: Date | null;
  readonly probeRefundId: string | null;
  readonly releaseBlocked: boolean;
}

interface RateRow {
  readonly now_ms: string;
  readonly next_slot_ms: string;
  readonly rate_changed_ms: string;
  readonly rate_per_second: number;
  readonly errors_ms: readonly string[] | null;
  readonly configuration_failures: number;
  readonly paused_at: Date | null;
  readonly pause_reason: Rate['pauseReason'];
  readonly paused_until: Date | null;
  readonly next_probe_at: Date | null;
  readonly probe_refund_id: string | null;
  readonly release_blocked: boolean;
}

const LOCK_RATE_SQL = `
  SELECT extract(epoch FROM (SELECT tuikuan_now())) * 1000 AS now_ms, extract(epoch FROM next_slot_at) * 1000 AS next_slot_ms,
    extract(epoch FROM rate_changed_at) * 1000 AS rate_changed_ms, rate_per_second,
    ARRAY(SELECT extract(epoch FROM e) * 1000 FROM unnest(recent_error_at) e ORDER BY e) AS errors_ms,
    configuration_failures, paused_at, pause_reason, paused_until, next_probe_at, probe_refund_id, release_blocked
  FROM merchant_rate WHERE mch_id = $1 FOR UPDATE`;

/** Locks the merchant's rate row: first in the lock order. */
export async function lockRate(tx: EntityManager, mchId: string): Promise<Rate> {
  const [row] = await tx.query<RateRow[]>(LOCK_RATE_SQL, [mchId]);
  assert(row, 'every merchant has a rate row');
  return {
    nowMs: Number(row.now_ms),
    slots: {
      nextSlotMs: Number(row.next_slot_ms),
      ratePerSecond: row.rate_per_second,
      rateChangedMs: Number(row.rate_changed_ms),
      recentErrorsMs: (row.errors_ms ?? []).map(Number),
    },
    configurationFailures: row.configuration_failures,
    pausedAt: row.paused_at,
    pauseReason: row.pause_reason,
    pausedUntil: row.paused_until,
    nextProbeAt: row.next_probe_at,
    probeRefundId: row.probe_refund_id,
    releaseBlocked: row.release_blocked,
  };
}

/** Answers that WeChat counts against its budget of failing requests. */
const IS_ERROR: Readonly<Record<SendOutcome, boolean>> = {
  not_sent: false,
  shown: false,
  later: true,
  balance: true,
  configuration: true,
  refused: true,
  differs: true,
  unknown: true,
};

/** Answers which show that the merchant's keys and permissions work. */
const PROVES_CONFIGURATION: readonly SendOutcome[] = ['shown', 'later', 'balance', 'refused'];

const NOTE_SQL = `
  UPDATE merchant_rate SET rate_per_second = $2, rate_changed_at = to_timestamp($3::float8 / 1000),
    recent_error_at = ARRAY(SELECT to_timestamp(e / 1000) FROM unnest($4::float8[]) e), configuration_failures = $5,
    paused_at = $6, pause_reason = $7, paused_until = $8, next_probe_at = $9, release_blocked = $10
  WHERE mch_id = $1`;

/** A pause began or ended; for the log, after the commit. */
export type PauseChange = 'configuration' | 'too_many_requests' | 'ended' | null;

/**
 * Notes in the merchant's row what an answer says about its rate and its configuration. Takes the row's lock only where the answer
 * is an error or the claim found something to clear. Three configuration answers in a row pause dispatch; an answer that
 * proves the configuration, to a send claimed after the pause began, ends it and lets blocked refunds go on.
 */
export async function noteAnswer(
  tx: EntityManager,
  mchId: string,
  answer: Pick<SendAnswer, 'outcome' | 'pauseSeconds'>,
  claim: { readonly claimedAt: Date; readonly rate: Rate; readonly limits: RateLimits },
): Promise<PauseChange> {
  const proves = PROVES_CONFIGURATION.includes(answer.outcome);
  const nothingToClear = claim.rate.configurationFailures === 0 && claim.rate.pauseReason === null;
  if (!IS_ERROR[answer.outcome] && !(proves && !nothingToClear)) return null;
  const rate = await lockRate(tx, mchId);
  const now = new Date(rate.nowMs);
  const slots = IS_ERROR[answer.outcome] ? afterError(rate.slots, rate.nowMs, claim.limits) : rate.slots;
  const { next, change } = pauseAfter(rate, answer, claim.claimedAt, now);
  await tx.query(NOTE_SQL, [
    mchId,
    slots.ratePerSecond,
    slots.rateChangedMs,
    slots.recentErrorsMs,
    next.configurationFailures,
    next.pausedAt,
    next.pauseReason,
    next.pausedUntil,
    next.nextProbeAt,
    next.releaseBlocked,
  ]);
  return change;
}

type Pause = Pick<
  Rate,
  'configurationFailures' | 'pausedAt' | 'pauseReason' | 'pausedUntil' | 'nextProbeAt' | 'releaseBlocked'
>;

/** The pause fields after an answer; pure. */
export function pauseAfter(
  rate: Pause,
  answer: Pick<SendAnswer, 'outcome' | 'pauseSeconds'>,
  claimedAt: Date,
  now: Date,
): { readonly next: Pause; readonly change: PauseChange } {
  const { configurationFailures: failures, pausedAt, pauseReason } = rate;
  if (answer.outcome === 'configuration') {
    const pauses = failures + 1 >= CONFIGURATION_FAILURES_MAX && pauseReason !== 'configuration';
    const next = { ...rate, configurationFailures: failures + 1 };
    if (!pauses) return { next, change: null };
    const nextProbeAt = new Date(now.getTime() + PROBE_GAP_SECONDS * 1000);
    return {
      next: { ...next, pausedAt: now, pauseReason: 'configuration', pausedUntil: null, nextProbeAt },
      change: 'configuration',
    };
  }
  if (!PROVES_CONFIGURATION.includes(answer.outcome)) return { next: rate, change: null };
  const cleared = { ...rate, configurationFailures: 0 };
  if (answer.pauseSeconds > 0 && pauseReason !== 'configuration') {
    const pausedUntil = new Date(now.getTime() + answer.pauseSeconds * 1000);
    return {
      next: { ...cleared, pausedAt: now, pauseReason: 'too_many_requests', pausedUntil },
      change: 'too_many_requests',
    };
  }
  if (pauseReason !== 'configuration' || pausedAt === null || claimedAt <= pausedAt)
    return { next: cleared, change: null };
  return {
    next: { ...cleared, pausedAt: null, pauseReason: null, pausedUntil: null, nextProbeAt: null, releaseBlocked: true },
    change: 'ended',
  };
}
