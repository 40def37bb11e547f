import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { assert } from '../common/assert.js';
import { newUuid } from '../common/ids.js';
import { notices } from '../common/instruments.js';
import { log } from '../common/log.js';
import { AppError } from '../common/problem.js';
import { LATE, within } from '../common/within.js';
import { Batches } from '../database/batches.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Sealer } from '../merchants/sealing.js';
import { reportPayment } from '../orders/order-inquiry.js';
import { bookPayment, type PaymentBooked } from '../orders/payment-booking.js';
import type { AnyBooking, Booked } from '../refunds/bookings.js';
import { Reconciler } from '../refunds/reconciler.js';
import { RefundLedger } from '../refunds/refund-ledger.js';
import { askedOf, COUNT_SQL, FIND_SQL, type FoundRow, INSERT_SQL, type NewNotification } from './notification-rows.js';
import type { OpenedNotice } from './notify.interceptor.js';

/** WeChat waits 5 s for an answer; by then ours is out. */
const COMMIT_TIMEOUT_MS = 3000;
const BATCH_MAX = 50;

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

/** A notice that is not stored yet, under the id it will have. */
interface Fresh<Notice extends OpenedNotice = OpenedNotice> {
  readonly id: string;
  readonly notice: Notice;
  readonly found: FoundRow;
}

type RefundNotice = Extract<OpenedNotice, { kind: 'refund' }>;
type PaymentNotice = Extract<OpenedNotice, { kind: 'payment' }>;

/** Another delivery of the same notice committed first. */
class Overtaken extends Error {}

const NOTHING = { reason: null, refundId: null, orderId: null, lookUp: false, booked: [], payment: null } as const;

/**
 * The inbox: stores opened notices and applies them, or asks for the queries that will, in one transaction; WeChat gets SUCCESS only
 * after its commit. A duplicate changes nothing but its delivery count. What a notice proves is the ledger's to judge. Refund notices
 * that arrive together share their transaction.
 */
@Injectable()
export class NotificationsService {
  private readonly refundNotices = new Batches<RefundNotice, Outcome | null>(
    BATCH_MAX,
    ({ account, dedupeKey }) => `${account.mchId}/${dedupeKey}`,
    (batch) => this.store(batch),
  );

  constructor(
    private readonly uow: UnitOfWork,
    private readonly ledger: RefundLedger,
    private readonly reconciler: Reconciler,
    private readonly sealer: Sealer,
  ) {}

  /** Returns once the notice is committed. AppError temporarily_unavailable when that takes longer than 3 s. */
  async receive(notice: OpenedNotice): Promise<void> {
    const alone = async (): Promise<Outcome | null> => (await this.store([notice]))[0] ?? null;
    const stored = (notice.kind === 'refund' ? this.refundNotices.ask(notice) : alone())
      .catch((error: unknown) => {
        if (error instanceof Overtaken) return alone();
        throw error;
      })
      // However late it commits: its next delivery is a duplicate and reports nothing.
      .then((outcome) => this.report(notice, outcome));
    if ((await within(COMMIT_TIMEOUT_MS, stored)) !== LATE) return;
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

  /** All or nothing, in one transaction that locks orders, refunds, then notifications; null for a duplicate. */
  private store(batch: readonly OpenedNotice[]): Promise<(Outcome | null)[]> {
    return this.uow.run(
      async (tx) => {
        const found = await tx.query<FoundRow[]>(FIND_SQL, [JSON.stringify(batch.map(askedOf))]);
        const fresh = batch.map((notice, place) => freshOf(notice, found[place]));
        const outcomes = await this.apply(
          tx,
          fresh.filter((one) => one !== null),
        );
        const earlier = found.map((row) => row.earlier).filter((id) => id !== null);
        if (earlier.length > 0) await tx.query(COUNT_SQL, [earlier]);
        return fresh.map((one) => (one && outcomes.get(one.id)) ?? null);
      },
      { locksOnce: batch.length > 1 },
    );
  }

  /** Applies and stores; the outcomes by id. */
  private async apply(tx: EntityManager, fresh: readonly Fresh[]): Promise<ReadonlyMap<string, Outcome>> {
    if (fresh.length === 0) return new Map();
    const outcomes = new Map<string, Outcome>();
    for (const { id, notice } of fresh.filter(isOfPayment)) outcomes.set(id, await applyPayment(tx, notice));
    const refunds = fresh.filter(isOfRefund).map((one) => ({ ...one, booking: bookingOf(one) }));
    const bookings = refunds.map(({ booking }) => booking).filter((booking) => booking !== null);
    let stored = 0;
    await this.ledger.book(tx, bookings, async (booked) => {
      const answers = booked.values();
      for (const { id, found, booking } of refunds)
        outcomes.set(id, booking ? outcomeOf(booking, answers.next().value) : outcomeOfUnknown(found));
      const rows = fresh.map((one) => this.rowOf(one, outcomes.get(one.id)));
      stored = (await tx.query<unknown[]>(INSERT_SQL, [JSON.stringify(rows)])).length;
    });
    if (stored < fresh.length) throw new Overtaken();
    return outcomes;
  }

  private rowOf({ id, notice, found }: Fresh, outcome: Outcome | undefined): NewNotification {
    assert(outcome, 'every notice has its outcome');
    const { account, kind, version, dedupeKey, shown, text } = notice;
    const { kekId, sealed } = this.sealer.seal({ mchId: account.mchId, kind: 'notification', version: id }, text);
    return {
      id,
      mch_id: account.mchId,
      appid: shown.appid,
      kind,
      version,
      dedupe_key: dedupeKey,
      received_at: found.now,
      status: shown.status,
      result: outcome.result,
      reason: outcome.reason,
      refund_id: outcome.refundId,
      order_id: outcome.orderId,
      look_up: outcome.lookUp,
      kek_id: kekId,
      content: sealed.toString('base64'),
    };
  }
}

/** Null for one that is stored already. */
function freshOf(notice: OpenedNotice, found: FoundRow | undefined): Fresh | null {
  assert(found, 'every notice is looked up');
  return found.earlier === null ? { id: newUuid(), notice, found } : null;
}

const isOfRefund = (one: Fresh): one is Fresh<RefundNotice> => one.notice.kind === 'refund';
const isOfPayment = (one: Fresh): one is Fresh<PaymentNotice> => one.notice.kind === 'payment';

/** Null for a number that is not ours. */
function bookingOf({ id, notice, found }: Fresh<RefundNotice>): AnyBooking | null {
  const { order_id: orderId, refund_id: refundId } = found;
  if (orderId === null || refundId === null) return null;
  const { account, shown, version } = notice;
  // V2 is unsigned: booked at once only where the operator chose so, and never for refunds of another origin or protocol.
  const chosen = account.refundNotify === 'apply' && found.source === 'api' && found.api_version === 'v2';
  const booking = { refundId, orderId, cause: 'notice', sourceId: id, shown } as const;
  return version === 'v3' || chosen ? { ...booking, kind: 'proof', askedAt: null } : { ...booking, kind: 'wake' };
}

function outcomeOf({ kind, refundId, orderId }: AnyBooking, booked: Booked | undefined): Outcome {
  assert(booked, 'a booking is answered');
  const { reason = null } = booked;
  return { ...NOTHING, result: resultOf(booked, kind === 'proof'), reason, refundId, orderId, booked: [booked] };
}

function outcomeOfUnknown({ order_id: orderId }: FoundRow): Outcome {
  return orderId === null
    ? { ...NOTHING, result: 'unmatched', reason: 'neither the refund nor its order is ours' }
    : { ...NOTHING, result: 'waiting_for_query', reason: 'the refund is not ours', orderId, lookUp: true };
}

/** What proves nothing waits for the query it has woken. */
function resultOf({ result }: Booked, proves: boolean): Outcome['result'] {
  if (result === 'applied') return proves ? 'applied' : 'waiting_for_query';
  return result === 'stale' ? 'repeat' : result;
}

async function applyPayment(tx: EntityManager, { shown }: PaymentNotice): Promise<Outcome> {
  const payment = await bookPayment(tx, shown);
  const { result, reason = null, orderId = null } = payment;
  return { ...NOTHING, result, reason, orderId, payment };
}
