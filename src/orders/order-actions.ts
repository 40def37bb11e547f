import { Inject, Injectable } from '@nestjs/common';
import { record } from '../access/audit-log.js';
import type { Caller } from '../access/caller.js';
import { type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { newUuid, publicId, uuidOf } from '../common/ids.js';
import { incident } from '../common/log.js';
import { AppError } from '../common/problem.js';
import { Settings } from '../config/settings.js';
import { whereOf } from '../database/filters.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MerchantDirectory } from '../merchants/merchant-account.js';
import { beginCall, finishCall } from './gateway-call-log.js';
import { ORDER_GATEWAY, type OrderGateway } from './order-gateway.port.js';
import { OrderInquiry, refusedBy } from './order-inquiry.js';
import { bookClosed } from './payment-booking.js';
import { type OrderRow, type OrderView, ORDER_COLUMNS, orderView } from './order.view.js';
import type { ListOrdersQuery } from './orders.dto.js';
import { OrdersService } from './orders.service.js';

const AFTER = '(o.created_at, o.id) < (SELECT b.created_at, b.id FROM payment_order b WHERE b.id = ?)';

/** What callers do with an order after it was made: list, sync, close. */
@Injectable()
export class OrderActions {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly settings: Settings,
    private readonly merchants: MerchantDirectory,
    private readonly orders: OrdersService,
    private readonly inquiry: OrderInquiry,
    @Inject(ORDER_GATEWAY) private readonly gateway: OrderGateway,
  ) {}

  /** One page, newest first. */
  async list(caller: Caller, query: ListOrdersQuery): Promise<Page<OrderView>> {
    const range = rangeOf(query, (name) => uuidOf('order', name));
    const { hint, where, parameters } = whereOf([
      [AFTER, range.before, 'always'],
      ['o.appid = ANY(?)', caller.appids],
      ['o.created_at >= ?', range.createdGte],
      ['o.created_at < ?', range.createdLt],
      ['o.amount_fen >= ?', range.amountGte],
      ['o.amount_fen <= ?', range.amountLte],
      ['o.status = ANY(?)', query.status?.split(',') ?? null],
      ['o.mch_id = ?', query.mch_id ?? null],
      ['o.appid = ?', query.appid ?? null],
      ['o.out_trade_no = ?', query.out_trade_no ?? null],
      ['o.transaction_id = ?', query.transaction_id ?? null],
    ]);
    const rows = await this.uow.query<OrderRow>(
      `${hint}SELECT ${ORDER_COLUMNS} FROM payment_order o WHERE ${where} ORDER BY o.created_at DESC, o.id DESC LIMIT ${range.limit + 1}`,
      parameters,
    );
    return pageOf(
      rows,
      range.limit,
      (row) => orderView(row, this.settings),
      (row) => publicId('order', row.id),
    );
  }

  /** The order after WeChat's answer. 503 without one, 409 order_mismatch when WeChat shows another order. */
  async sync(caller: Caller, id: string): Promise<OrderRow> {
    const order = await this.orders.get(caller, id);
    await this.askedFor(caller, 'order.sync', order);
    const { answer, booked } = await this.inquiry.refresh(order);
    if (answer.outcome === 'unavailable') throw new AppError('wechat_unavailable', 'WeChat did not answer.');
    if (answer.outcome === 'refused') throw refusedBy(answer);
    if (answer.outcome === 'not_found' && order.status === 'paid') {
      incident('paid_order_not_found', { orderId: order.id });
      throw new AppError('order_mismatch', 'WeChat does not know this order, which is paid here.', { status: 409 });
    }
    if (booked?.result === 'refused') {
      throw new AppError('order_mismatch', booked.reason ?? 'WeChat shows another order.', { status: 409 });
    }
    return this.orders.get(caller, id);
  }

  /** Closes an unpaid order at WeChat; one that is closed already is answered as it is. */
  async close(caller: Caller, id: string): Promise<OrderRow> {
    const order = await this.orders.get(caller, id);
    if (order.status === 'closed') return order;
    if (order.status === 'paid') throw new AppError('order_already_paid', `Order ${order.out_trade_no} is paid.`);
    await this.closeAtWechat(caller, order);
    const now = await this.orders.get(caller, publicId('order', order.id));
    if (now.status === 'paid')
      throw new AppError('order_already_paid', `Order ${now.out_trade_no} was paid meanwhile.`);
    if (now.status === 'created') throw new AppError('wechat_unavailable', 'WeChat did not prove what became of it.');
    return now;
  }

  private async closeAtWechat(caller: Caller, order: OrderRow): Promise<void> {
    const { mch_id: mchId, appid, out_trade_no: outTradeNo } = order;
    const callId = newUuid();
    const account = await this.merchants.byMchId(mchId);
    if (!account?.enabled)
      throw new AppError('merchant_disabled', `Merchant ${mchId} is disabled: nothing is sent for it.`);
    const { apiVersion } = account;
    await this.askedFor(caller, 'order.close', order);
    await beginCall(this.uow, { callId, kind: 'order_close', mchId, orderId: order.id, apiVersion });
    const answer = await this.gateway.close({ callId, apiVersion, mchId, appid, outTradeNo });
    await finishCall(this.uow, callId, answer);
    switch (answer.outcome) {
      case 'closed':
      case 'not_found':
        await bookClosed(this.uow, order.id);
        return;
      case 'paid':
        await this.inquiry.refresh(order);
        return;
      case 'refused':
        throw refusedBy(answer);
      default:
        throw new AppError('wechat_unavailable', 'WeChat did not answer; the order is as it was.');
    }
  }

  /** WeChat's answer decides what becomes of it. */
  private async askedFor(caller: Caller, action: 'order.sync' | 'order.close', order: OrderRow): Promise<void> {
    const { status } = order;
    const change = { action, object: publicId('order', order.id), before: { status }, after: null };
    await this.uow.run((tx) => record(tx, caller, change));
  }
}
