import { Inject, Injectable } from '@nestjs/common';
import { assert } from '../common/assert.js';
import { newUuid } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { beginCall, finishCall } from './gateway-call-log.js';
import {
  type ApiVersion,
  ORDER_GATEWAY,
  type OrderGateway,
  type PaymentParameters,
  type Prepaid,
} from './order-gateway.port.js';
import { OrderInquiry, refusedBy } from './order-inquiry.js';
import type { OrderRow } from './order.view.js';

/** WeChat's word: a prepay_id is valid for two hours. */
const PREPAY_LIFE_SECONDS = 7200;

/** Asks WeChat for the prepay_id of a committed order and signs it for the mini-program. */
@Injectable()
export class Prepay {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly inquiry: OrderInquiry,
    @Inject(ORDER_GATEWAY) private readonly gateway: OrderGateway,
  ) {}

  /**
   * What wx.requestPayment takes: the order's prepay_id, signed anew while it lives and with the kind of signature it was asked for; else
   * a new one, over the merchant's protocol of today. AppError order_already_paid, order_closed, wechat_refused; wechat_unavailable, then the same request asks again.
   */
  async parametersFor(order: OrderRow, apiVersion: ApiVersion): Promise<PaymentParameters> {
    const { mch_id: mchId, appid, prepay_id: prepayId, prepay_sign_type: signType } = order;
    const lives = order.prepay_lives && prepayId !== null && signType !== null;
    return this.gateway.signPayment({
      mchId,
      appid,
      ...(lives ? { prepayId, signType } : await this.ask(order, apiVersion)),
    });
  }

  private async ask(order: OrderRow, apiVersion: ApiVersion): Promise<Prepaid> {
    const callId = newUuid();
    const call = {
      callId,
      kind: 'prepay' as const,
      mchId: order.mch_id,
      orderId: order.id,
      apiVersion,
    };
    await beginCall(this.uow, call);
    const answer = await this.gateway.prepay({
      callId,
      apiVersion,
      mchId: order.mch_id,
      appid: order.appid,
      outTradeNo: order.out_trade_no,
      amountFen: Number(order.amount_fen),
      description: order.description ?? '',
      openid: order.openid ?? '',
      attach: order.attach,
      expiresAt: order.expires_at,
      createdAt: order.created_at,
      payerClientIp: order.payer_client_ip,
    });
    await finishCall(this.uow, callId, answer);
    switch (answer.outcome) {
      case 'prepaid':
        assert(answer.prepaid, 'a prepaid answer carries its id');
        await this.uow.query(
          `UPDATE payment_order SET prepay_id = $2, prepay_until = (SELECT tuikuan_now()) + make_interval(secs => $3),
             prepay_sign_type = $4 WHERE id = $1`,
          [order.id, answer.prepaid.prepayId, PREPAY_LIFE_SECONDS, answer.prepaid.signType],
        );
        return answer.prepaid;
      case 'paid':
        await this.inquiry.refresh(order);
        throw new AppError('order_already_paid', `Order ${order.out_trade_no} is paid at WeChat.`);
      case 'closed':
        await this.inquiry.refresh(order);
        throw new AppError('order_closed', `Order ${order.out_trade_no} is closed at WeChat.`);
      case 'refused':
        throw refusedBy(answer);
      default:
        throw new AppError(
          'wechat_unavailable',
          `WeChat did not answer; order ${order.out_trade_no} waits for the same request with this out_trade_no.`,
        );
    }
  }
}
