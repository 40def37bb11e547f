import type { EntityManager } from 'typeorm';
import type { UnitOfWork } from '../database/unit-of-work.js';
import type { MoveBooking } from './bookings.js';
import { PROBE_GAP_SECONDS, SLOT_AHEAD_SECONDS, SLOTS_PER_CLAIM_MAX } from './limits.js';
import type { Rate } from './merchant-rate.js';

/** A merchant with something to send or to resume now. */
export interface MerchantWork {
  readonly mch_id: string;
  /** Due refunds, counted up to one claim. */
  readonly due: number;
}

/** Merchants that have due refunds and may send, owe a probe, or have blocked refunds to release. One round trip. */
export const WORK_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now)
  SELECT m.mch_id, d.due::integer
  FROM clock c, merchant m JOIN merchant_rate q ON q.mch_id = m.mch_id,
    LATERAL (SELECT count(*) AS due FROM (
      SELECT 1 FROM refund r WHERE r.mch_id = m.mch_id AND r.next_attempt_at <= (SELECT now FROM clock)
      LIMIT ${SLOTS_PER_CLAIM_MAX}) x) d
  WHERE m.enabled AND (q.release_at <= c.now
    OR (q.pause_reason = 'configuration' AND q.next_probe_at <= c.now)
    OR (d.due > 0 AND (q.pause_reason IS NULL OR q.paused_until <= c.now)))`;

/** The one send a merchant paused for its configuration may make: of one refund, or of the oldest that is due. */
export interface Probe {
  readonly only: string | null;
  readonly gapSeconds: number;
}

/** What a merchant may send by its pause: as many as slots allow, one probe, or nothing. */
export type Permission = { readonly kind: 'free' } | ({ readonly kind: 'probe' } & Probe) | { readonly kind: 'none' };

/** Reads the pause of a locked rate row. A pause with an end that has passed is over by itself. */
export function permissionOf(rate: Rate): Permission {
  if (rate.pauseReason === null) return { kind: 'free' };
  if (rate.pauseReason === 'too_many_requests') {
    const over = rate.pausedUntil !== null && rate.pausedUntil.getTime() <= rate.nowMs;
    return over ? { kind: 'free' } : { kind: 'none' };
  }
  const due = rate.nextProbeAt !== null && rate.nextProbeAt.getTime() <= rate.nowMs;
  return due ? { kind: 'probe', only: rate.probeRefundId, gapSeconds: PROBE_GAP_SECONDS } : { kind: 'none' };
}

const CONFIGURATION_BLOCKED_SQL = `
  SELECT id, order_id FROM refund
  WHERE mch_id = $1 AND state = 'blocked' AND failure_code = 'configuration' ORDER BY id LIMIT $2`;

const RELEASE_BATCH = 100;

const ENDED_PAUSE_SQL = `
  UPDATE merchant_rate SET paused_at = NULL, pause_reason = NULL, paused_until = NULL
  WHERE mch_id = $1 AND pause_reason = 'too_many_requests' AND paused_until <= (SELECT tuikuan_now())`;

const RELEASED_SQL = 'UPDATE merchant_rate SET release_at = NULL WHERE mch_id = $1';

/** Clears a pause that has run out, and gives the moves of blocked refunds whose time to go on has come. */
export async function endedWaits(tx: EntityManager, mchId: string, rate: Rate): Promise<MoveBooking[]> {
  if (rate.pauseReason === 'too_many_requests') await tx.query(ENDED_PAUSE_SQL, [mchId]);
  if (rate.releaseAt === null || rate.releaseAt.getTime() > rate.nowMs) return [];
  const moves = await releases(tx, mchId, RELEASE_BATCH);
  if (moves.length < RELEASE_BATCH) await tx.query(RELEASED_SQL, [mchId]);
  return moves;
}

// Both as values, not as EXISTS with conditions, for which PostgreSQL would read all refunds or the index of all that wait.
const AWAITS_PROBE_SQL = `
  SELECT CASE WHEN $2::uuid IS NOT NULL THEN (SELECT next_attempt_at IS NOT NULL FROM refund WHERE id = $2)
    ELSE (SELECT min(next_attempt_at) FROM refund WHERE mch_id = $1) <= (SELECT tuikuan_now()) + make_interval(secs => $3::float8)
    END AS awaits`;

/**
 * True when the next probe stands already and only waits for the spacing of its order: the refund a caller chose, or any that is due by
 * then. No other is sent in its place.
 */
export async function awaitsProbe(
  tx: EntityManager,
  mchId: string,
  only: string | null,
  spacingSeconds: number,
): Promise<boolean> {
  const seconds = spacingSeconds + SLOT_AHEAD_SECONDS;
  const [row] = await tx.query<{ awaits: boolean | null }[]>(AWAITS_PROBE_SQL, [mchId, only, seconds]);
  return row?.awaits ?? false;
}

/** The moves that queue a merchant's refunds blocked by configuration, oldest first; never those with too many attempts. */
export async function releases(tx: EntityManager, mchId: string, count: number): Promise<MoveBooking[]> {
  const rows = await tx.query<{ id: string; order_id: string }[]>(CONFIGURATION_BLOCKED_SQL, [mchId, count]);
  return rows.map((row) => ({
    kind: 'move',
    refundId: row.id,
    orderId: row.order_id,
    cause: 'configuration',
    sourceId: null,
    to: 'queued',
    from: ['blocked'],
  }));
}

const RUN_OUT_SQL = `
  SELECT id, order_id, lease_token FROM refund
  WHERE lease_until < (SELECT tuikuan_now()) AND state = 'submitting' ORDER BY lease_until LIMIT 100`;

/** The moves for sends whose lease ran out: a lost answer is unknown, in doubt since the claim, and asked for at once. */
export async function runOutLeases(uow: UnitOfWork): Promise<MoveBooking[]> {
  const rows = await uow.query<{ id: string; order_id: string; lease_token: string }>(RUN_OUT_SQL, []);
  return rows.map((row) => ({
    kind: 'move',
    refundId: row.id,
    orderId: row.order_id,
    cause: 'lease',
    sourceId: row.lease_token,
    to: 'outcome_unknown',
    from: ['submitting'],
  }));
}
