import { entryOf } from '../../common/entry-of.js';
import type { Fen } from '../../common/fen.js';
import type { QueryAnswer, SendAnswer, ShownRefund, ShownStatus } from '../../refunds/refund-gateway.port.js';
import type { AnswerHeaders, Exchange } from '../connections.js';
import { isWhole } from '../whole.js';
import { V3_SEND_OUTCOMES } from './outcomes.js';

/** How far an answer may be believed, before anything in it is looked at. */
export type Reading =
  /** Nothing in it proves anything. */
  | { readonly kind: 'nothing'; readonly code: string | null; readonly message: string }
  /** A 4xx with its code: unsigned by its kind, believed on TLS to the configured host. */
  | { readonly kind: 'refusal'; readonly status: number; readonly code: string; readonly message: string }
  /** A verified 2xx; `body` null where it had none. */
  | { readonly kind: 'success'; readonly body: object | null };

type Verify = (headers: AnswerHeaders, body: Buffer) => Promise<string | null>;

const ACCEPTED_BY_GATEWAY = 202;
const TOO_MANY_REQUESTS = 429;

/**
 * Reads an answer in the order of design.md 3: size (at the connection), then the signature over the raw bytes where its kind carries
 * one, then the JSON. 202 and 429 may be in work and 5xx is anything: they prove nothing. `verify` names a fault or gives null.
 */
export async function readAnswer(exchange: Exchange, verify: Verify): Promise<Reading> {
  if (!exchange.answered) return nothing(null, exchange.reason);
  const { status, body, headers } = exchange;
  if (status < 200 || status >= 300) return unsigned(status, body);
  if (status === ACCEPTED_BY_GATEWAY) return nothing('http_202', 'taken by the gateway, not yet accepted');
  const fault = await verify(headers, body);
  if (fault !== null) return nothing('bad_sign', `the signature proves nothing: ${fault}`);
  const read = body.length === 0 ? null : objectIn(body);
  return read !== null || body.length === 0
    ? { kind: 'success', body: read }
    : nothing(`http_${status}`, 'not readable');
}

function unsigned(status: number, body: Buffer): Reading {
  if (status < 400) return nothing(`http_${status}`, 'a redirect, not followed');
  const read = objectIn(body);
  const code = textOf(read, 'code');
  const message = textOf(read, 'message') ?? `an answer with status ${status}`;
  const refused = status < 500 && status !== TOO_MANY_REQUESTS;
  return refused && code !== null
    ? { kind: 'refusal', status, code, message }
    : nothing(code ?? `http_${status}`, message);
}

function nothing(code: string | null, message: string): Reading {
  return { kind: 'nothing', code, message };
}

function objectIn(body: Buffer): object | null {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** A text of an object; null for anything else. */
export function textOf(object: unknown, name: string): string | null {
  const value = memberOf(object, name);
  return typeof value === 'string' ? value : null;
}

/** An amount of an object: a whole number of fen, from 0; null for anything else. */
export function fenOf(object: unknown, name: string): Fen | null {
  const value = memberOf(object, name);
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** An own member of an object; undefined on a miss. */
export function memberOf(object: unknown, name: string): unknown {
  return typeof object === 'object' && object !== null && Object.hasOwn(object, name)
    ? (object as Record<string, unknown>)[name]
    : undefined;
}

const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** A time of an object as it stands there, RFC 3339 with its offset; null for anything else. */
export function timeOf(object: unknown, name: string): string | null {
  const text = textOf(object, name);
  return text !== null && RFC_3339.test(text) && !Number.isNaN(Date.parse(text)) ? text : null;
}

const CALL_LOG_DEPTH = 3;

/** The facts of a reading for the call log: the members of the answer by their path, `amount.refund`. */
export function factsOf(
  reading: Reading,
  durationMs: number,
): Pick<SendAnswer, 'code' | 'message' | 'fields' | 'durationMs'> {
  if (reading.kind !== 'success') return { code: reading.code, message: reading.message, fields: null, durationMs };
  const fields = Object.fromEntries(leaves(reading.body, '', CALL_LOG_DEPTH));
  return { code: null, message: null, fields, durationMs };
}

function leaves(value: unknown, path: string, depth: number): [string, string][] {
  if (typeof value !== 'object' || value === null)
    return [[path, typeof value === 'string' ? value : JSON.stringify(value)]];
  if (depth === 0) return [];
  return Object.entries(value).flatMap(([name, entry]) =>
    leaves(entry, path === '' ? name : `${path}.${name}`, depth - 1),
  );
}

/** WeChat's words for a refund in v3, in answers (`status`) and notices (`refund_status`). */
export const V3_REFUND_STATUS: Readonly<Record<string, ShownStatus>> = {
  SUCCESS: 'succeeded',
  PROCESSING: 'accepted',
  ABNORMAL: 'abnormal',
  CLOSED: 'closed',
};

/** A refund from a verified object; null when an id, an amount or a known status is missing. The object of an answer names no merchant: it is the asker's. */
export function shownRefund(body: unknown, mchId: string, statusName: 'status' | 'refund_status'): ShownRefund | null {
  const wechatStatus = textOf(body, statusName);
  const status = entryOf(V3_REFUND_STATUS, wechatStatus);
  const amount = memberOf(body, 'amount');
  const needed = {
    outTradeNo: textOf(body, 'out_trade_no'),
    outRefundNo: textOf(body, 'out_refund_no'),
    refundId: textOf(body, 'refund_id'),
    refundFen: fenOf(amount, 'refund'),
    totalFen: fenOf(amount, 'total'),
    wechatStatus,
  };
  if (!status || !isWhole(needed)) return null;
  return {
    ...needed,
    status,
    mchId,
    appid: null,
    transactionId: textOf(body, 'transaction_id'),
    userReceivedAccount: textOf(body, 'user_received_account'),
    succeededAt: status === 'succeeded' ? timeOf(body, 'success_time') : null,
  };
}

/** The outcome of a refund request. */
export function judgeSend(reading: Reading, mchId: string, durationMs: number): SendAnswer {
  const facts = { ...factsOf(reading, durationMs), shown: null, pauseSeconds: 0, written: true };
  if (reading.kind === 'nothing') return { ...facts, outcome: 'unknown' };
  if (reading.kind === 'refusal') {
    const known = entryOf(V3_SEND_OUTCOMES, reading.code);
    const believed = known && (known.status === null || known.status === reading.status);
    return { ...facts, outcome: believed ? known.outcome : 'unknown' };
  }
  const shown = shownRefund(reading.body, mchId, 'status');
  return shown
    ? { ...facts, outcome: 'shown', shown }
    : { ...facts, outcome: 'unknown', message: 'ids or amounts missing' };
}

/** The outcome of a query of one refund. Only 404 RESOURCE_NOT_EXISTS is not_found. */
export function judgeQuery(reading: Reading, mchId: string, durationMs: number): QueryAnswer {
  const facts = { ...factsOf(reading, durationMs), shown: null };
  if (isNotFound(reading)) return { ...facts, outcome: 'not_found' };
  if (reading.kind !== 'success') return { ...facts, outcome: 'failed' };
  const shown = shownRefund(reading.body, mchId, 'status');
  return shown
    ? { ...facts, outcome: 'shown', shown }
    : { ...facts, outcome: 'failed', message: 'ids or amounts missing' };
}

function isNotFound(reading: Reading): boolean {
  return reading.kind === 'refusal' && reading.status === 404 && reading.code === 'RESOURCE_NOT_EXISTS';
}
