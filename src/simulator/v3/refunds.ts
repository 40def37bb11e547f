import {
  type BrokenRule,
  isNotifyUrl,
  isRefundNumber,
  isTradeNumber,
  orderNamed,
  requestRefund,
  visibleRefunds,
} from '../refund-rules.js';
import type { RefundState, SimulatedRefund, World } from '../world.js';
import { beijingTime, type Json, refuse, refuseField, type Refusal, type Result } from './answer.js';
import type { V3Request } from './request.js';
import { type Check, integer, list, misshapen, oneOf, shape, text, upTo } from './shape.js';

/** v3's words for the state of a refund. Source: protocol.md 6.3. */
export const STATUS: Readonly<Record<RefundState, string>> = {
  PROCESSING: 'PROCESSING',
  SUCCESS: 'SUCCESS',
  REFUNDCLOSE: 'CLOSED',
  CHANGE: 'ABNORMAL',
};

/** v3's words for a broken rule. Source: protocol.md 6.5. */
const REFUSALS: Readonly<Record<BrokenRule, Refusal>> = {
  order_unknown: refuse('RESOURCE_NOT_EXISTS', '订单不存在'),
  other_appid: refuse('INVALID_REQUEST', '商户号与appid不匹配'),
  spacing: refuse('FREQUENCY_LIMITED', '同一笔订单的退款请求间隔需超过1分钟'),
  amounts_differ: refuse('REFUND_FEE_MISMATCH', '订单金额或退款金额与之前请求不一致，请核实后再试'),
  number_used: refuse('INVALID_REQUEST', '商户退款单号已被使用'),
  overdue: refuse('TRADE_OVERDUE', '订单已经超过可退款的最大期限'),
  too_many: refuse('INVALID_REQUEST', '部分退款次数超过限制'),
  sum_exceeded: refuse('INVALID_REQUEST', '申请退款金额大于订单可退金额'),
  balance: refuse('NOT_ENOUGH', '基本账户余额不足，请充值后重新发起'),
};

const LOCAL_HOSTS = ['127.0.0.1', 'localhost'];

/** https, or plain http to this machine so that tests need no certificate. */
export function isV3NotifyUrl(url: string): boolean {
  if (!isNotifyUrl(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || (protocol === 'http:' && LOCAL_HOSTS.includes(hostname));
}

/** The body of a refund request. Source: protocol.md 6.2. */
const BODY: Check = shape(
  {
    out_refund_no: text(isRefundNumber),
    amount: shape(
      { refund: integer(1), total: integer(1), currency: oneOf('CNY') },
      { from: list(shape({ account: oneOf('AVAILABLE', 'UNAVAILABLE'), amount: integer(1) })) },
    ),
  },
  {
    transaction_id: upTo(32),
    out_trade_no: text(isTradeNumber),
    reason: upTo(80),
    notify_url: text(isV3NotifyUrl),
    funds_account: oneOf('AVAILABLE', 'UNSETTLED'),
    goods_detail: list(
      shape(
        { merchant_goods_id: upTo(32), unit_price: integer(0), refund_amount: integer(0), refund_quantity: integer(1) },
        { wechatpay_goods_id: upTo(32), goods_name: upTo(256) },
      ),
    ),
  },
);

interface RefundBody {
  readonly transaction_id?: string;
  readonly out_trade_no?: string;
  readonly out_refund_no: string;
  readonly notify_url?: string;
  readonly amount: { readonly refund: number; readonly total: number };
}

/** POST /v3/refund/domestic/refunds. The same number with the same amounts is answered again and moves no more money. */
export function createRefund(world: World, { merchant, body }: V3Request): Result {
  const wrong = misshapen(body, BODY);
  if (wrong) return wrong;
  const wish = body as RefundBody;
  if ((wish.transaction_id === undefined) === (wish.out_trade_no === undefined)) {
    return refuseField('/transaction_id', 'or out_trade_no, exactly one of the two');
  }
  const judged = requestRefund(world, merchant, {
    version: 'v3',
    order: orderNamed(world, merchant.mchId, { transactionId: wish.transaction_id, outTradeNo: wish.out_trade_no }),
    appid: null,
    outRefundNo: wish.out_refund_no,
    totalFen: wish.amount.total,
    amountFen: wish.amount.refund,
    notifyUrl: wish.notify_url ?? null,
  });
  return 'broken' in judged ? REFUSALS[judged.broken] : { status: 200, body: refundObject(judged.refund) };
}

/** GET /v3/refund/domestic/refunds/{out_refund_no}. */
export function queryRefund(world: World, { merchant, path: [number = ''] }: V3Request): Result {
  const [found] = visibleRefunds(world, merchant, { outRefundNo: number });
  return found ? { status: 200, body: refundObject(found) } : refuse('RESOURCE_NOT_EXISTS', '退款单不存在');
}

/** A refund as every answer shows it. Source: protocol.md 6.3. */
export function refundObject(entry: SimulatedRefund): Json {
  const { order, amountFen } = entry;
  return {
    refund_id: entry.refundId,
    out_refund_no: entry.outRefundNo,
    transaction_id: order.transactionId,
    out_trade_no: order.outTradeNo,
    channel: 'ORIGINAL',
    user_received_account: '支付用户零钱',
    ...(entry.succeededMs !== null && { success_time: beijingTime(entry.succeededMs) }),
    create_time: beijingTime(entry.createdMs),
    status: STATUS[entry.state],
    funds_account: 'UNSETTLED',
    amount: {
      total: order.totalFen,
      refund: amountFen,
      from: [],
      payer_total: order.totalFen,
      payer_refund: amountFen,
      settlement_refund: amountFen,
      settlement_total: order.totalFen,
      discount_refund: 0,
      currency: 'CNY',
      refund_fee: 0,
    },
    promotion_detail: [],
  };
}
