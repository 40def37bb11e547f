import {
  type BrokenRule,
  isNotifyUrl,
  isRefundNumber,
  isTradeNumber,
  orderNamed,
  requestRefund,
  visibleRefunds,
} from '../refund-rules.js';
import type { SimulatedMerchant, SimulatedRefund, World } from '../world.js';
import { beijingText, type Fields } from './message.js';

/** A business answer: fields of a success, or an err_code with its text. */
export type Answer = { readonly fields: Fields } | { readonly code: string; readonly text: string };

const refuse = (code: string, text: string): Answer => ({ code, text });

const AMOUNT = /^[1-9][0-9]{0,12}$/;
const PAGE_RECORDS = 10;

/** What a field must look like where it is sent; the first three must be. */
const FORMS: Readonly<Record<string, (value: string) => boolean>> = {
  out_refund_no: isRefundNumber,
  total_fee: (value) => AMOUNT.test(value),
  refund_fee: (value) => AMOUNT.test(value),
  out_trade_no: isTradeNumber,
  notify_url: isNotifyUrl,
  refund_desc: (value) => value.length <= 80,
};
const MUST_BE_SENT = ['out_refund_no', 'total_fee', 'refund_fee'];

/** V2's words for a broken rule. Source: protocol.md 1.6. */
const REFUSALS: Readonly<Record<BrokenRule, Answer>> = {
  order_unknown: refuse('ORDERNOTEXIST', 'no such paid order'),
  other_appid: refuse('INVALID_REQUEST', 'the appid is not that of the order'),
  spacing: refuse('FREQUENCY_LIMITED', 'refunds of one order are a minute apart'),
  amounts_differ: refuse('REFUND_FEE_MISMATCH', 'the amounts are not those of the order or of this number'),
  number_used: refuse('INVALID_REQUEST', 'the number is used'),
  overdue: refuse('TRADE_OVERDUE', 'older than a year'),
  too_many: refuse('INVALID_REQUEST', 'too many partial refunds'),
  sum_exceeded: refuse('ERROR', 'the sum of refunds exceeds the order'),
  balance: refuse('NOTENOUGH', 'unsettled funds are short'),
};

/** The field that is wrong in itself; null when all are well formed. */
function malformed(fields: Fields): string | null {
  const wrong = Object.entries(FORMS).find(([name, form]) => {
    const value = fields[name];
    return value === undefined ? MUST_BE_SENT.includes(name) : !form(value);
  });
  return wrong?.[0] ?? null;
}

/** A refund request. The same number with the same amounts is answered SUCCESS again and moves no more money. */
export function refund(world: World, merchant: SimulatedMerchant, fields: Fields): Answer {
  const wrong = malformed(fields);
  if (wrong !== null) return refuse('PARAM_ERROR', `invalid ${wrong}`);
  const judged = requestRefund(world, merchant, {
    version: 'v2',
    order: orderNamed(world, merchant.mchId, {
      transactionId: fields['transaction_id'],
      outTradeNo: fields['out_trade_no'],
    }),
    appid: fields['appid'] ?? '',
    outRefundNo: fields['out_refund_no'] ?? '',
    totalFen: Number(fields['total_fee']),
    amountFen: Number(fields['refund_fee']),
    notifyUrl: fields['notify_url'] ?? null,
  });
  return 'broken' in judged ? REFUSALS[judged.broken] : { fields: acceptedFields(judged.refund) };
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
  const found = visibleRefunds(world, merchant, {
    refundId: fields['refund_id'],
    outRefundNo: fields['out_refund_no'],
    transactionId: fields['transaction_id'],
    outTradeNo: fields['out_trade_no'],
  });
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
