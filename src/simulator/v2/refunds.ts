import type { SimulatedMerchant, SimulatedOrder, SimulatedRefund, World } from '../world.js';
import { beijingText, type Fields } from './message.js';

/** A business answer: fields of a success, or an err_code with its text. */
export type Answer = { readonly fields: Fields } | { readonly code: string; readonly text: string };

const refuse = (code: string, text: string): Answer => ({ code, text });

const REFUND_NUMBER = /^[0-9A-Za-z_\-|*@]{1,64}$/;
const TRADE_NUMBER = /^[0-9A-Za-z_\-|*]{6,32}$/;
const AMOUNT = /^[1-9][0-9]{0,12}$/;
const DAY_MS = 86_400_000;
const PAGE_RECORDS = 10;

/** Fields that are wrong in themselves; null when all are well formed. */
function malformed(fields: Fields): string | null {
  const {
    out_refund_no: number = '',
    total_fee: total = '',
    refund_fee: fee = '',
    out_trade_no: trade,
    notify_url: url,
  } = fields;
  if (!REFUND_NUMBER.test(number)) return 'out_refund_no';
  if (trade !== undefined && !TRADE_NUMBER.test(trade)) return 'out_trade_no';
  if (!AMOUNT.test(total)) return 'total_fee';
  if (!AMOUNT.test(fee)) return 'refund_fee';
  if (url !== undefined && (!URL.canParse(url) || new URL(url).search !== '' || url.length > 256)) return 'notify_url';
  if ((fields['refund_desc'] ?? '').length > 80) return 'refund_desc';
  return null;
}

/** The order a refund or query names; transaction_id wins over out_trade_no. */
function orderNamed(world: World, merchant: SimulatedMerchant, fields: Fields): SimulatedOrder | undefined {
  const { transaction_id: transaction, out_trade_no: trade } = fields;
  if (transaction !== undefined) return world.orderByTransaction(merchant.mchId, transaction);
  return trade === undefined ? undefined : world.order(merchant.mchId, trade);
}

/**
 * A refund request, judged by every rule of protocol.md 5. The same number with the same amounts is answered SUCCESS again and moves no
 * more money.
 */
export function refund(world: World, merchant: SimulatedMerchant, fields: Fields): Answer {
  const wrong = malformed(fields);
  if (wrong !== null) return refuse('PARAM_ERROR', `invalid ${wrong}`);
  const order = orderNamed(world, merchant, fields);
  if (!order || order.paidAtMs === null) return refuse('ORDERNOTEXIST', 'no such paid order');
  if (order.appid !== fields['appid']) return refuse('INVALID_REQUEST', 'the appid is not that of the order');
  const tooSoon = spacingBroken(world, order);
  if (tooSoon) return refuse('FREQUENCY_LIMITED', 'refunds of one order are a minute apart');
  const [total, amount] = [Number(fields['total_fee']), Number(fields['refund_fee'])];
  const known = world.refund(merchant.mchId, fields['out_refund_no'] ?? '');
  if (total !== order.totalFen || (known && known.amountFen !== amount)) {
    return refuse('REFUND_FEE_MISMATCH', 'the amounts are not those of the order or of this number');
  }
  if (known)
    return known.order === order ? { fields: acceptedFields(known) } : refuse('INVALID_REQUEST', 'the number is used');
  const refused = ruleBroken(world, merchant, order, amount);
  if (refused) return refused;
  return { fields: acceptedFields(accept(world, merchant, order, { ...fields, amount })) };
}

function spacingBroken(world: World, order: SimulatedOrder): boolean {
  const nowMs = world.clock.nowMs();
  const gapMs = nowMs - (order.lastRefundRequestMs ?? -Infinity);
  order.lastRefundRequestMs = nowMs;
  // One millisecond of grace: both ends measure in whole milliseconds.
  if (gapMs >= world.limits.spacingSeconds * 1000 - 1) return false;
  world.ledger.violate('spacing', order.mchId, order.outTradeNo);
  return true;
}

function ruleBroken(
  world: World,
  merchant: SimulatedMerchant,
  order: SimulatedOrder,
  amountFen: number,
): Answer | null {
  const { limits, clock } = world;
  if (clock.nowMs() >= (order.paidAtMs ?? 0) + limits.windowDays * DAY_MS)
    return refuse('TRADE_OVERDUE', 'older than a year');
  const live = world.refundsOf(order).filter((entry) => entry.state !== 'REFUNDCLOSE');
  if (live.length >= limits.refundsPerOrder) return refuse('INVALID_REQUEST', 'too many partial refunds');
  if (world.refundedFen(order) + amountFen > order.totalFen)
    return refuse('ERROR', 'the sum of refunds exceeds the order');
  if (merchant.balanceFen < amountFen) return refuse('NOTENOUGH', 'unsettled funds are short');
  return null;
}

/** Books a refund and lets it settle by the merchant's rule. */
export function accept(
  world: World,
  merchant: SimulatedMerchant,
  order: SimulatedOrder,
  wish: { readonly [name: string]: string | number | undefined; readonly amount: number },
  source: SimulatedRefund['source'] = 'API',
): SimulatedRefund {
  merchant.balanceFen -= wish.amount;
  const made: SimulatedRefund = {
    order,
    outRefundNo: String(wish['out_refund_no']),
    refundId: world.nextNumber('5030'),
    amountFen: wish.amount,
    notifyUrl:
      source === 'API' ? (wish['notify_url']?.toString() ?? merchant.vendorNotifyUrl) : merchant.vendorNotifyUrl,
    source,
    createdMs: world.clock.nowMs(),
    state: 'PROCESSING',
    succeededMs: null,
  };
  world.addRefund(made);
  return made;
}

function acceptedFields(entry: SimulatedRefund): Fields {
  return {
    transaction_id: entry.order.transactionId ?? '',
    out_trade_no: entry.order.outTradeNo,
    out_refund_no: entry.outRefundNo,
    refund_id: entry.refundId,
    refund_channel: '',
    refund_fee: String(entry.amountFen),
    coupon_refund_fee: '0',
    total_fee: String(entry.order.totalFen),
    cash_fee: String(entry.order.totalFen),
    coupon_refund_count: '0',
    cash_refund_fee: String(entry.amountFen),
  };
}

/** refundquery: by refund_id, out_refund_no, transaction_id or out_trade_no, in that order; ten records a page. */
export function refundQuery(world: World, merchant: SimulatedMerchant, fields: Fields): Answer {
  const visible = world
    .allRefunds()
    .filter((entry) => entry.order.mchId === merchant.mchId)
    .filter((entry) => world.clock.nowMs() - entry.createdMs >= merchant.visibilityLagMs);
  const found = visible.filter(matcher(fields));
  if (found.length === 0) return refuse('REFUNDNOTEXIST', 'no such refund');
  const { offset = '0' } = fields;
  if (!/^(0|[1-9][0-9]*)$/.test(offset) || Number(offset) >= found.length)
    return refuse('PARAM_ERROR', 'offset beyond the total');
  const page = found.slice(Number(offset), Number(offset) + PAGE_RECORDS);
  const [first] = found;
  const order = first?.order;
  return {
    fields: {
      total_refund_count: String(found.length),
      refund_count: String(page.length),
      transaction_id: order?.transactionId ?? '',
      out_trade_no: order?.outTradeNo ?? '',
      total_fee: String(order?.totalFen ?? 0),
      cash_fee: String(order?.totalFen ?? 0),
      ...Object.assign({}, ...page.map(recordFields)),
    },
  };
}

function matcher(fields: Fields): (entry: SimulatedRefund) => boolean {
  const { refund_id: id, out_refund_no: number, transaction_id: transaction, out_trade_no: trade } = fields;
  if (id !== undefined) return (entry) => entry.refundId === id;
  if (number !== undefined) return (entry) => entry.outRefundNo === number;
  if (transaction !== undefined) return (entry) => entry.order.transactionId === transaction;
  return (entry) => entry.order.outTradeNo === trade;
}

function recordFields(entry: SimulatedRefund, n: number): Fields {
  return {
    [`out_refund_no_${n}`]: entry.outRefundNo,
    [`refund_id_${n}`]: entry.refundId,
    [`refund_channel_${n}`]: 'ORIGINAL',
    [`refund_fee_${n}`]: String(entry.amountFen),
    [`refund_status_${n}`]: entry.state,
    [`refund_recv_accout_${n}`]: '支付用户零钱',
    ...(entry.succeededMs !== null && { [`refund_success_time_${n}`]: beijingText(entry.succeededMs) }),
  };
}
