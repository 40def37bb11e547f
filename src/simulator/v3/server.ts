import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificateOf, type Exchange } from '../exchange.js';
import { type Fault, type FaultPlan, noteOutcome, worksUnder } from '../faults.js';
import type { RequestRow } from '../ledger.js';
import type { World } from '../world.js';
import { type Json, refuse } from './answer.js';
import { answer, answerWrongly } from './answering.js';
import { readAuthorization } from './authorization.js';
import { V3_CALLS, type V3Call } from './calls.js';
import { type Incoming, judge, type Verdict } from './judge.js';

/** Answers one v3 request. A client certificate is not asked for; one that comes is written down. */
export async function serveV3(world: World, faults: FaultPlan, exchange: Exchange): Promise<void> {
  const { response } = exchange;
  response.setHeader('Date', new Date(world.signatureMs()).toUTCString());
  response.setHeader('Request-ID', randomUUID());
  const incoming = incomingOf(world, exchange);
  if (!incoming) return;
  const fault = faults.take(incoming.row);
  const verdict = carryOut(world, incoming, fault);
  if (world.limits.latencyMs > 0) await sleep(world.limits.latencyMs);
  if (fault) await answerWrongly(world, exchange, verdict, fault);
  else if (verdict) answer(world, exchange.response, verdict);
}

/** The request, written into the ledger; null when there is no such call, which is answered. */
function incomingOf(world: World, exchange: Exchange): Incoming | null {
  const { request, response, body } = exchange;
  const { method = '', url: target = '', headers } = request;
  const [place = '', search = ''] = target.split(/\?(.*)/s);
  const there = V3_CALLS.filter((call) => call.path.test(place));
  const v3 = there.find((call) => call.method === method);
  if (!v3) {
    answer(world, response, { result: there[0] ? WRONG_METHOD : NO_CALL, business: false, signing: null });
    return null;
  }
  const heard = {
    v3,
    method,
    target,
    body,
    headers,
    path: (v3.path.exec(place) ?? []).slice(1).map(decoded),
    query: new URLSearchParams(search),
    credentials: readAuthorization(headers.authorization),
    wechatpaySerial: headers['wechatpay-serial']?.toString() ?? null,
    json: parsed(body),
  };
  return { ...heard, row: rowOf(world, exchange, heard) };
}

const WRONG_METHOD = refuse('METHOD_NOT_ALLOWED', '请求方法错误');
const NO_CALL = refuse('RESOURCE_NOT_EXISTS', '请求的资源不存在');

function rowOf(world: World, exchange: Exchange, heard: Omit<Incoming, 'row'>): RequestRow {
  const { v3, target, path, json, credentials, wechatpaySerial } = heard;
  return world.ledger.receive({
    version: 'v3',
    call: v3.call,
    mch_id: credentials?.mchid ?? '',
    cert_mch_id: certificateOf(exchange.request)?.mchId ?? null,
    serial_no: credentials?.serial_no ?? null,
    wechatpay_serial: wechatpaySerial,
    nonce_str: credentials?.nonce_str ?? '',
    ...numbersOf(v3, path, json),
    param_digest: createHash('sha256')
      .update(JSON.stringify([target, canonical(json)]))
      .digest('hex'),
    received_ms: exchange.receivedMs,
    connection: exchange.connection,
  });
}

/** Judges and carries out as far as the fault lets it, and notes in the ledger what came of it. */
function carryOut(world: World, incoming: Incoming, fault: Fault | null): Verdict | null {
  const before = world.ledger.accepted.length;
  const works = fault === null || worksUnder(fault);
  const verdict = works || fault.fault === 'error' ? judge(world, incoming, works) : null;
  incoming.row.accepted = world.ledger.accepted.length > before;
  noteOutcome(incoming.row, verdict && ('code' in verdict.result ? verdict.result.code : 'SUCCESS'), fault);
  return verdict;
}

function numbersOf(
  v3: V3Call,
  path: readonly string[],
  json: unknown,
): { readonly out_refund_no: string | null; readonly out_trade_no: string | null } {
  const body = typeof json === 'object' && json !== null ? (json as Json) : {};
  const { out_refund_no: refund, out_trade_no: trade } = v3.numbers(path, body);
  return {
    out_refund_no: typeof refund === 'string' ? refund : null,
    out_trade_no: typeof trade === 'string' ? trade : null,
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

/** The same for every send of one number if the caller keeps to the rule; where notices go is no business of the refund's, as in V2. */
function canonical(json: unknown): unknown {
  if (typeof json !== 'object' || json === null) return json;
  if (Array.isArray(json)) return json.map(canonical);
  return Object.entries(json)
    .filter(([name]) => name !== 'notify_url')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [name, canonical(value)]);
}
