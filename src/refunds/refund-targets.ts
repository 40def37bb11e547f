import { Injectable } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import type { Fen } from '../common/fen.js';
import { uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { Settings } from '../config/settings.js';
import { UnitOfWork } from '../database/unit-of-work.js';

/** The order a refund is asked for, with what the intake must know of its merchant. */
export interface RefundTarget {
  readonly id: string;
  readonly mch_id: string;
  readonly appid: string;
  readonly enabled: boolean;
}

/** How a caller names the order. */
export interface TargetNames {
  readonly order?: string;
  readonly out_trade_no?: string;
  readonly transaction_id?: string;
  readonly mch_id?: string;
  readonly appid?: string;
}

const FIND_SQL = `
  SELECT o.id, o.mch_id, o.appid, m.enabled FROM payment_order o JOIN merchant m ON m.mch_id = o.mch_id
  WHERE ($1::uuid IS NULL OR o.id = $1) AND ($2::text IS NULL OR o.out_trade_no = $2)
    AND ($3::text IS NULL OR o.transaction_id = $3) AND ($4::text IS NULL OR o.mch_id = $4)
    AND ($5::text IS NULL OR o.appid = $5) AND ($6::text[] IS NULL OR o.appid = ANY($6))
  LIMIT 2`;

/** Statements by the key that finds the row, so that each has the plan of its index. */
const FIND_BY: Readonly<Record<'order' | 'out_trade_no' | 'transaction_id', string>> = {
  order: FIND_SQL.replace('($1::uuid IS NULL OR o.id = $1)', 'o.id = $1::uuid'),
  out_trade_no: FIND_SQL.replace('($2::text IS NULL OR o.out_trade_no = $2)', 'o.out_trade_no = $2::text'),
  transaction_id: FIND_SQL.replace('($3::text IS NULL OR o.transaction_id = $3)', 'o.transaction_id = $3::text'),
};

const ROOM_SQL = `
  SELECT status, refund_count, (paid_fen - reserved_fen - refunded_fen - outside_fen)::text AS left_fen,
    (SELECT tuikuan_now()) >= paid_at + make_interval(days => $2) AS expired
  FROM payment_order WHERE id = $1`;

interface Room {
  readonly status: 'created' | 'paid' | 'closed';
  readonly refund_count: number;
  readonly left_fen: string;
  readonly expired: boolean | null;
}

/** Finds the order of a refund and explains why it cannot be refunded. */
@Injectable()
export class RefundTargets {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly settings: Settings,
  ) {}

  /** The one order that the names and the caller's apps leave; AppError order_not_found or mch_id_required. */
  async find(caller: Caller, names: TargetNames): Promise<RefundTarget> {
    const given = (['order', 'out_trade_no', 'transaction_id'] as const).filter((name) => names[name] !== undefined);
    const [by] = given;
    if (by === undefined || given.length !== 1) {
      throw new AppError(
        'validation_failed',
        'Exactly one of order, out_trade_no and transaction_id names the order.',
        {
          errors: [{ field: 'order', message: 'exactly one of order, out_trade_no and transaction_id is needed' }],
        },
      );
    }
    const rows = await this.uow.query<RefundTarget>(FIND_BY[by], [
      names.order === undefined ? null : uuidOf('order', names.order),
      names.out_trade_no ?? null,
      names.transaction_id ?? null,
      names.mch_id ?? null,
      names.appid ?? null,
      caller.appids,
    ]);
    const [target] = rows;
    if (!target) throw new AppError('order_not_found', `There is no order with this ${by}.`);
    if (rows.length > 1) throw new AppError('mch_id_required', `Two merchants have an order with this ${by}.`);
    return target;
  }

  /** Why the order's guard refuses this amount (null: all that is left); null when it would not. */
  async refusal(orderId: string, amountFen: Fen | null): Promise<AppError | null> {
    const { refundWindowDays, refundsPerOrderMax } = this.settings;
    const [room] = await this.uow.query<Room>(ROOM_SQL, [orderId, refundWindowDays]);
    if (!room || room.status !== 'paid') return new AppError('order_not_paid', 'The order is not paid.');
    if (room.expired) {
      return new AppError('refund_window_expired', `The order was paid more than ${refundWindowDays} days ago.`);
    }
    if (room.refund_count >= refundsPerOrderMax) {
      return new AppError('refund_count_exceeded', `The order has ${refundsPerOrderMax} refunds already.`);
    }
    const leftFen = Math.max(0, Number(room.left_fen));
    if ((amountFen ?? 1) > leftFen) {
      return new AppError('amount_exceeds_refundable', `Of this order ${leftFen} fen can still be refunded.`);
    }
    return null;
  }
}
