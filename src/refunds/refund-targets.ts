import { Injectable } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import type { Fen } from '../common/fen.js';
import { uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { Settings } from '../config/settings.js';
import { Batches } from '../database/batches.js';
import { fewRows } from '../database/filters.js';
import { UnitOfWork } from '../database/unit-of-work.js';

const BATCH_MAX = 100;

/** The order a refund is asked for. */
export interface RefundTarget {
  readonly id: string;
  readonly mch_id: string;
  readonly appid: string;
}

/** How a caller names the order. */
export interface TargetNames {
  readonly order?: string;
  readonly out_trade_no?: string;
  readonly transaction_id?: string;
  readonly mch_id?: string;
  readonly appid?: string;
}

/** The orders that each of a list of names and apps leaves; every kind of name has the plan of its index. $1 the list. */
const FIND_SQL = `
  SELECT a.place, o.id, o.mch_id, o.appid
  FROM jsonb_to_recordset($1::jsonb) AS a(place integer, id uuid, out_trade_no text, transaction_id text, mch_id text, appid text,
      appids text[])
    CROSS JOIN LATERAL (
      SELECT id, mch_id, appid FROM payment_order WHERE id = a.id
      UNION ALL
      SELECT id, mch_id, appid FROM payment_order WHERE out_trade_no = a.out_trade_no
      UNION ALL
      SELECT id, mch_id, appid FROM payment_order WHERE transaction_id = a.transaction_id) o
  WHERE (a.mch_id IS NULL OR o.mch_id = a.mch_id) AND (a.appid IS NULL OR o.appid = a.appid)
    AND (a.appids IS NULL OR o.appid = ANY(a.appids)) AND ${fewRows('a.place')}`;

/** Names of an order as {@link FIND_SQL} reads them; one of the first three is not null. */
interface NamesRow {
  readonly id: string | null;
  readonly out_trade_no: string | null;
  readonly transaction_id: string | null;
  readonly mch_id: string | null;
  readonly appid: string | null;
  readonly appids: readonly string[] | null;
}

const ROOM_SQL = `
  SELECT o.mch_id, m.enabled, o.status, o.refund_count,
    (o.paid_fen - o.reserved_fen - o.refunded_fen - o.outside_fen)::text AS left_fen,
    (SELECT tuikuan_now()) >= o.paid_at + make_interval(days => $2) AS expired
  FROM payment_order o JOIN merchant m ON m.mch_id = o.mch_id WHERE o.id = $1`;

interface Room {
  readonly mch_id: string;
  readonly enabled: boolean;
  readonly status: 'created' | 'paid' | 'closed';
  readonly refund_count: number;
  readonly left_fen: string;
  readonly expired: boolean | null;
}

/** Finds the order of a refund and explains why it cannot be refunded. */
@Injectable()
export class RefundTargets {
  private readonly finding = new Batches<NamesRow, RefundTarget[]>(BATCH_MAX, null, (names) => this.findAll(names));

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
    const rows = await this.finding.ask({
      id: names.order === undefined ? null : uuidOf('order', names.order),
      out_trade_no: names.out_trade_no ?? null,
      transaction_id: names.transaction_id ?? null,
      mch_id: names.mch_id ?? null,
      appid: names.appid ?? null,
      appids: caller.appids,
    });
    const [target] = rows;
    if (!target) throw new AppError('order_not_found', `There is no order with this ${by}.`);
    if (rows.length > 1) throw new AppError('mch_id_required', `Two merchants have an order with this ${by}.`);
    return target;
  }

  private async findAll(names: readonly NamesRow[]): Promise<RefundTarget[][]> {
    const asked = names.map((row, place) => ({ place, ...row }));
    const rows = await this.uow.query<RefundTarget & { place: number }>(FIND_SQL, [JSON.stringify(asked)]);
    const found = names.map((): RefundTarget[] => []);
    for (const row of rows) found[row.place]?.push(row);
    return found;
  }

  /** Why the order's guard refuses this amount (null: all that is left); null when it would not. */
  async refusal(orderId: string, amountFen: Fen | null): Promise<AppError | null> {
    const { refundWindowDays, refundsPerOrderMax } = this.settings;
    const [room] = await this.uow.query<Room>(ROOM_SQL, [orderId, refundWindowDays]);
    if (room?.enabled === false) return new AppError('merchant_disabled', `Merchant ${room.mch_id} is disabled.`);
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
