import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { assert } from '../common/assert.js';
import { newUuid } from '../common/ids.js';
import { notices } from '../common/instruments.js';
import { log } from '../common/log.js';
import { AppError } from '../common/problem.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Sealer } from '../merchants/sealing.js';
import { reportPayment } from '../orders/order-inquiry.js';
import { bookPayment, type PaymentBooked } from '../orders/payment-booking.js';
import type { Booked } from '../refunds/bookings.js';
import { Reconciler } from '../refunds/reconciler.js';
import { RefundLedger } from '../refunds/refund-ledger.js';
import type { OpenedNotice } from './notify.interceptor.js';

/** WeChat waits 5 s for an answer; by then ours is out. */
const COMMIT_TIMEOUT_MS = 3000;
const LATE = 'late';

/** What became of a notice, as stored. */
interface Outcome {
  readonly result: 'applied' | 'repeat' | 'waiting_for_query' | 'unmatched' | 'refused';
  readonly reason: string | null;
  readonly refundId: string | null;
  readonly orderId: string | null;
  /** True for a number we do not know on an order of ours: WeChat is asked about it. */
  readonly lookUp: boolean;
  readonly booked: readonly Booked[];
  readonly payment: PaymentBooked | null;
}

interface Match {
  readonly order_id: string;
  readonly refund_id: string | null;
  readonly source: 'api' | 'external' | null;
  readonly api_version: 'v2' | 'v3' | null;
}

/** Counts a delivery of a notice that is stored; tells the time of this one. */
const DUPLICATE_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  counted AS (
    UPDATE notification n SET deliveries = n.deliveries + 1, last_received_at = c.now FROM clock c
    WHERE n.mch_id = $1 AND n.kind = $2 AND n.dedupe_key = $3 RETURNING n.id)
  SELECT c.now, EXISTS (SELECT 1 FROM counted) AS duplicate FROM clock c`;

/** The refund of this number, else the order of that number, of this merchant. */
const MATCH_SQL = `
  SELECT r.order_id, r.id AS refund_id, r.source, r.api_version FROM refund r WHERE r.mch_id = $1 AND r.out_refund_no = $2
  UNION ALL
  SELECT o.id, NULL, NULL, NULL FROM payment_order o WHERE o.mch_id = $1 AND o.out_trade_no = $3
  LIMIT 1`;

const INSERT_SQL = `
  INSERT INTO notification (id, mch_id, appid, kind, version, dedupe_key, received_at, last_received_at, status, result, reason,
    refund_id, order_id, next_query_at, kek_id, content)
  VALUES ($1, $2, $3, $4, $14, $5, $15::timestamptz, $15::timestamptz, $6, $7, $8, $9, $10,
    CASE WHEN $11::boolean THEN $15::timestamptz END, $12, $13)
  ON CONFLICT (mch_id, kind, dedupe_key) DO NOTHING RETURNING id`;

/** Another delivery of the same notice committed first. */
class Overtaken extends Error {}

const NOTHING = { reason: null, refundId: null, orderId: null, lookUp: false, booked: [], payment: null } as const;

/**
 * The inbox: stores an opened notice and applies it, or asks for the query that will, in one transaction; WeChat gets SUCCESS only
 * after its commit. A duplicate changes nothing but its delivery count. What a notice proves is the ledger's to judge.
 */
@Injectable()
export class NotificationsService {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly ledger: RefundLedger,
    private readonly reconciler: Reconciler,
    private readonly sealer: Sealer,
  ) {}

  /** Returns once the notice is committed. AppError temporarily_unavailable when that takes longer than 3 s. */
  async receive(notice: OpenedNotice): Promise<void> {
    const stored = this.store(notice)
      .catch((error: unknown) => {
        if (error instanceof Overtaken) return this.store(notice);
        throw error;
      })
      // However late it commits: its next delivery is a duplicate and reports nothing.
      .then((outcome) => this.report(notice, outcome));
    if ((await Promise.race([stored, sleep(COMMIT_TIMEOUT_MS, LATE, { ref: false })])) !== LATE) return;
    stored.catch((cause: unknown) => log.error('a notice answered 503 was not committed either', { cause }));
    throw new AppError('temporarily_unavailable', 'The notice could not be committed in time.');
  }

  private report({ kind, version }: OpenedNotice, outcome: Outcome | null): void {
    notices.inc({ kind, version, result: outcome?.result ?? 'duplicate' });
    if (outcome === null) return;
    this.ledger.report(outcome.booked);
    reportPayment(outcome.payment);
    if (outcome.result === 'waiting_for_query') this.reconciler.wake();
  }

  /** Null for a duplicate. */
  private store(notice: OpenedNotice): Promise<Outcome | null> {
    const { account, kind, dedupeKey, shown, text } = notice;
    return this.uow.run(async (tx) => {
      const [known] = await tx.query<{ now: Date; duplicate: boolean }[]>(DUPLICATE_SQL, [
        account.mchId,
        kind,
        dedupeKey,
      ]);
      if (known?.duplicate) return null;
      const id = newUuid();
      const outcome =
        notice.kind === 'refund' ? await this.applyRefund(tx, id, notice) : await applyPayment(tx, notice);
      const { kekId, sealed } = this.sealer.seal({ mchId: account.mchId, kind: 'notification', version: id }, text);
      const inserted = await tx.query<unknown[]>(INSERT_SQL, [
        id,
        account.mchId,
        shown.appid,
        kind,
        dedupeKey,
        shown.status,
        outcome.result,
        outcome.reason,
        outcome.refundId,
        outcome.orderId,
        outcome.lookUp,
        kekId,
        sealed,
        notice.version,
        known?.now,
      ]);
      if (inserted.length === 0) throw new Overtaken();
      return outcome;
    });
  }

  private async applyRefund(
    tx: EntityManager,
    id: string,
    { account, shown, version }: Extract<OpenedNotice, { kind: 'refund' }>,
  ): Promise<Outcome> {
    const [match] = await tx.query<Match[]>(MATCH_SQL, [account.mchId, shown.outRefundNo, shown.outTradeNo]);
    if (!match) return { ...NOTHING, result: 'unmatched', reason: 'neither the refund nor its order is ours' };
    const { order_id: orderId, refund_id: refundId } = match;
    if (refundId === null) {
      return { ...NOTHING, result: 'waiting_for_query', reason: 'the refund is not ours', orderId, lookUp: true };
    }
    // V2 is unsigned: booked at once only where the operator chose so, and never for refunds of another origin or protocol.
    const chosen = account.refundNotify === 'apply' && match.source === 'api' && match.api_version === 'v2';
    const proves = version === 'v3' || chosen;
    const booking = { refundId, orderId, cause: 'notice', sourceId: id } as const;
    const [booked] = await this.ledger.book(tx, [
      proves ? { ...booking, kind: 'proof', shown, askedAt: null } : { ...booking, kind: 'wake', shown },
    ]);
    assert(booked, 'a booking is answered');
    const { reason = null } = booked;
    return { ...NOTHING, result: resultOf(booked, proves), reason, refundId, orderId, booked: [booked] };
  }
}

/** What proves nothing waits for the query it has woken. */
function resultOf({ result }: Booked, proves: boolean): Outcome['result'] {
  if (result === 'applied') return proves ? 'applied' : 'waiting_for_query';
  return result === 'stale' ? 'repeat' : result;
}

async function applyPayment(
  tx: EntityManager,
  { shown }: Extract<OpenedNotice, { kind: 'payment' }>,
): Promise<Outcome> {
  const payment = await bookPayment(tx, shown);
  const { result, reason = null, orderId = null } = payment;
  return { ...NOTHING, result, reason, orderId, payment };
}
