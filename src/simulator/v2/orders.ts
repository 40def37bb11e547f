import { closeOrder as close, type OrderTrouble, prepay } from '../order-rules.js';
import type { SimulatedMerchant, SimulatedOrder, World } from '../world.js';
import { beijingDigits, type Fields } from './message.js';
import type { Answer } from './refunds.js';

const refuse = (code: string, text: string): Answer => ({ code, text });

const NEEDED = ['body', 'out_trade_no', 'total_fee', 'spbill_create_ip', 'notify_url', 'trade_type', 'openid'];
const FORMS = {
  out_trade_no: /^[0-9A-Za-z_\-|*]{6,32}$/,
  total_fee: /^[1-9][0-9]{0,12}$/,
  trade_type: /^JSAPI$/,
} as const;

/** V2's words for an order that cannot be paid or closed. Source: protocol.md 3.1, 3.4. */
const REFUSALS: Readonly<Record<OrderTrouble, Answer>> = {
  unknown: refuse('ORDERNOTEXIST', 'no such order'),
  paid: refuse('ORDERPAID', 'the order is paid'),
  closed: refuse('ORDERCLOSED', 'the order is closed'),
  number_used: refuse('OUT_TRADE_NO_USED', 'the number stands for another order'),
};

/** What is wrong with the fields of a unifiedorder; null when nothing is. */
function malformed(fields: Fields): Answer | null {
  const missing = NEEDED.find((name) => !fields[name]);
  if (missing !== undefined) return refuse('LACK_PARAMS', `lacks ${missing}`);
  const wrong = Object.entries(FORMS).find(([name, form]) => !form.test(fields[name] ?? ''));
  if (wrong) return refuse('PARAM_ERROR', `invalid ${wrong[0]}`);
  const { notify_url: url = '' } = fields;
  return URL.canParse(url) && new URL(url).search === '' ? null : refuse('PARAM_ERROR', 'invalid notify_url');
}

/** unifiedorder for JSAPI; the same order again has the same prepay_id. */
export function unifiedOrder(world: World, merchant: SimulatedMerchant, fields: Fields): Answer {
  const wrong = malformed(fields);
  if (wrong) return wrong;
  const found = prepay(world, merchant.mchId, {
    version: 'v2',
    appid: fields['appid'] ?? '',
    description: fields['body'] ?? '',
    outTradeNo: fields['out_trade_no'] ?? '',
    totalFen: Number(fields['total_fee']),
    openid: fields['openid'] ?? '',
    attach: fields['attach'] ?? '',
    notifyUrl: fields['notify_url'] ?? '',
  });
  if ('trouble' in found) return REFUSALS[found.trouble];
  return { fields: { trade_type: 'JSAPI', prepay_id: found.order.prepayId } };
}

/** orderquery by transaction_id or out_trade_no. */
export function orderQuery(world: World, merchant: SimulatedMerchant, fields: Fields): Answer {
  const { transaction_id: transaction, out_trade_no: number = '' } = fields;
  const order = transaction
    ? world.orderByTransaction(merchant.mchId, transaction)
    : world.order(merchant.mchId, number);
  if (!order) return REFUSALS.unknown;
  if (order.paidAtMs === null) {
    return {
      fields: { out_trade_no: order.outTradeNo, trade_state: order.closed ? 'CLOSED' : 'NOTPAY', trade_state_desc: '' },
    };
  }
  const refunded = world.refundsOf(order).length > 0;
  return {
    fields: { ...paidFields(order), trade_state: refunded ? 'REFUND' : 'SUCCESS', trade_state_desc: '支付成功' },
  };
}

/** What a paid order looks like, in queries and payment notices. */
export function paidFields(order: SimulatedOrder): Fields {
  return {
    openid: order.openid,
    is_subscribe: 'N',
    trade_type: 'JSAPI',
    bank_type: 'OTHERS',
    total_fee: String(order.totalFen),
    cash_fee: String(order.totalFen),
    transaction_id: order.transactionId ?? '',
    out_trade_no: order.outTradeNo,
    attach: order.attach,
    time_end: beijingDigits(order.paidAtMs ?? 0),
  };
}

/** closeorder. */
export function closeOrder(world: World, merchant: SimulatedMerchant, fields: Fields): Answer {
  const trouble = close(world, merchant.mchId, fields['out_trade_no'] ?? '');
  return trouble === null ? { fields: { result_msg: 'OK' } } : REFUSALS[trouble];
}
