import { Injectable } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import type { Fen } from '../common/fen.js';
import { newUuid, publicId, uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { requestDigest } from '../common/request-digest.js';
import { LATE, within } from '../common/within.js';
import { Settings } from '../config/settings.js';
import { Batches } from '../database/batches.js';
import { constraintOf, isLockTimeout, UnitOfWork } from '../database/unit-of-work.js';
import { Dispatcher } from './dispatcher.js';
import { INTAKE_BATCH_SQL, INTAKE_SQL, type IntakeRow } from './intake.js';
import { REFUND_COLUMNS, type RefundRow } from './refund.view.js';
import { type RefundTarget, RefundTargets } from './refund-targets.js';

/** A wish for a refund; the same fields as POST /v1/refunds. */
export interface RefundWish {
  readonly order?: string;
  readonly out_trade_no?: string;
  readonly transaction_id?: string;
  readonly mch_id?: string;
  readonly appid?: string;
  readonly amount?: Fen;
  readonly out_refund_no?: string;
  readonly reason?: string;
  readonly items?: readonly { readonly ref: string; readonly amount: Fen; readonly quantity?: number }[];
  readonly funds_account?: 'AVAILABLE';
  readonly note?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** `replayed` is true when this number or key was asked for before and nothing new was reserved. */
export interface Requested {
  readonly refund: RefundRow;
  readonly replayed: boolean;
}

const TWIN_WAIT_MS = 1000;
const BATCH_MAX = 100;
const NUMBER_CONSTRAINTS = ['refund_out_refund_no_key', 'refund_idempotency_key_key'];

/**
 * Asks for refunds. It promises that a request is reserved on its order and committed before it is answered, that a repeat by
 * number or key gives the first refund back, and that no sum of requests exceeds what was paid. Sending is the dispatcher's,
 * every later change the ledger's.
 */
@Injectable()
export class RefundsService {
  /** Requests of this process under way, by number and by key. */
  private readonly underWay = new Map<string, Promise<unknown>>();
  private readonly intake = new Batches<IntakeRow, RefundRow | null>(
    BATCH_MAX,
    (row) => row.order_id,
    (rows) => this.insert(rows),
  );

  constructor(
    private readonly uow: UnitOfWork,
    private readonly settings: Settings,
    private readonly targets: RefundTargets,
    private readonly dispatcher: Dispatcher,
  ) {}

  /**
   * Reserves a refund, or gives back the one that this number or key stands for.
   * Throws AppError with the codes of design.md 8; nothing is stored then.
   */
  async requestRefund(caller: Caller, wish: RefundWish, idempotencyKey: string | null = null): Promise<Requested> {
    if (wish.out_refund_no === undefined && idempotencyKey === null) {
      throw new AppError('idempotency_key_required', 'The request names neither out_refund_no nor an Idempotency-Key.');
    }
    const { id: orderId } = orderOf(wish) ?? (await this.targets.find(caller, wish));
    const row = intakeRowOf(wish, { orderId, idempotencyKey, caller });
    const names = [wish.out_refund_no, idempotencyKey]
      .map((name, place) => (name === undefined || name === null ? null : `${orderId}/${place}/${name}`))
      .filter((name) => name !== null);
    await this.waitForTwin(names);
    const work = this.reserveOrReplay(caller, wish, row);
    for (const name of names) this.underWay.set(name, work);
    try {
      return await work;
    } finally {
      for (const name of names) if (this.underWay.get(name) === work) this.underWay.delete(name);
    }
  }

  private async waitForTwin(names: readonly string[]): Promise<void> {
    const twins = names.map((name) => this.underWay.get(name)).filter((twin) => twin !== undefined);
    if (twins.length === 0) return;
    if ((await within(TWIN_WAIT_MS, Promise.allSettled(twins))) !== LATE) return;
    throw new AppError('idempotency_key_in_use', 'The same refund is being asked for by another request.');
  }

  /** What the statement of the intake leaves out is looked at on the slow path, which begins with whose order it is. */
  private async reserveOrReplay(caller: Caller, wish: RefundWish, row: IntakeRow): Promise<Requested> {
    const reserved = await this.reserve(() => this.intake.ask(row));
    if (reserved) return reserved;
    const target = await this.targets.find(caller, wish);
    const known = (): Promise<Requested | null> => this.replay(target, wish, row);
    return (await known()) ?? (await this.reserveOrExplain(row, known));
  }

  /** Null when the order did not allow it or was held, or the number or key exists; the slow path says which. */
  private async reserve(insert: () => Promise<RefundRow | null | undefined>): Promise<Requested | null> {
    try {
      const refund = await insert();
      if (!refund) return null;
      this.dispatcher.wake();
      return { refund, replayed: false };
    } catch (error) {
      if (NUMBER_CONSTRAINTS.includes(constraintOf(error) ?? '')) return null;
      if (isLockTimeout(error)) {
        throw new AppError('temporarily_unavailable', 'The order is held by another request.', { cause: error });
      }
      throw error;
    }
  }

  /** All or nothing, in one statement that is its own transaction. */
  private async insert(rows: readonly IntakeRow[]): Promise<(RefundRow | null)[]> {
    const { refundsPerOrderMax, refundWindowDays } = this.settings;
    const made = await this.uow.query<RefundRow>(rows.length === 1 ? INTAKE_SQL : INTAKE_BATCH_SQL, [
      JSON.stringify(rows),
      refundsPerOrderMax,
      refundWindowDays,
    ]);
    const byId = new Map(made.map((row) => [row.id, row]));
    return rows.map(({ id }) => byId.get(id) ?? null);
  }

  /** The refund this number or key stands for, if its request was the same; AppError if it was another. */
  private async replay(
    target: RefundTarget,
    wish: RefundWish,
    { idempotency_key: idempotencyKey, request_digest: digest }: IntakeRow,
  ): Promise<Requested | null> {
    const rows = await this.uow.query<RefundRow>(REPLAY_SQL, [
      target.mch_id,
      wish.out_refund_no ?? null,
      target.appid,
      idempotencyKey,
    ]);
    const byNumber = rows.find((row) => row.out_refund_no === wish.out_refund_no);
    const byKey = rows.find((row) => idempotencyKey !== null && row.idempotency_key === idempotencyKey);
    const found = byNumber ?? byKey;
    if (!found) return null;
    const same = found.appid === target.appid && found.request_digest?.toString('hex') === digest;
    if (same) return { refund: found, replayed: true };
    if (byNumber) {
      throw new AppError('out_refund_no_conflict', `out_refund_no ${wish.out_refund_no} stands for another refund.`);
    }
    throw new AppError('idempotency_key_reused', 'This Idempotency-Key came with another request.');
  }

  /** Says why the guard refused; where nothing speaks against it, waits for the order and reserves by itself. */
  private async reserveOrExplain(row: IntakeRow, known: () => Promise<Requested | null>): Promise<Requested> {
    const refusal = (): Promise<AppError | null> => this.targets.refusal(row.order_id, row.amount_fen);
    const refused = await refusal();
    if (refused) throw refused;
    const requested = (await this.reserve(async () => (await this.insert([row]))[0])) ?? (await known());
    if (requested) return requested;
    const detail = 'The order is being changed by other requests.';
    throw (await refusal()) ?? new AppError('temporarily_unavailable', detail);
  }
}

/** The order, where its id alone names it: then nothing need be looked up. Whether it exists, the statement of the intake sees. */
function orderOf(wish: RefundWish): { readonly id: string } | null {
  const { order, out_trade_no: number, transaction_id: transaction, mch_id: mchId, appid } = wish;
  const alone = [number, transaction, mchId, appid].every((name) => name === undefined);
  const id = order === undefined || !alone ? null : uuidOf('order', order);
  return id === null ? null : { id };
}

function intakeRowOf(
  wish: RefundWish,
  of: { readonly orderId: string; readonly idempotencyKey: string | null; readonly caller: Caller },
): IntakeRow {
  const id = newUuid();
  return {
    id,
    order_id: of.orderId,
    appids: of.caller.appids,
    out_refund_no: wish.out_refund_no ?? publicId('refund', id),
    amount_fen: wish.amount ?? null,
    idempotency_key: of.idempotencyKey,
    request_digest: digestOf(wish, of.orderId),
    reason: wish.reason ?? null,
    items: wish.items ?? null,
    funds_account: wish.funds_account ?? null,
    note: wish.note ?? null,
    metadata: wish.metadata ?? {},
    created_by: of.caller.id,
    replaces: null,
    action: 'refund.create',
    address: of.caller.address,
    request_id: of.caller.requestId,
  };
}

/** Over the validated body with sorted keys before defaults, the order as its id (design.md 8). */
function digestOf(wish: RefundWish, orderId: string): string {
  const {
    order: _order,
    out_trade_no: _number,
    transaction_id: _transaction,
    mch_id: _mch,
    appid: _app,
    ...body
  } = wish;
  return requestDigest({ ...body, order: publicId('order', orderId) });
}

const REPLAY_SQL = `
  SELECT ${REFUND_COLUMNS} FROM refund r JOIN payment_order o ON o.id = r.order_id
  WHERE r.mch_id = $1 AND (r.out_refund_no = $2 OR (r.appid = $3 AND r.idempotency_key = $4))`;
