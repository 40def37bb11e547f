import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificateOf, type Exchange, page } from '../exchange.js';
import { type Fault, type FaultPlan, noteOutcome, worksUnder } from '../faults.js';
import type { RequestRow } from '../ledger.js';
import { answeredBelow } from '../transport-faults.js';
import type { World } from '../world.js';
import { type Incoming, judge, V2_CALLS, type Verdict } from './calls.js';
import { type Fields, parameterDigest, readMessage, signed, signTypeOf, writeMessage } from './message.js';

/** Answers one V2 request. */
export async function serveV2(world: World, faults: FaultPlan, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  const v2 = V2_CALLS[request.url ?? ''];
  if (!v2) return page(response, 404, '404 Not Found');
  if (request.method !== 'POST') return send(response, fail('REQUIRE_POST_METHOD'));
  const fields = readMessage(exchange.body.toString('utf8'));
  if (!fields) return send(response, fail('XML_FORMAT_ERROR'));
  const certificate = certificateOf(request);
  const row = rowOf(world, exchange, { v2, fields, certificate });
  const fault = faults.take(row);
  const verdict = carryOut(world, { v2, fields, certificate, row }, fault);
  if (world.limits.latencyMs > 0) await sleep(world.limits.latencyMs);
  if (fault) await answerWrongly(exchange, fault, verdict, fields);
  else if (verdict) answer(response, verdict, fields);
}

/** The request, written into the ledger. */
function rowOf(world: World, exchange: Exchange, { v2, fields, certificate }: Omit<Incoming, 'row'>): RequestRow {
  const { mch_id = '', nonce_str = '', out_refund_no = null, out_trade_no = null } = fields;
  return world.ledger.receive({
    version: 'v2',
    call: v2.call,
    mch_id,
    cert_mch_id: certificate?.mchId ?? null,
    serial_no: null,
    wechatpay_serial: null,
    nonce_str,
    out_refund_no,
    out_trade_no,
    param_digest: parameterDigest(fields),
    received_ms: exchange.receivedMs,
    connection: exchange.connection,
  });
}

/** Judges and carries out as far as the fault lets it, and notes in the ledger what came of it. */
function carryOut(world: World, request: Incoming, fault: Fault | null): Verdict | null {
  const before = world.ledger.accepted.length;
  const works = fault === null || worksUnder(fault);
  const verdict = works || fault.fault === 'error' ? judge(world, request, works) : null;
  request.row.accepted = world.ledger.accepted.length > before;
  noteOutcome(request.row, codeOf(verdict), fault);
  return verdict;
}

/** SUCCESS, the err_code, or the kind of an answer below the business. */
function codeOf(verdict: Verdict | null): string | null {
  if (verdict?.kind !== 'answer') return verdict?.kind ?? null;
  return 'code' in verdict.answer ? verdict.answer.code : 'SUCCESS';
}

function answer(response: ServerResponse, verdict: Verdict, request: Fields): void {
  if (verdict.kind === 'page') return page(response, 400, verdict.text);
  if (verdict.kind === 'return_fail') return send(response, fail(verdict.text));
  send(response, answerFields(verdict, request));
}

function answerFields(verdict: Extract<Verdict, { kind: 'answer' }>, request: Fields): Fields {
  const { merchant, answer: result } = verdict;
  const head = { return_code: 'SUCCESS', return_msg: 'OK', appid: request['appid'] ?? '', mch_id: merchant.mchId };
  const body: Fields =
    'code' in result
      ? { result_code: 'FAIL', err_code: result.code, err_code_des: result.text }
      : { result_code: 'SUCCESS', ...result.fields };
  return signed({ ...head, ...body }, merchant.apiV2Key, signTypeOf(request) ?? 'MD5');
}

/** Answers as the planted fault wants it; a request that was refused anyway is answered as it is. */
async function answerWrongly(
  exchange: Exchange,
  fault: Fault,
  verdict: Verdict | null,
  request: Fields,
): Promise<void> {
  if (answeredBelow(exchange, fault)) return;
  if (fault.fault === 'return_fail') return send(exchange.response, fail(fault.code ?? 'FAIL'));
  if (!verdict) return;
  if (fault.fault === 'slow') await sleep(fault.delayMs);
  if (fault.fault === 'slow' || verdict.kind !== 'answer') return answer(exchange.response, verdict, request);
  send(exchange.response, distorted(fault, verdict, answerFields(verdict, request), request));
}

function distorted(fault: Fault, verdict: Extract<Verdict, { kind: 'answer' }>, good: Fields, request: Fields): Fields {
  const key = verdict.merchant.apiV2Key;
  const signType = signTypeOf(request) ?? 'MD5';
  const { sign: _sign, ...unsigned } = good;
  switch (fault.fault) {
    case 'error':
      return answerFields({ ...verdict, answer: { code: fault.code ?? 'SYSTEMERROR', text: 'planted' } }, request);
    case 'bad_sign':
      return { ...good, sign: (good['sign'] ?? '').replace(/./g, (digit) => (digit === '0' ? '1' : '0')) };
    case 'no_result': {
      const { result_code: _result, ...rest } = unsigned;
      return signed(rest, key, signType);
    }
    default: {
      const other = Object.entries(unsigned).map(([name, value]) => [name, otherValue(name, value)]);
      return signed(Object.fromEntries(other) as Fields, key, signType);
    }
  }
}

/** The same kind of value, of another refund. */
function otherValue(name: string, value: string): string {
  if (/^(out_refund_no|refund_id)(_\d+)?$/.test(name)) return `${value.slice(0, -1)}${value.endsWith('9') ? '8' : '9'}`;
  return /^refund_fee(_\d+)?$/.test(name) ? String(Number(value) + 1) : value;
}

const fail = (text: string): Fields => ({ return_code: 'FAIL', return_msg: text });

function send(response: ServerResponse, fields: Fields): void {
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end(writeMessage(fields));
}
