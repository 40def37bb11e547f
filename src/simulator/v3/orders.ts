import { closeOrder as close, type OrderTrouble, prepay } from '../order-rules.js';
import { isTradeNumber } from '../refund-rules.js';
import type { SimulatedOrder, World } from '../world.js';
import { beijingTime, type Json, refuse, refuseField, type Refusal, type Result } from './answer.js';
import { isV3NotifyUrl } from './refunds.js';
import type { V3Request } from './request.js';
import { type Check, flag, integer, misshapen, oneOf, shape, text, upTo } from './shape.js';

/** v3's words for an order that cannot be paid or closed, as merchants report them; protocol.md names none. */
const REFUSALS: Readonly<Record<OrderTrouble, Refusal>> = {
  unknown: refuse('ORDER_NOT_EXIST', '订单不存在'),
  paid: refuse('ORDERPAID', '该订单已支付'),
  closed: refuse('ORDER_CLOSED', '该订单已关闭'),
  number_used: refuse('OUT_TRADE_NO_USED', '商户订单号重复'),
};

const anyObject: Check = (value, field) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? null : { field, issue: 'is no object' };

const isTime = (value: string): boolean =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value) && !Number.isNaN(Date.parse(value));

/** The body of a JSAPI prepay. Source: protocol.md 6.9. */
const BODY: Check = shape(
  {
    appid: upTo(32),
    mchid: upTo(32),
    description: upTo(127),
    out_trade_no: text(isTradeNumber),
    notify_url: text(isV3NotifyUrl),
    amount: shape({ total: integer(1) }, { currency: oneOf('CNY') }),
    payer: shape({ openid: upTo(128) }),
  },
  {
    time_expire: text(isTime),
    attach: upTo(128),
    goods_tag: upTo(32),
    support_fapiao: flag,
    detail: anyObject,
    scene_info: anyObject,
    settle_info: shape({}, { profit_sharing: flag }),
  },
);

interface PrepayBody {
  readonly appid: string;
  readonly mchid: string;
  readonly description: string;
  readonly out_trade_no: string;
  readonly notify_url: string;
  readonly attach?: string;
  readonly amount: { readonly total: number };
  readonly payer: { readonly openid: string };
}

/** POST /v3/pay/transactions/jsapi; the same order again has the same prepay_id. */
export function prepayJsapi(world: World, { merchant, body }: V3Request): Result {
  const wrong = misshapen(body, BODY);
  if (wrong) return wrong;
  const wish = body as PrepayBody;
  if (wish.mchid !== merchant.mchId) return refuseField('/mchid', 'is not the merchant that signed');
  if (!merchant.appids.has(wish.appid)) return refuse('APPID_MCHID_NOT_MATCH', 'appid与mchid不匹配');
  const found = prepay(world, merchant.mchId, {
    version: 'v3',
    appid: wish.appid,
    description: wish.description,
    outTradeNo: wish.out_trade_no,
    totalFen: wish.amount.total,
    openid: wish.payer.openid,
    attach: wish.attach ?? '',
    notifyUrl: wish.notify_url,
  });
  if ('trouble' in found) return REFUSALS[found.trouble];
  return { status: 200, body: { prepay_id: found.order.prepayId } };
}

/** GET /v3/pay/transactions/out-trade-no/{out_trade_no}?mchid=. */
export function orderByNumber(world: World, request: V3Request): Result {
  return shown(world, request, world.order(request.merchant.mchId, request.path[0] ?? ''));
}

/** GET /v3/pay/transactions/id/{transaction_id}?mchid=. */
export function orderByTransaction(world: World, request: V3Request): Result {
  return shown(world, request, world.orderByTransaction(request.merchant.mchId, request.path[0] ?? ''));
}

function shown(world: World, { merchant, query }: V3Request, order: SimulatedOrder | undefined): Result {
  if (query.get('mchid') !== merchant.mchId) return refuseField('mchid', 'is not the merchant that signed', 'query');
  return order ? { status: 200, body: transaction(world, order) } : REFUSALS.unknown;
}

/** POST /v3/pay/transactions/out-trade-no/{out_trade_no}/close. */
export function closeTransaction(world: World, { merchant, path: [number = ''], body }: V3Request): Result {
  const wrong = misshapen(body, shape({ mchid: upTo(32) }));
  if (wrong) return wrong;
  if ((body as { mchid: string }).mchid !== merchant.mchId) {
    return refuseField('/mchid', 'is not the merchant that signed');
  }
  const trouble = close(world, merchant.mchId, number);
  return trouble === null ? { status: 204, body: null } : REFUSALS[trouble];
}

/** A payment as queries and notices show it; unpaid ones lack what only a payment has. Source: protocol.md 3.4, 6.9. */
export function transaction(world: World, order: SimulatedOrder): Json {
  const { appid, mchId: mchid, outTradeNo: out_trade_no, totalFen: total, attach } = order;
  const head = { appid, mchid, out_trade_no, ...(attach !== '' && { attach }) };
  if (order.paidAtMs === null) {
    return {
      ...head,
      trade_state: order.closed ? 'CLOSED' : 'NOTPAY',
      trade_state_desc: order.closed ? '订单已关闭' : '订单未支付',
      amount: { total, currency: 'CNY' },
    };
  }
  const refunded = world.refundsOf(order).length > 0;
  return {
    ...head,
    transaction_id: order.transactionId,
    trade_type: 'JSAPI',
    trade_state: refunded ? 'REFUND' : 'SUCCESS',
    trade_state_desc: refunded ? '订单发生过退款' : '支付成功',
    bank_type: 'OTHERS',
    success_time: beijingTime(order.paidAtMs),
    payer: { openid: order.openid },
    amount: { total, payer_total: total, currency: 'CNY', payer_currency: 'CNY' },
  };
}
