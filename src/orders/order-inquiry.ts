import { Inject, Injectable } from '@nestjs/common';
import { newUuid } from '../common/ids.js';
import { incident } from '../common/log.js';
import { AppError } from '../common/problem.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MerchantDirectory } from '../merchants/merchant-account.js';
import { beginCall, finishCall } from './gateway-call-log.js';
import {
  CREDENTIALS_MISSING,
  ORDER_GATEWAY,
  type OrderGateway,
  type OrderQueryAnswer,
  type ShownPayment,
} from './order-gateway.port.js';
import type { OrderRow } from './order.view.js';
import type { RegisterOrderDto } from './orders.dto.js';
import { bookPayment, type PaymentBooked } from './payment-booking.js';

/** A payment as proved by WeChat or vouched for by an admin. */
export interface ProvedPayment {
  readonly transactionId: string | null;
  /** RFC 3339. */
  readonly paidAt: string;
  readonly refunded: boolean;
}

type Asked = Pick<OrderRow, 'id' | 'mch_id' | 'appid' | 'out_trade_no'>;

/** Asks WeChat about payments, outside any transaction, and books what it proves. */
@Injectable()
export class OrderInquiry {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly merchants: MerchantDirectory,
    @Inject(ORDER_GATEWAY) private readonly gateway: OrderGateway,
  ) {}

  /** Asks for one order and books the answer in `uow`; null when there was none to book. */
  async refresh(
    order: Asked,
    uow: UnitOfWork = this.uow,
  ): Promise<{ answer: OrderQueryAnswer; booked: PaymentBooked | null }> {
    const callId = newUuid();
    const { id: orderId, mch_id: mchId, appid, out_trade_no: outTradeNo } = order;
    const apiVersion = await this.apiVersion(mchId);
    await beginCall(uow, { callId, kind: 'order_query', mchId, orderId, apiVersion });
    const answer = await this.gateway.query({ callId, apiVersion, mchId, appid, outTradeNo });
    const booked = await uow.run(async (tx) => {
      await finishCall(tx, callId, answer);
      return answer.shown === null ? null : bookPayment(tx, answer.shown);
    });
    reportPayment(booked);
    return { answer, booked };
  }

  /** What WeChat proves of a payment to be registered; the codes of design.md 7 when it does not. Nothing is stored here. */
  async proveForRegister(mchId: string, wish: RegisterOrderDto): Promise<ProvedPayment> {
    const callId = newUuid();
    const apiVersion = await this.apiVersion(mchId);
    await beginCall(this.uow, { callId, kind: 'order_query', mchId, apiVersion });
    const { appid, out_trade_no: outTradeNo } = wish;
    const answer = await this.gateway.query({ callId, apiVersion, mchId, appid, outTradeNo });
    await finishCall(this.uow, callId, answer);
    const { shown, outcome } = answer;
    if (outcome === 'unavailable')
      throw new AppError('wechat_unavailable', 'WeChat did not answer; nothing was stored.');
    if (outcome === 'refused') throw refusedBy(answer);
    if (!shown || shown.status !== 'paid' || shown.paidAt === null) {
      throw new AppError('order_not_paid', `WeChat shows no payment for ${wish.out_trade_no}.`);
    }
    const differing = differencesToWish(shown, mchId, wish);
    if (differing.length > 0) {
      throw new AppError('order_mismatch', `WeChat shows another ${differing.join(', ')} than asked for.`);
    }
    return { transactionId: shown.transactionId, paidAt: shown.paidAt, refunded: shown.refunded };
  }

  private async apiVersion(mchId: string): Promise<'v2' | 'v3'> {
    return (await this.merchants.byMchId(mchId))?.apiVersion ?? 'v2';
  }
}

function differencesToWish(shown: ShownPayment, mchId: string, wish: RegisterOrderDto): string[] {
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['mch_id', mchId, shown.mchId],
    ['appid', wish.appid, shown.appid ?? wish.appid],
    ['out_trade_no', wish.out_trade_no, shown.outTradeNo],
    ['amount', wish.amount, shown.totalFen],
    ['transaction_id', wish.transaction_id ?? shown.transactionId, shown.transactionId],
    ['paid_at', timeOf(wish.paid_at ?? shown.paidAt), timeOf(shown.paidAt)],
  ];
  return pairs.filter(([, asked, theirs]) => asked !== theirs).map(([name]) => name);
}

const timeOf = (time: string | null): number => Date.parse(time ?? '');

/** WeChat's definite no to a call about an order, or our own for lack of credentials. */
export function refusedBy(answer: { readonly code: string | null; readonly message: string | null }): AppError {
  if (answer.code === CREDENTIALS_MISSING.code) return new AppError('credentials_missing', `${answer.message ?? ''}.`);
  return new AppError('wechat_refused', `WeChat refused: ${answer.code ?? ''} ${answer.message ?? ''}`.trim());
}

/** Reports the incident of a committed payment booking. */
export function reportPayment(booked: PaymentBooked | null): void {
  if (booked?.incident === undefined) return;
  incident(booked.incident, { orderId: booked.orderId, ...(booked.reason !== undefined && { reason: booked.reason }) });
}
