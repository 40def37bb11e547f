import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { record } from '../access/audit-log.js';
import type { Caller } from '../access/caller.js';
import { type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { publicId, uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { whereOf } from '../database/filters.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Sealer } from '../merchants/sealing.js';
import { bookPayment } from '../orders/payment-booking.js';
import { reportPayment } from '../orders/order-inquiry.js';
import { Reconciler } from '../refunds/reconciler.js';
import { RefundLedger } from '../refunds/refund-ledger.js';
import { contentOf, type NoticeContent } from '../wechat-pay/notice-content.js';
import type { ListNotificationsQuery } from './notifications.dto.js';
import type { NotificationView } from './notification.view.js';

/** A stored notice. */
export interface NotificationRow {
  readonly id: string;
  readonly mch_id: string;
  readonly appid: string | null;
  readonly kind: 'refund' | 'payment';
  readonly version: 'v2' | 'v3';
  readonly received_at: Date;
  readonly deliveries: number;
  readonly result: string;
  readonly reason: string | null;
  readonly refund_id: string | null;
  readonly order_id: string | null;
  readonly kek_id: string;
  readonly content: Buffer;
}

const COLUMNS = `id, mch_id, appid, kind, version, received_at, deliveries, result, reason, refund_id, order_id, kek_id, content`;

const AFTER = '(received_at, id) < (SELECT b.received_at, b.id FROM notification b WHERE b.id = ?)';

const REFUND_OF_NUMBER_SQL = 'SELECT id, order_id FROM refund WHERE mch_id = $1 AND out_refund_no = $2';

const NOTE_SQL = `
  UPDATE notification SET result = $2, reason = $3, refund_id = coalesce($4, refund_id), order_id = coalesce($5, order_id),
    query_step = 0, next_query_at = CASE WHEN $6::boolean THEN (SELECT tuikuan_now()) END
  WHERE id = $1 RETURNING id`;

/** Reads the inbox, and works on a notice once more. */
@Injectable()
export class Inbox {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly sealer: Sealer,
    private readonly ledger: RefundLedger,
    private readonly reconciler: Reconciler,
  ) {}

  /** AppError notification_not_found. */
  async get(id: string): Promise<NotificationRow> {
    const rows = await this.uow.query<NotificationRow>(
      `SELECT ${COLUMNS} FROM with_archive.notification WHERE id = $1`,
      [uuidOf('notification', id)],
    );
    if (!rows[0]) throw new AppError('notification_not_found', `There is no notification ${id}.`);
    return rows[0];
  }

  /** One page, newest first. */
  async list(query: ListNotificationsQuery): Promise<Page<NotificationView>> {
    const { limit, before, createdGte, createdLt } = rangeOf(query, (name) => uuidOf('notification', name));
    const { hint, where, parameters } = whereOf([
      [AFTER, before, 'always'],
      ['received_at >= ?', createdGte],
      ['received_at < ?', createdLt],
      ['mch_id = ?', query.mch_id ?? null],
      ['kind = ?', query.kind ?? null],
      ['result = ANY(?)', query.result?.split(',') ?? null],
      ['refund_id = ?', query.refund === undefined ? null : uuidOf('refund', query.refund)],
      ['order_id = ?', query.order === undefined ? null : uuidOf('order', query.order)],
    ]);
    const rows = await this.uow.query<NotificationRow>(
      `${hint}SELECT ${COLUMNS} FROM notification WHERE ${where} ORDER BY received_at DESC, id DESC LIMIT ${limit + 1}`,
      parameters,
    );
    return pageOf(
      rows,
      limit,
      (row) => this.view(row),
      (row) => publicId('notification', row.id),
    );
  }

  view(row: NotificationRow): NotificationView {
    return {
      object: 'notification',
      id: publicId('notification', row.id),
      mch_id: row.mch_id,
      kind: row.kind,
      version: row.version,
      received_at: row.received_at.toISOString(),
      deliveries: row.deliveries,
      result: row.result,
      ...(row.reason !== null && { reason: row.reason }),
      ...(row.refund_id !== null && { refund: publicId('refund', row.refund_id) }),
      ...(row.order_id !== null && { order: publicId('order', row.order_id) }),
      content: this.contentOf(row).fields,
    };
  }

  /**
   * Works on a stored notice as if it came now, but books no refund by it, since it may be older than what was learned meanwhile: a
   * refund notice wakes a query; a payment notice, which is signed and stays true, is booked. No caller: the service itself. AppError
   * notification_not_found, or invalid_state for one in the archive.
   */
  async reprocess(caller: Caller | null, id: string): Promise<NotificationRow> {
    const row = await this.get(id);
    if (row.kind === 'payment') await this.reprocessPayment(caller, row);
    else await this.reprocessRefund(caller, row);
    return this.get(id);
  }

  private async reprocessPayment(caller: Caller | null, row: NotificationRow): Promise<void> {
    const shown = this.contentOf(row).payment();
    const booked = await this.uow.run(async (tx) => {
      const payment = await bookPayment(tx, shown);
      const { result, reason = null, orderId = null } = payment;
      await note(tx, caller, row, { result, reason, refundId: null, orderId, lookUp: false });
      return payment;
    });
    reportPayment(booked);
  }

  private async reprocessRefund(caller: Caller | null, row: NotificationRow): Promise<void> {
    const shown = this.contentOf(row).refund();
    await this.uow.run(async (tx) => {
      const [refund] = await tx.query<{ id: string; order_id: string }[]>(REFUND_OF_NUMBER_SQL, [
        row.mch_id,
        shown.outRefundNo,
      ]);
      if (!refund) {
        const [order] = await tx.query<{ id: string }[]>(
          'SELECT id FROM payment_order WHERE mch_id = $1 AND out_trade_no = $2',
          [row.mch_id, shown.outTradeNo],
        );
        const result = order ? 'waiting_for_query' : 'unmatched';
        const { reason } = row;
        await note(tx, caller, row, { result, reason, refundId: null, orderId: order?.id ?? null, lookUp: !!order });
        return;
      }
      const [booked] = await this.ledger.book(tx, [
        {
          kind: 'wake',
          refundId: refund.id,
          orderId: refund.order_id,
          cause: 'notice',
          sourceId: row.id,
          shown,
        },
      ]);
      const result = booked?.result === 'repeat' ? 'repeat' : 'waiting_for_query';
      const reason = booked?.reason ?? null;
      await note(tx, caller, row, { result, reason, refundId: refund.id, orderId: refund.order_id, lookUp: false });
    });
    this.reconciler.wake();
  }

  /** What the sealed text shows. */
  contentOf(row: NotificationRow): NoticeContent {
    const context = { mchId: row.mch_id, kind: 'notification', version: row.id };
    const text = this.sealer.open(context, { kekId: row.kek_id, sealed: row.content }).reveal();
    return contentOf(text, row);
  }
}

/** What became of it this time; `lookUp`: WeChat is asked about a number we do not know. */
interface Note {
  readonly result: string;
  readonly reason: string | null;
  readonly refundId: string | null;
  readonly orderId: string | null;
  readonly lookUp: boolean;
}

async function note(tx: EntityManager, caller: Caller | null, row: NotificationRow, now: Note): Promise<void> {
  const [noted] = await tx.query<[unknown[], number]>(NOTE_SQL, [
    row.id,
    now.result,
    now.reason,
    now.refundId,
    now.orderId,
    now.lookUp,
  ]);
  if (noted.length === 0)
    throw new AppError('invalid_state', 'The notification is archived: sync its refund or order instead.');
  if (!caller) return;
  const { result, reason } = row;
  await record(tx, caller, {
    action: 'notification.reprocess',
    object: publicId('notification', row.id),
    before: { result, reason },
    after: { result: now.result, reason: now.reason },
  });
}
