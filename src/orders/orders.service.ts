import { Injectable } from '@nestjs/common';
import { type AuditAction, record } from '../access/audit-log.js';
import type { Caller } from '../access/caller.js';
import { hasRole, seesApp } from '../access/caller.js';
import { assert } from '../common/assert.js';
import { newUuid, publicId, uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { requestDigest } from '../common/request-digest.js';
import { Settings } from '../config/settings.js';
import { constraintOf, UnitOfWork } from '../database/unit-of-work.js';
import { canCall, type MerchantAccount, MerchantDirectory } from '../merchants/merchant-account.js';
import type { PaymentParameters } from './order-gateway.port.js';
import { type OrderRow, ORDER_COLUMNS, orderView } from './order.view.js';
import type { CreateOrderDto, RegisterOrderDto } from './orders.dto.js';
import { OrderInquiry, type ProvedPayment } from './order-inquiry.js';
import { Prepay } from './prepay.js';
import { INSERT_REGISTERED_SQL } from './registered-order.js';

const EXPIRY_MIN_MS = 5 * 60_000;
/** The first question to WeChat about a created order. */
const FIRST_QUERY_SECONDS = 60;

const INSERT_SQL = `
  INSERT INTO payment_order AS o (id, mch_id, appid, out_trade_no, status, amount_fen, source, request_digest, description, openid,
    attach, payer_client_ip, expires_at, metadata, created_by, created_at, updated_at, next_query_at)
  SELECT $1, $2, $3, $4, 'created', $5::bigint, 'prepay', $6, $7, $8, $9, $10, $11::timestamptz, $12::jsonb, $13, c.now, c.now,
    c.now + make_interval(secs => ${FIRST_QUERY_SECONDS})
  FROM (SELECT tuikuan_now() AS now) c
  ON CONFLICT (mch_id, out_trade_no) DO NOTHING
  RETURNING ${ORDER_COLUMNS}`;

const BY_NUMBER_SQL = `SELECT ${ORDER_COLUMNS} FROM payment_order o WHERE o.mch_id = $1 AND o.out_trade_no = $2`;
const BY_ID_SQL = `SELECT ${ORDER_COLUMNS} FROM payment_order o WHERE o.id = $1 AND ($2::text[] IS NULL OR o.appid = ANY($2))`;

/** What creating or registering came to; `created` false is an exact repeat. */
export interface OrderMade {
  readonly order: OrderRow;
  readonly created: boolean;
  readonly payment?: PaymentParameters;
}

/**
 * Takes payments and registers ones taken elsewhere. It promises that the order is committed before WeChat hears of it and that a
 * number stands for one order. Payment status changes in payment-booking.ts only.
 */
@Injectable()
export class OrdersService {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly settings: Settings,
    private readonly merchants: MerchantDirectory,
    private readonly inquiry: OrderInquiry,
    private readonly prepay: Prepay,
  ) {}

  /** The row behind a public id; AppError order_not_found, also for another app's order. */
  async get(caller: Caller, id: string): Promise<OrderRow> {
    const uuid = uuidOf('order', id);
    const [row] = uuid === null ? [] : await this.uow.query<OrderRow>(BY_ID_SQL, [uuid, caller.appids]);
    if (!row) throw new AppError('order_not_found', `There is no order ${id}.`);
    return row;
  }

  /** Commits the order, asks WeChat for a prepay_id and signs it; the same request asks or signs again. */
  async create(caller: Caller, wish: CreateOrderDto): Promise<OrderMade> {
    const mchId = await this.merchantFor(caller, wish.appid, wish.mch_id);
    const account = await this.usableMerchant(mchId, true);
    const id = newUuid();
    const outTradeNo = wish.out_trade_no ?? publicId('order', id).slice('ord_'.length);
    const digest = digestOf({ ...wish, mch_id: mchId, out_trade_no: outTradeNo });
    const existing = await this.repeatOf(mchId, outTradeNo, digest);
    if (!existing) await this.assertExpiry(wish.expires_at);
    const order =
      existing ??
      (await this.insert(caller, 'order.create', INSERT_SQL, [
        id,
        mchId,
        wish.appid,
        outTradeNo,
        wish.amount,
        digest,
        ...wordsOf(wish),
        caller.id,
      ])) ??
      (await this.repeatOf(mchId, outTradeNo, digest));
    assert(order, 'an order that was not inserted exists');
    const created = order.id === id;
    if (order.status === 'paid') return { order, created };
    if (order.status === 'closed') throw new AppError('order_closed', `Order ${outTradeNo} is closed.`);
    return { order, created, payment: await this.prepay.parametersFor(order, account.apiVersion) };
  }

  /** Takes in a payment made elsewhere, proved by WeChat unless an admin vouches for it. */
  async register(caller: Caller, wish: RegisterOrderDto): Promise<OrderMade> {
    const { verify = true } = wish;
    if (!verify) assertVouchedFor(caller, wish);
    const mchId = await this.merchantFor(caller, wish.appid, wish.mch_id);
    const digest = digestOf({ ...wish, mch_id: mchId, verify });
    const existing = await this.repeatOf(mchId, wish.out_trade_no, digest);
    if (existing) return { order: existing, created: false };
    await this.usableMerchant(mchId, verify);
    const proved = verify ? await this.inquiry.proveForRegister(mchId, wish) : await this.vouched(wish);
    const made = await this.insert(caller, 'order.register', INSERT_REGISTERED_SQL, [
      newUuid(),
      mchId,
      wish.appid,
      wish.out_trade_no,
      proved.transactionId,
      wish.amount,
      proved.paidAt,
      verify,
      digest,
      proved.refunded,
      JSON.stringify(wish.metadata ?? {}),
      caller.id,
    ]);
    const order = made ?? (await this.repeatOf(mchId, wish.out_trade_no, digest));
    assert(order, 'an order that was not inserted exists');
    return { order, created: made !== null };
  }

  private async vouched(wish: RegisterOrderDto): Promise<ProvedPayment> {
    const paidAt = await this.pastTime(wish.paid_at ?? '');
    return { transactionId: wish.transaction_id ?? null, paidAt, refunded: false };
  }

  /** Null when the number exists. */
  private async insert(
    caller: Caller,
    action: AuditAction,
    sql: string,
    parameters: readonly unknown[],
  ): Promise<OrderRow | null> {
    try {
      return await this.uow.run(async (tx) => {
        const [made = null] = await tx.query<OrderRow[]>(sql, [...parameters]);
        if (made) {
          const object = publicId('order', made.id);
          await record(tx, caller, { action, object, before: null, after: orderView(made, this.settings) });
        }
        return made;
      });
    } catch (error) {
      if (constraintOf(error) !== 'payment_order_transaction_id_key') throw error;
      throw new AppError('out_trade_no_conflict', 'This transaction_id stands for another order.');
    }
  }

  /** The order of this number if its request was the same; AppError out_trade_no_conflict if it was another; null if none. */
  private async repeatOf(mchId: string, outTradeNo: string, digest: Buffer): Promise<OrderRow | null> {
    const [row] = await this.uow.query<OrderRow>(BY_NUMBER_SQL, [mchId, outTradeNo]);
    if (!row) return null;
    if (row.request_digest.equals(digest)) return row;
    throw new AppError('out_trade_no_conflict', `out_trade_no ${outTradeNo} stands for another order.`);
  }

  /** The merchant of a new order: the one named, or the only one the app is bound to. */
  private async merchantFor(caller: Caller, appid: string, mchId: string | undefined): Promise<string> {
    if (!seesApp(caller, appid)) throw new AppError('mini_program_not_found', `There is no mini-program ${appid}.`);
    const [program] = await this.uow.query<{ mch_ids: string[] }>(
      `SELECT ARRAY(SELECT b.mch_id FROM mini_program_merchant b WHERE b.appid = p.appid) AS mch_ids
       FROM mini_program p WHERE p.appid = $1`,
      [appid],
    );
    if (!program) throw new AppError('mini_program_not_found', `There is no mini-program ${appid}.`);
    const bound = program.mch_ids;
    if (mchId !== undefined) {
      if (bound.includes(mchId)) return mchId;
      if (!(await this.merchants.byMchId(mchId)))
        throw new AppError('merchant_not_found', `There is no merchant ${mchId}.`);
      throw new AppError('mini_program_not_bound', `Mini-program ${appid} is not bound to merchant ${mchId}.`);
    }
    const [only] = bound;
    if (only === undefined)
      throw new AppError('mini_program_not_bound', `Mini-program ${appid} is bound to no merchant.`);
    if (bound.length > 1) throw new AppError('mch_id_required', `Mini-program ${appid} is bound to several merchants.`);
    return only;
  }

  /** `asks`: WeChat is going to be asked in its name. */
  private async usableMerchant(mchId: string, asks: boolean): Promise<MerchantAccount> {
    const account = await this.merchants.byMchId(mchId);
    if (!account) throw new AppError('merchant_not_found', `There is no merchant ${mchId}.`);
    if (!account.enabled) throw new AppError('merchant_disabled', `Merchant ${mchId} is disabled.`);
    if (asks && !canCall(account))
      throw new AppError('credentials_missing', `Merchant ${mchId} lacks credentials to ask WeChat with.`);
    return account;
  }

  private async databaseNow(): Promise<Date> {
    const [row] = await this.uow.query<{ now: Date }>('SELECT tuikuan_now() AS now', []);
    assert(row, 'the database tells the time');
    return row.now;
  }

  private async assertExpiry(expiresAt: string | undefined): Promise<void> {
    if (expiresAt === undefined) return;
    if (new Date(expiresAt).getTime() - (await this.databaseNow()).getTime() >= EXPIRY_MIN_MS) return;
    throw new AppError('validation_failed', 'expires_at must be at least 5 minutes ahead.', {
      errors: [{ field: 'expires_at', message: 'must be at least 5 minutes ahead' }],
    });
  }

  private async pastTime(time: string): Promise<string> {
    if (new Date(time) <= (await this.databaseNow())) return time;
    throw new AppError('validation_failed', 'paid_at lies in the future.', {
      errors: [{ field: 'paid_at', message: 'must not lie in the future' }],
    });
  }
}

/** A payment that WeChat has not proved is an admin's word, with its time. */
function assertVouchedFor(caller: Caller, wish: RegisterOrderDto): void {
  if (!hasRole(caller, 'admin')) {
    throw new AppError('forbidden', 'Only an admin registers a payment that WeChat has not proved.');
  }
  if (wish.paid_at !== undefined) return;
  throw new AppError('validation_failed', 'paid_at is needed with verify=false.', {
    errors: [{ field: 'paid_at', message: 'is needed with verify=false' }],
  });
}

/** What WeChat and the payer are told, and the caller's own words. */
function wordsOf(wish: CreateOrderDto): readonly (string | null)[] {
  const { description, openid, attach = null, payer_client_ip: ip = null, expires_at: expiresAt = null } = wish;
  return [description, openid, attach, ip, expiresAt, JSON.stringify(wish.metadata ?? {})];
}

function digestOf(body: object): Buffer {
  return Buffer.from(requestDigest(body), 'hex');
}
