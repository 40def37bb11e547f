import { entryOf } from '../../common/entry-of.js';
import { fenFromText } from '../../common/fen.js';
import type { QueryAnswer, SendAnswer, ShownRefund } from '../../refunds/refund-gateway.port.js';
import type { Exchange } from '../connections.js';
import { isWhole } from '../whole.js';
import { V2_REFUND_STATUS } from './notices.js';
import { V2_PAUSE_SECONDS, V2_SEND_OUTCOMES } from './outcomes.js';
import { type Fields, type SignType, verifies } from './signature.js';
import { fromBeijing } from './times.js';
import { readXml } from './xml.js';

/** How far an answer may be believed, before anything in it is looked at. */
export type Reading =
  /** Nothing in it proves anything. */
  | { readonly kind: 'nothing'; readonly code: string | null; readonly message: string }
  /** The front server or return_code refused it, unsigned: our configuration. */
  | { readonly kind: 'turned_away'; readonly code: string; readonly message: string; readonly fields: Fields | null }
  /** A signed refusal with its err_code. */
  | { readonly kind: 'refusal'; readonly code: string; readonly message: string; readonly fields: Fields }
  | { readonly kind: 'success'; readonly fields: Fields };

const HTML = /^\s*<(?:!doctype html|html)/i;
const ABOUT_CERTIFICATE = /ssl certificate|证书/i;

/**
 * Reads an answer in the order of design.md 3: size, parse, signature where its kind carries one. `return_code` FAIL carries none and is
 * believed on TLS to the configured host; everything with a result_code must verify with the algorithm of the request.
 */
export function readAnswer(exchange: Exchange, key: string, signType: SignType): Reading {
  if (!exchange.answered) return nothing(null, exchange.reason);
  const { status, body } = exchange;
  const code = `http_${status}`;
  if (status >= 300 && status < 400) return nothing(code, 'a redirect, not followed');
  const head = body.subarray(0, 4096).toString('utf8');
  if (HTML.test(head)) return readPage(code, head);
  try {
    return readFields(readXml(body, { root: 'xml', answer: true }), key, signType);
  } catch {
    return nothing(code, 'not readable');
  }
}

function nothing(code: string | null, message: string): Reading {
  return { kind: 'nothing', code, message };
}

function readPage(code: string, text: string): Reading {
  if (!ABOUT_CERTIFICATE.test(text)) return nothing(code, 'an HTML page');
  return {
    kind: 'turned_away',
    code: 'certificate_page',
    message: 'a page about the client certificate',
    fields: null,
  };
}

function readFields(fields: Fields, key: string, signType: SignType): Reading {
  const of = (name: string): string => fields.get(name) ?? '';
  if (of('return_code') === 'FAIL')
    return { kind: 'turned_away', code: 'return_fail', message: of('return_msg'), fields };
  if (!verifies(fields, key, signType)) return nothing('bad_sign', 'the sign does not verify');
  if (of('return_code') !== 'SUCCESS') return nothing(null, 'no return_code');
  if (of('result_code') === 'SUCCESS') return { kind: 'success', fields };
  if (of('result_code') !== 'FAIL') return nothing(null, 'no result_code');
  return { kind: 'refusal', code: of('err_code'), message: of('err_code_des'), fields };
}

/** The facts of a reading for the call log; sign and nonce left out. */
export function factsOf(
  reading: Reading,
  durationMs: number,
): Pick<SendAnswer, 'code' | 'message' | 'fields' | 'durationMs'> {
  const fields = reading.kind === 'nothing' ? null : reading.fields;
  return {
    code: reading.kind === 'success' ? null : reading.code,
    message: reading.kind === 'success' ? null : reading.message,
    fields: fields && Object.fromEntries([...fields].filter(([name]) => name !== 'sign' && name !== 'nonce_str')),
    durationMs,
  };
}

/** The outcome of a refund request. SUCCESS means accepted, no more. */
export function judgeSend(reading: Reading, durationMs: number): SendAnswer {
  const facts = { ...factsOf(reading, durationMs), shown: null, pauseSeconds: 0, written: true };
  switch (reading.kind) {
    case 'nothing':
      return { ...facts, outcome: 'unknown' };
    case 'turned_away':
      return { ...facts, outcome: 'configuration' };
    case 'refusal': {
      const outcome = entryOf(V2_SEND_OUTCOMES, reading.code) ?? 'unknown';
      return { ...facts, outcome, pauseSeconds: entryOf(V2_PAUSE_SECONDS, reading.code) ?? 0 };
    }
    default: {
      const shown = shownBySend(reading.fields);
      return shown
        ? { ...facts, outcome: 'shown', shown }
        : { ...facts, outcome: 'unknown', message: 'ids or amounts missing' };
    }
  }
}

function shownBySend(fields: Fields): ShownRefund | null {
  return shownOf(fields, { number: 'out_refund_no', id: 'refund_id', fee: 'refund_fee', status: null, place: '' });
}

/** The outcome of a query by out_refund_no. Only a signed REFUNDNOTEXIST is not_found. */
export function judgeQuery(reading: Reading, outRefundNo: string, durationMs: number): QueryAnswer {
  const facts = { ...factsOf(reading, durationMs), shown: null };
  if (reading.kind === 'refusal' && reading.code === 'REFUNDNOTEXIST') return { ...facts, outcome: 'not_found' };
  if (reading.kind !== 'success') return { ...facts, outcome: 'failed' };
  const refunds = shownByQuery(reading.fields);
  const shown = refunds.find((refund) => refund.outRefundNo === outRefundNo) ?? refunds[0] ?? null;
  return shown
    ? { ...facts, outcome: 'shown', shown }
    : { ...facts, outcome: 'failed', message: 'ids or amounts missing' };
}

/** Every whole record of a refundquery answer: `name_$n`, n from 0 to refund_count − 1. */
export function shownByQuery(fields: Fields): ShownRefund[] {
  const count = fenFromText(fields.get('refund_count')) ?? 0;
  const refunds: ShownRefund[] = [];
  for (let n = 0; n < count && fields.has(`out_refund_no_${n}`); n += 1) {
    const names = { number: `out_refund_no_${n}`, id: `refund_id_${n}`, fee: `refund_fee_${n}`, place: `_${n}` };
    const shown = shownOf(fields, { ...names, status: `refund_status_${n}` });
    if (shown) refunds.push(shown);
  }
  return refunds;
}

interface Names {
  readonly number: string;
  readonly id: string;
  readonly fee: string;
  /** Null where success itself means accepted. */
  readonly status: string | null;
  readonly place: string;
}

/** A refund from signed fields; null when an id, an amount or a known status is missing. */
function shownOf(fields: Fields, names: Names): ShownRefund | null {
  const of = (name: string): string | null => fields.get(name) ?? null;
  const wechatStatus = names.status === null ? 'SUCCESS' : of(names.status);
  const status = names.status === null ? 'accepted' : entryOf(V2_REFUND_STATUS, wechatStatus);
  const needed = {
    mchId: of('mch_id'),
    outTradeNo: of('out_trade_no'),
    outRefundNo: of(names.number),
    refundFen: fenFromText(fields.get(names.fee)),
    totalFen: fenFromText(fields.get('total_fee')),
    wechatStatus,
  };
  if (!status || !isWhole(needed)) return null;
  return {
    ...needed,
    status,
    appid: of('appid'),
    transactionId: of('transaction_id'),
    refundId: of(names.id),
    userReceivedAccount: of(`refund_recv_accout${names.place}`),
    succeededAt: status === 'succeeded' ? fromBeijing(fields.get(`refund_success_time${names.place}`)) : null,
  };
}
