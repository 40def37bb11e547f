import { wechatAnswers, wechatSeconds } from '../common/instruments.js';
import { V2_SEND_OUTCOMES } from './v2/outcomes.js';
import { V3_SEND_OUTCOMES } from './v3/outcomes.js';

export type ObservedCall =
  'refund' | 'refund_query' | 'refund_list' | 'abnormal_refund' | 'prepay' | 'order_query' | 'order_close';

/** Codes of WeChat's other calls, and our own names for answers without one. The list bounds a label, nothing else. */
const MORE_CODES = [
  'REFUNDNOTEXIST',
  'ORDERPAID',
  'ORDERCLOSED',
  'ORDERNOTEXIST',
  'ORDER_NOT_EXIST',
  'ORDER_CLOSED',
  'OUT_TRADE_NO_USED',
  'TRADE_ERROR',
  'BANK_ERROR',
  'OPENID_MISMATCH',
  'FREQUENCY_LIMITED',
  'SYSTEM_ERROR',
  'bad_sign',
  'bad_signature',
  'certificate_page',
  'credentials_missing',
  'not_connected',
  'return_fail',
];
const KNOWN_CODES = new Set([...Object.keys(V2_SEND_OUTCOMES), ...Object.keys(V3_SEND_OUTCOMES), ...MORE_CODES]);

/** A code as a label: a documented one, `none`, or `other`, so that no answer can make a new series. */
export function codeLabel(code: string | null): string {
  if (code === null) return 'none';
  return KNOWN_CODES.has(code) || /^http_[1-5][0-9]{2}$/.test(code) ? code : 'other';
}

/** What is counted of an answer. */
interface ObservedAnswer {
  readonly outcome: string;
  readonly code: string | null;
  readonly durationMs: number;
}

/** Counts an answer, if there is one, and passes it on. */
export async function observed<Answer extends ObservedAnswer | null>(
  call: ObservedCall,
  mchId: string,
  answer: Promise<Answer>,
): Promise<Answer> {
  const judged = await answer;
  if (judged) observe(call, mchId, judged);
  return judged;
}

/** Counts one answer. */
export function observe(call: ObservedCall, mchId: string, { outcome, code, durationMs }: ObservedAnswer): void {
  wechatAnswers.inc({ mch_id: mchId, call, outcome, code: codeLabel(code) });
  if (durationMs > 0) wechatSeconds.observe({ mch_id: mchId, call }, durationMs / 1000);
}
