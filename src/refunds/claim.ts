import type { EntityManager } from 'typeorm';
import type { Fen } from '../common/fen.js';
import type { Clock } from '../common/clock.js';
import type { Settings } from '../config/settings.js';
import { LEASE_SECONDS, SLOT_AHEAD_SECONDS, SLOTS_PER_CLAIM_MAX } from './limits.js';
import type { Probe } from './dispatch-plan.js';
import type { Rate } from './merchant-rate.js';
import { TELL_EXPIRED_SQL } from './outgoing-events.js';
import { currentRate, handOutSlots, isSetBack, slotsToHandOut } from './slots.js';

/** A refund under a fresh lease, with its slot. `callId` is lease token, gateway_call.id and nonce in one. */
export interface Claimed {
  readonly refundId: string;
  readonly orderId: string;
  readonly callId: string;
  readonly appid: string;
  readonly apiVersion: 'v2' | 'v3';
  readonly outTradeNo: string;
  readonly outRefundNo: string;
  readonly refundFen: Fen;
  readonly totalFen: Fen;
  readonly reason: string | null;
  readonly fundsAccount: string | null;
  readonly inDoubtBefore: Date | null;
  readonly firstSend: boolean;
  /** When its turn came; its place in the queue. */
  readonly dueAt: Date;
  readonly slotMs: number;
}

/** What a claim brought, and the two readings that tie the monotonic clock to the database's (design.md 5, Rate). */
export interface Claim {
  readonly mchId: string;
  readonly refunds: readonly Claimed[];
  /** Not null for the one send of a paused merchant. */
  readonly probe: Probe | null;
  readonly claimedAt: Date;
  readonly dbMs: number;
  /** Monotonic reading before the database time was asked for. */
  readonly m0Ms: number;
  /** Monotonic reading after the reply. */
  readonly m1Ms: number;
}

interface ClaimRow {
  readonly refund_id: string | null;
  readonly order_id: string;
  readonly call_id: string;
  readonly appid: string;
  readonly api_version: 'v2' | 'v3';
  readonly out_trade_no: string;
  readonly out_refund_no: string;
  readonly amount_fen: string;
  readonly paid_fen: string;
  readonly reason: string | null;
  readonly funds_account: string | null;
  readonly in_doubt_before: Date | null;
  readonly first_send: boolean;
  readonly due_at: Date;
  readonly old_order: boolean;
  readonly now: Date;
}

/**
 * The claim is the set form of the door: due refunds become submitting under a lease, with their gateway_call and event; ones
 * never sent whose window is over become rejected and take no slot. The spacing of an order starts here, and its other refunds are
 * staggered behind the claimed one so that they are not looked at before their time; without a spacing they keep their place. They are
 * found by their order: for IS NOT NULL the index of all that waits would be read whole, which PostgreSQL takes for empty when a backlog
 * begins. Of a LIMIT that is a parameter it expects a tenth of all rows, and would plan for the values anew each time: the one inside
 * stands in the text, and no row beyond $2 is read or locked. A wake by a notice outlives the claim. `among` is a condition on a due
 * refund, `r`. $1 mch_id, $2 how many, $3 spacing s, $4 window days, $5 lease s.
 */
const claimSql = (among: string): string => `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  due AS MATERIALIZED (
    SELECT * FROM (
      SELECT r.id, r.order_id, r.state, r.in_doubt_since, r.first_sent_at IS NULL AS first_send, r.next_attempt_at AS due_at,
        gen_random_uuid() AS call_id, m.api_version AS merchant_version, o.out_trade_no, o.paid_fen,
        o.paid_at < c.now - interval '1 month' AS old_order,
        r.first_sent_at IS NULL AND c.now >= o.paid_at + make_interval(days => $4::integer) AS expired
      FROM clock c, refund r JOIN payment_order o ON o.id = r.order_id JOIN merchant m ON m.mch_id = r.mch_id
      WHERE r.mch_id = $1 AND m.enabled AND r.next_attempt_at <= (SELECT now FROM clock)
        AND (r.lease_until IS NULL OR r.lease_until < c.now)
        AND (o.next_send_at IS NULL OR o.next_send_at <= c.now)
        AND ${among}
      ORDER BY r.next_attempt_at LIMIT ${SLOTS_PER_CLAIM_MAX}
      FOR NO KEY UPDATE OF o, r SKIP LOCKED) first
    LIMIT $2),
  expired AS (
    UPDATE refund r SET state = 'rejected', state_since = c.now, version = r.version + 1, next_attempt_at = NULL,
      failure_code = 'refund_window_expired', failure_wechat_code = NULL, failure_message = NULL, updated_at = c.now,
      event_sequence = r.event_sequence + 1
    FROM due d, clock c WHERE r.id = d.id AND d.expired RETURNING r.*, d.state AS from_state),
  told AS (${TELL_EXPIRED_SQL}),
  claimed AS (
    UPDATE refund r SET state = 'submitting', state_since = c.now, version = r.version + 1, lease_token = d.call_id,
      lease_until = c.now + make_interval(secs => $5), in_doubt_since = c.now, api_version = coalesce(r.api_version, d.merchant_version),
      next_attempt_at = NULL, next_query_at = CASE WHEN d.in_doubt_since IS NULL THEN r.next_query_at END, first_sent_at = coalesce(r.first_sent_at, c.now), updated_at = c.now
    FROM due d, clock c WHERE r.id = d.id AND NOT d.expired
    RETURNING r.*, d.call_id, d.state AS from_state, d.in_doubt_since AS in_doubt_before, d.first_send, d.due_at, d.out_trade_no,
      d.paid_fen, d.old_order),
  ordered AS (
    UPDATE payment_order o SET updated_at = c.now,
      next_send_at = CASE WHEN k.id IS NULL THEN o.next_send_at ELSE c.now + make_interval(secs => $3) END,
      reserved_fen = o.reserved_fen - coalesce(e.amount_fen, 0), refund_count = o.refund_count - CASE WHEN e.id IS NULL THEN 0 ELSE 1 END
    FROM due d LEFT JOIN claimed k ON k.id = d.id LEFT JOIN expired e ON e.id = d.id, clock c
    WHERE o.id = d.order_id),
  staggered AS (
    UPDATE refund r SET next_attempt_at = s.at
    FROM (
      SELECT w.id, c.now + make_interval(secs => $3::float8 * row_number() OVER (PARTITION BY w.order_id ORDER BY w.id)) AS at
      FROM refund w JOIN claimed k ON k.order_id = w.order_id, clock c
      WHERE $3::float8 > 0 AND coalesce(w.next_attempt_at, 'infinity') < 'infinity' AND w.id <> k.id) s
    WHERE r.id = s.id AND r.next_attempt_at < s.at),
  called AS (
    INSERT INTO gateway_call (id, mch_id, refund_id, order_id, kind, api_version, in_doubt_before, intent_at)
    SELECT k.call_id, k.mch_id, k.id, k.order_id, 'refund', k.api_version, k.in_doubt_before, c.now FROM claimed k, clock c),
  events AS (
    INSERT INTO refund_event (refund_id, seq, from_state, to_state, cause, source_id, at)
    SELECT k.id, k.version, k.from_state, 'submitting', 'claim', k.call_id, c.now FROM claimed k, clock c
    UNION ALL
    SELECT e.id, e.version, e.from_state, 'rejected', 'window', NULL, c.now FROM expired e, clock c)
  SELECT c.now, k.id AS refund_id, k.order_id, k.call_id, k.appid, k.api_version, k.out_trade_no, k.out_refund_no,
    k.amount_fen::text, k.paid_fen::text, k.reason, k.funds_account, k.in_doubt_before, k.first_send, k.due_at, k.old_order
  FROM clock c LEFT JOIN claimed k ON true ORDER BY k.id`;

/** Of each order the oldest that is due. */
const OLDEST_SQL = claimSql(`NOT EXISTS (
  SELECT 1 FROM refund e WHERE e.order_id = r.order_id AND e.id < r.id AND e.next_attempt_at <= c.now
    AND (e.lease_until IS NULL OR e.lease_until < c.now))`);
/** Only the refund $6. */
const ONE_SQL = claimSql('r.id = $6');

const HAND_OUT_SQL = `
  UPDATE merchant_rate SET next_slot_at = to_timestamp($2::float8 / 1000), rate_per_second = $3,
    rate_changed_at = to_timestamp($4::float8 / 1000),
    next_probe_at = CASE WHEN $5 THEN tuikuan_now() + make_interval(secs => $6) ELSE next_probe_at END,
    probe_refund_id = CASE WHEN $5 THEN NULL ELSE probe_refund_id END
  WHERE mch_id = $1
  RETURNING extract(epoch FROM tuikuan_now()) * 1000 AS db_ms`;

/**
 * What a row remembers of a time that has not come yet, because the database clock was set back, is forgotten; the slots begin again in
 * a second, when the last one handed out is behind us.
 */
const SET_BACK_SQL = `
  UPDATE merchant_rate q SET next_slot_at = c.now + interval '1 second', rate_changed_at = c.now, recent_error_at = '{}'
  FROM (SELECT tuikuan_now() AS now) c WHERE q.mch_id = $1`;

/**
 * Claims due refunds of one merchant and hands each a slot, inside `tx`; lock order rate row → order → refund.
 * `only` restricts it to one refund, for a probe. Null when the merchant may not send now or nothing is due.
 */
export async function claimSends(
  tx: EntityManager,
  mchId: string,
  want: {
    readonly count: number;
    readonly probe: Probe | null;
  },
  context: { readonly settings: Settings; readonly clock: Clock; readonly rate: Rate },
): Promise<Claim | null> {
  const { settings, clock, rate } = context;
  const ramped = currentRate(rate.slots, rate.nowMs, settings);
  const slots = { ...rate.slots, ...ramped };
  const count = Math.min(want.count, want.probe ? 1 : slotsToHandOut(slots, rate.nowMs));
  if (count === 0) return noSlotLeft(tx, mchId, rate);
  const limits = [mchId, count, spacingOf(settings), settings.refundWindowDays, LEASE_SECONDS];
  const rows = await claimed(tx, limits, want.probe);
  const taken = rows.filter((row) => row.refund_id !== null);
  const first = rows[0];
  if (!first || taken.length === 0) return null;
  const out = handOutSlots(
    slots,
    first.now.getTime(),
    taken.map((row) => row.old_order),
  );
  const m0Ms = clock.monotonicMs();
  const [handed] = await tx.query<[{ db_ms: string }[], number]>(HAND_OUT_SQL, [
    mchId,
    out.nextSlotMs,
    slots.ratePerSecond,
    slots.rateChangedMs,
    want.probe !== null,
    want.probe?.gapSeconds ?? 0,
  ]);
  const m1Ms = clock.monotonicMs();
  return {
    mchId: mchId,
    refunds: taken.map((row, place) => claimedOf(row, out.slotsMs[place] ?? 0)),
    probe: want.probe,
    claimedAt: first.now,
    dbMs: Number(handed[0]?.db_ms),
    m0Ms,
    m1Ms,
  };
}

function claimed(tx: EntityManager, limits: readonly unknown[], probe: Probe | null): Promise<ClaimRow[]> {
  if (probe === null || probe.only === null) return tx.query<ClaimRow[]>(OLDEST_SQL, [...limits]);
  return tx.query<ClaimRow[]>(ONE_SQL, [...limits, probe.only]);
}

async function noSlotLeft(tx: EntityManager, mchId: string, { slots, nowMs }: Rate): Promise<null> {
  if (isSetBack(slots, nowMs)) await tx.query(SET_BACK_SQL, [mchId]);
  return null;
}

/**
 * The spacing of claims that keeps the sends of one order apart by the operator's seconds: a slot lies up to the horizon behind its
 * claim, and the next one may come at once.
 */
function spacingOf({ refundSpacingSeconds }: Settings): number {
  return refundSpacingSeconds === 0 ? 0 : refundSpacingSeconds + SLOT_AHEAD_SECONDS;
}

function claimedOf(row: ClaimRow, slotMs: number): Claimed {
  return {
    refundId: row.refund_id ?? '',
    orderId: row.order_id,
    callId: row.call_id,
    appid: row.appid,
    apiVersion: row.api_version,
    outTradeNo: row.out_trade_no,
    outRefundNo: row.out_refund_no,
    refundFen: Number(row.amount_fen),
    totalFen: Number(row.paid_fen),
    reason: row.reason,
    fundsAccount: row.funds_account,
    inDoubtBefore: row.in_doubt_before,
    firstSend: row.first_send,
    dueAt: row.due_at,
    slotMs,
  };
}
