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
  /** Refunds blocked by configuration go on from this time; null while none wait for it. */
  readonly releaseAt: Date | null;
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
  readonly release_at: Date | null;
}

const LOCK_RATE_SQL = `
  SELECT extract(epoch FROM (SELECT tuikuan_now())) * 1000 AS now_ms, extract(epoch FROM next_slot_at) * 1000 AS next_slot_ms,
    extract(epoch FROM rate_changed_at) * 1000 AS rate_changed_ms, rate_per_second,
    ARRAY(SELECT extract(epoch FROM e) * 1000 FROM unnest(recent_error_at) e ORDER BY e) AS errors_ms,
    configuration_failures, paused_at, pause_reason, paused_until, next_probe_at, probe_refund_id, release_at
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
    releaseAt: row.release_at,
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
    paused_at = $6, pause_reason = $7, paused_until = $8, next_probe_at = $9, release_at = $10
  WHERE mch_id = $1`;

const TROUBLED_SQL = `
  SELECT configuration_failures > 0 OR pause_reason IS NOT NULL AS troubled FROM merchant_rate WHERE mch_id = $1`;

async function isTroubled(tx: EntityManager, mchId: string): Promise<boolean> {
  const [row] = await tx.query<{ troubled: boolean }[]>(TROUBLED_SQL, [mchId]);
  return row?.troubled ?? false;
}

/** A pause began or ended; for the log, after the commit. */
export type PauseChange = 'configuration' | 'too_many_requests' | 'ended' | null;

/** What the rate row takes in of an answer, and when its send was claimed. */
export type NotedAnswer = Pick<SendAnswer, 'outcome' | 'pauseSeconds' | 'written'> & { readonly claimedAt: Date };

/**
 * Notes in the merchant's row what answers say about its rate and its configuration, one after the other, and gives the change that each
 * has brought. Takes the row's lock only where an answer is an error or there is something to clear now. Three configuration answers in
 * a row pause dispatch; an answer that proves the configuration, to a send claimed after the pause began, ends it and lets blocked
 * refunds go on.
 */
export async function noteAnswers(
  tx: EntityManager,
  mchId: string,
  answers: readonly NotedAnswer[],
  limits: RateLimits,
): Promise<PauseChange[]> {
  const counts = answers.some((answer) => isError(answer) || answer.outcome === 'configuration');
  const proves = answers.some(({ outcome }) => PROVES_CONFIGURATION.includes(outcome));
  if (!counts && !(proves && (await isTroubled(tx, mchId)))) return answers.map(() => null);
  const rate = await lockRate(tx, mchId);
  let { slots }: { slots: RateState } = rate;
  let pause: Pause = rate;
  const changes = answers.map((answer) => {
    if (isError(answer)) slots = afterError(slots, rate.nowMs, limits);
    const { next, change } = pauseAfter(pause, answer, answer.claimedAt, new Date(rate.nowMs));
    pause = next;
    return change;
  });
  await tx.query(NOTE_SQL, [
    mchId,
    slots.ratePerSecond,
    slots.rateChangedMs,
    slots.recentErrorsMs,
    pause.configurationFailures,
    pause.pausedAt,
    pause.pauseReason,
    pause.pausedUntil,
    pause.nextProbeAt,
    pause.releaseAt,
  ]);
  return changes;
}

const isError = ({ outcome, written }: NotedAnswer): boolean => IS_ERROR[outcome] && written;

const PROBE_BACK_SQL = `
  UPDATE merchant_rate SET next_probe_at = (SELECT tuikuan_now()), probe_refund_id = coalesce(probe_refund_id, $2)
  WHERE mch_id = $1 AND pause_reason = 'configuration'`;

/** A probe that missed its slot is still to come, and of the refund that a caller chose, if one did. First in the lock order. */
export async function giveProbeBack(tx: EntityManager, mchId: string, only: string | null): Promise<void> {
  await tx.query(PROBE_BACK_SQL, [mchId, only]);
}

/** The pause fields of a rate row. */
export type Pause = Pick<
  Rate,
  'configurationFailures' | 'pausedAt' | 'pauseReason' | 'pausedUntil' | 'nextProbeAt' | 'releaseAt'
>;

interface PauseAfter {
  readonly next: Pause;
  readonly change: PauseChange;
}

/** The pause fields after an answer; pure. */
export function pauseAfter(
  rate: Pause,
  answer: Pick<SendAnswer, 'outcome' | 'pauseSeconds'>,
  claimedAt: Date,
  now: Date,
): PauseAfter {
  if (answer.outcome === 'configuration') return afterConfiguration(rate, now);
  if (!PROVES_CONFIGURATION.includes(answer.outcome)) return { next: rate, change: null };
  const { pausedAt, pauseReason } = rate;
  const endsPause = pauseReason === 'configuration' && pausedAt !== null && claimedAt > pausedAt;
  const over = {
    ...rate,
    configurationFailures: 0,
    ...(endsPause && { pausedAt: null, pauseReason: null, pausedUntil: null, nextProbeAt: null, releaseAt: now }),
  };
  if (answer.pauseSeconds > 0 && over.pauseReason !== 'configuration') {
    const pausedUntil = new Date(now.getTime() + answer.pauseSeconds * 1000);
    const change = 'too_many_requests';
    return { next: { ...over, pausedAt: now, pauseReason: change, pausedUntil }, change };
  }
  return { next: over, change: endsPause ? 'ended' : null };
}

function afterConfiguration(rate: Pause, now: Date): PauseAfter {
  const next = { ...rate, configurationFailures: rate.configurationFailures + 1 };
  if (next.configurationFailures < CONFIGURATION_FAILURES_MAX || rate.pauseReason === 'configuration')
    return { next, change: null };
  const nextProbeAt = new Date(now.getTime() + PROBE_GAP_SECONDS * 1000);
  const change = 'configuration';
  return { next: { ...next, pausedAt: now, pauseReason: change, pausedUntil: null, nextProbeAt }, change };
}
