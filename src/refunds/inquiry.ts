import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { newUuid } from '../common/ids.js';
import { UnitOfWork, type WorkerUnitOfWork } from '../database/unit-of-work.js';
import { beginCall, finishCall } from '../orders/gateway-call-log.js';
import type { AnyBooking, Booked } from './bookings.js';
import { takeInExternal, type TakenIn } from './external-refunds.js';
import {
  AFTERMATH_GAPS_SECONDS,
  AFTERMATH_RETRY_SECONDS,
  LEASE_SECONDS,
  QUERIES_PER_SECOND,
  QUERY_GAPS_SECONDS,
  QUERY_SPACING_SECONDS,
} from './limits.js';
import { type ApiVersion, type QueryAnswer, REFUND_GATEWAY, type RefundGateway } from './refund-gateway.port.js';
import { RefundLedger } from './refund-ledger.js';

/** A refund under a query lease. `callId` is lease token, gateway_call.id and nonce in one. */
export interface ClaimedQuery {
  readonly refundId: string;
  readonly orderId: string;
  readonly callId: string;
  readonly mchId: string;
  readonly appid: string;
  readonly apiVersion: ApiVersion;
  readonly outRefundNo: string;
  readonly askedAt: Date;
  /** A question of the refund's own list; a caller's is extra. */
  readonly planned: boolean;
  /** Until its slot. */
  readonly delayMs: number;
}

interface ClaimedQueryRow {
  readonly id: string;
  readonly order_id: string;
  readonly call_id: string;
  readonly mch_id: string;
  readonly appid: string;
  readonly api_version: ApiVersion;
  readonly out_refund_no: string;
  readonly now: Date;
}

const [FIRST_AFTERMATH, LAST_AFTERMATH] = AFTERMATH_GAPS_SECONDS;

/**
 * Takes the lease of refunds whose query is due, moves each along its list of gaps and commits the intent. A queued refund in doubt
 * is asked for only while its merchant may not send; one that is not in doubt only when a notice woke it. A question by a caller
 * starts the list again, but is none of the two after the end; the second of these stays due until it is answered. A last question in the future stems from a clock that was set back.
 * $1 mch_id, $2 how many, $3 only this refund or null (then due or not), $4 lease s, $5 gaps s, $6 spacing s.
 */
const CLAIM_QUERIES_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  due AS MATERIALIZED (
    SELECT r.id, gen_random_uuid() AS call_id, coalesce(r.api_version, m.api_version) AS api_version,
      CASE WHEN $3::uuid IS NULL THEN r.query_step + 1 ELSE 0 END AS step
    FROM clock c, refund r JOIN merchant m ON m.mch_id = r.mch_id JOIN merchant_rate q ON q.mch_id = r.mch_id
    WHERE r.mch_id = $1
      AND (r.id = $3::uuid OR ($3::uuid IS NULL AND r.next_query_at <= (SELECT now FROM clock)
        AND (r.state <> 'queued' OR r.in_doubt_since IS NULL OR q.pause_reason IS NOT NULL OR NOT m.enabled)))
      AND (r.lease_until IS NULL OR r.lease_until < c.now)
      AND (r.last_query_at IS NULL OR r.last_query_at <= c.now - make_interval(secs => $6) OR r.last_query_at > c.now)
      AND r.state <> 'submitting'
    ORDER BY r.next_query_at LIMIT $2
    FOR NO KEY UPDATE OF r SKIP LOCKED),
  claimed AS (
    UPDATE refund r SET lease_token = d.call_id, lease_until = c.now + make_interval(secs => $4), last_query_at = c.now,
      query_step = CASE WHEN $3::uuid IS NOT NULL AND r.state IN ('rejected', 'canceled') THEN r.query_step ELSE d.step END,
      updated_at = c.now,
      next_query_at = CASE
        WHEN r.next_query_at IS NULL OR ($3::uuid IS NOT NULL AND r.state IN ('rejected', 'canceled')) THEN r.next_query_at
        WHEN r.state IN ('rejected', 'canceled') THEN
          c.now + make_interval(secs => CASE WHEN d.step <= 1 THEN ${LAST_AFTERMATH - FIRST_AFTERMATH} ELSE ${AFTERMATH_RETRY_SECONDS} END)
        ELSE c.now + make_interval(secs => ($5::integer[])[least(d.step + 1, array_length($5::integer[], 1))]) END
    FROM due d, clock c WHERE r.id = d.id
    RETURNING r.id, r.order_id, d.call_id, r.mch_id, r.appid, d.api_version, r.out_refund_no, c.now),
  called AS (
    INSERT INTO gateway_call (id, mch_id, refund_id, order_id, kind, api_version, intent_at)
    SELECT k.call_id, k.mch_id, k.id, k.order_id, 'refund_query', k.api_version, k.now FROM claimed k)
  SELECT * FROM claimed`;

/** A query slot stands at most this far ahead, unless the database clock was set back. */
const QUERY_AHEAD_SECONDS = 5;

/** Hands out query slots, 100/s per merchant over all instances: the delay until the first of them, in ms. $2 how many. */
const QUERY_SLOTS_SQL = `
  UPDATE merchant_rate q SET next_query_slot_at = s.first_at + make_interval(secs => $2::float8 / ${QUERIES_PER_SECOND})
  FROM (SELECT b.mch_id, c.now, CASE WHEN b.next_query_slot_at > c.now + make_interval(secs => ${QUERY_AHEAD_SECONDS}) THEN c.now
      ELSE greatest(b.next_query_slot_at, c.now) END AS first_at
    FROM merchant_rate b, (SELECT tuikuan_now() AS now) c WHERE b.mch_id = $1 FOR UPDATE OF b) s
  WHERE q.mch_id = s.mch_id
  RETURNING extract(epoch FROM s.first_at - s.now) * 1000 AS delay_ms`;

/** Takes query slots of a merchant inside `tx`, first in the lock order; says how many milliseconds to wait before the first. */
export async function takeQuerySlots(tx: EntityManager, mchId: string, count: number): Promise<number> {
  const [rows] = await tx.query<[{ delay_ms: string }[], number]>(QUERY_SLOTS_SQL, [mchId, count]);
  return Number(rows[0]?.delay_ms ?? 0);
}

/**
 * Takes query leases inside `tx`, each with its slot: due ones of a merchant, or exactly one refund. Those leased or asked 10 s ago are
 * left out. The rate row is locked first, as the lock order wants it.
 */
export async function claimQueries(
  tx: EntityManager,
  mchId: string,
  want: { readonly count: number; readonly only: string | null },
): Promise<ClaimedQuery[]> {
  await tx.query('SELECT 1 FROM merchant_rate WHERE mch_id = $1 FOR UPDATE', [mchId]);
  const rows = await tx.query<ClaimedQueryRow[]>(CLAIM_QUERIES_SQL, [
    mchId,
    want.count,
    want.only,
    LEASE_SECONDS,
    [...QUERY_GAPS_SECONDS],
    QUERY_SPACING_SECONDS,
  ]);
  const delayMs = rows.length === 0 ? 0 : await takeQuerySlots(tx, mchId, rows.length);
  return rows.map((row, place) => ({
    delayMs: delayMs + (place * 1000) / QUERIES_PER_SECOND,
    refundId: row.id,
    orderId: row.order_id,
    callId: row.call_id,
    mchId: row.mch_id,
    appid: row.appid,
    apiVersion: row.api_version,
    outRefundNo: row.out_refund_no,
    askedAt: row.now,
    planned: want.only === null,
  }));
}

/** What a question brought: WeChat's answer and what the ledger made of it. */
export interface Inquired {
  readonly answer: QueryAnswer;
  readonly booked: Booked | null;
}

/** Asks WeChat about refunds and books what it says; used by the reconciler, by callers and by notices. */
@Injectable()
export class RefundInquiry {
  constructor(
    private readonly ledger: RefundLedger,
    @Inject(REFUND_GATEWAY) private readonly gateway: RefundGateway,
  ) {}

  /** Asks for a refund under its query lease, outside any transaction, and books the answer in one. */
  async ask(uow: UnitOfWork | WorkerUnitOfWork, query: ClaimedQuery): Promise<Inquired> {
    await sleep(query.delayMs);
    const answer = await this.gateway.query(query);
    const booked = await uow.run((tx) =>
      this.ledger.book(tx, [bookingOf(query, answer)], () => finishCall(tx, query.callId, answer)),
    );
    this.ledger.report(booked);
    return { answer, booked: booked[0] ?? null };
  }

  /** Asks for a number we may not know, which a notice named, and takes it in if the order is ours. */
  async lookUp(
    uow: UnitOfWork | WorkerUnitOfWork,
    number: Pick<ClaimedQuery, 'mchId' | 'appid' | 'apiVersion' | 'outRefundNo'>,
  ): Promise<{ readonly answer: QueryAnswer; readonly taken: TakenIn | null }> {
    const callId = newUuid();
    const delayMs = await uow.run(async (tx) => {
      const slotMs = await takeQuerySlots(tx, number.mchId, 1);
      await beginCall(tx, { callId, kind: 'refund_query', ...number });
      return slotMs;
    });
    await sleep(delayMs);
    const answer = await this.gateway.query({ callId, ...number });
    // An answer about another number says nothing about the one that was asked for.
    const shown = answer.shown?.outRefundNo === number.outRefundNo ? answer.shown : null;
    const taken = await uow.run(async (tx) => {
      await finishCall(tx, callId, answer);
      return shown === null ? null : takeInExternal(tx, shown, { callId, apiVersion: number.apiVersion });
    });
    if (taken && 'incidents' in taken) this.ledger.report([taken]);
    return { answer, taken };
  }
}

function bookingOf(query: ClaimedQuery, answer: QueryAnswer): AnyBooking {
  const { refundId, orderId, callId, askedAt, planned } = query;
  const booking = { refundId, orderId, cause: 'query', sourceId: callId } as const;
  if (answer.shown) return { ...booking, kind: 'proof', shown: answer.shown, askedAt };
  const found = answer.outcome === 'not_found' ? false : null;
  return { ...booking, kind: 'not_shown', found, leaseToken: callId, askedAt, planned };
}
