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

const isNotifyUrl = (url: string): boolean => URL.canParse(url) && new URL(url).search === '' && url.length <= 256;

/** What a field must look like where it is sent; the first three must be. */
const FORMS: Readonly<Record<string, (value: string) => boolean>> = {
  out_refund_no: (value) => REFUND_NUMBER.test(value),
  total_fee: (value) => AMOUNT.test(value),
  refund_fee: (value) => AMOUNT.test(value),
  out_trade_no: (value) => TRADE_NUMBER.test(value),
  notify_url: isNotifyUrl,
  refund_desc: (value) => value.length <= 80,
};
const MUST_BE_SENT = ['out_refund_no', 'total_fee', 'refund_fee'];

/** The field that is wrong in itself; null when all are well formed. */
function malformed(fields: Fields): string | null {
  const wrong = Object.entries(FORMS).find(([name, form]) => {
    const value = fields[name];
    return value === undefined ? MUST_BE_SENT.includes(name) : !form(value);
  });
  return wrong?.[0] ?? null;
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
  if (spacingBroken(world, order)) return refuse('FREQUENCY_LIMITED', 'refunds of one order are a minute apart');
  const known = world.refund(merchant.mchId, fields['out_refund_no'] ?? '');
  if (amountsDiffer(order, known, fields)) {
    return refuse('REFUND_FEE_MISMATCH', 'the amounts are not those of the order or of this number');
  }
  if (known) return repeated(known, order);
  return ruleBroken(world, merchant, order, Number(fields['refund_fee'])) ?? firstTime(world, merchant, order, fields);
}

function amountsDiffer(order: SimulatedOrder, known: SimulatedRefund | undefined, fields: Fields): boolean {
  const ofNumber = known === undefined || known.amountFen === Number(fields['refund_fee']);
  return Number(fields['total_fee']) !== order.totalFen || !ofNumber;
}

/** The same number again: the same answer, and no more money. */
function repeated(known: SimulatedRefund, order: SimulatedOrder): Answer {
  return known.order === order ? { fields: acceptedFields(known) } : refuse('INVALID_REQUEST', 'the number is used');
}

function firstTime(world: World, merchant: SimulatedMerchant, order: SimulatedOrder, fields: Fields): Answer {
  const made = accept(world, order, {
    outRefundNo: fields['out_refund_no'] ?? '',
    amountFen: Number(fields['refund_fee']),
    notifyUrl: fields['notify_url'] ?? merchant.vendorNotifyUrl,
    source: 'API',
  });
  return { fields: acceptedFields(made) };
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

/** Books a refund and takes its money from the merchant's balance. */
export function accept(
  world: World,
  order: SimulatedOrder,
  wish: Pick<SimulatedRefund, 'outRefundNo' | 'amountFen' | 'notifyUrl' | 'source'>,
): SimulatedRefund {
  const merchant = world.merchants.get(order.mchId);
  if (merchant) merchant.balanceFen -= wish.amountFen;
  const made: SimulatedRefund = {
    ...wish,
    order,
    refundId: world.nextNumber('5030'),
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
  const [first] = found;
  if (!first) return refuse('REFUNDNOTEXIST', 'no such refund');
  const { offset = '0' } = fields;
  const page = /^(0|[1-9][0-9]*)$/.test(offset) ? found.slice(Number(offset), Number(offset) + PAGE_RECORDS) : [];
  if (page.length === 0) return refuse('PARAM_ERROR', 'offset beyond the total');
  const { order } = first;
  const records = page.map(recordFields);
  return {
    fields: {
      total_refund_count: String(found.length),
      refund_count: String(page.length),
      transaction_id: order.transactionId ?? '',
      out_trade_no: order.outTradeNo,
      total_fee: String(order.totalFen),
      cash_fee: String(order.totalFen),
      ...records.reduce((all, record) => ({ ...all, ...record }), {}),
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
