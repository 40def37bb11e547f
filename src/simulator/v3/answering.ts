import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Exchange } from '../exchange.js';
import type { Fault, FaultKind } from '../faults.js';
import { answeredBelow } from '../transport-faults.js';
import type { World } from '../world.js';
import { type Json, refuse, type Result, type Success } from './answer.js';
import type { Verdict } from './judge.js';
import { probed, reserialised, type SignatureHeaders, signatureHeaders, spoiled } from './signing.js';

const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' } as const;

/** Answers as WeChat does: a success is signed over its very bytes, an empty body too; a refusal is not signed. Source: protocol.md 6.5. */
export function answer(world: World, response: ServerResponse, verdict: Verdict): void {
  const { result, signing } = verdict;
  if ('code' in result || !signing) return sendRefusal(response, result);
  const text = textOf(result);
  const headers = signatureHeaders(signing.key, text, world.signatureMs());
  send(response, result, { text, headers: signing.merchant.platform.probes('answer') ? probed(headers) : headers });
}

/** Answers as the planted fault wants it; a request that was refused anyway is answered as it is. */
export async function answerWrongly(
  world: World,
  { response, ...exchange }: Exchange,
  verdict: Verdict | null,
  fault: Fault,
): Promise<void> {
  if (answeredBelow({ response, ...exchange }, fault) || !verdict) return;
  if (fault.fault === 'slow') await sleep(fault.delayMs);
  if (fault.fault === 'slow' || !verdict.business) return answer(world, response, verdict);
  if (fault.fault === 'error') return answer(world, response, { ...verdict, result: plantedError(fault) });
  if ('code' in verdict.result) return answer(world, response, verdict);
  distort(world, response, { ...verdict, result: verdict.result }, fault);
}

/** The error of the fault's code, under its status; below 300 it is no error but WeChat's "accepted, ask again". */
function plantedError({ code, status }: Fault): Result {
  const refusal = refuse(code ?? 'SYSTEM_ERROR', 'planted');
  const given = status ?? refusal.status;
  return given === 202 || given === 204 ? { status: given, body: null } : { ...refusal, status: given };
}

/** What a fault makes of a good answer's body before it is signed. */
const BODIES: Readonly<Partial<Record<FaultKind, (body: Json) => Json>>> = {
  other_refund: otherRefund,
  no_result: ({ status: _status, trade_state: _state, prepay_id: _prepay, data: _data, ...rest }) => rest,
};

/** What a fault makes of a good answer's headers. */
const HEADERS: Readonly<Partial<Record<FaultKind, (headers: SignatureHeaders) => SignatureHeaders>>> = {
  bad_sign: spoiled,
  signtest: probed,
  unsigned: () => ({}),
  wrong_serial: (headers) => ({ ...headers, 'Wechatpay-Serial': unknownSerial(headers['Wechatpay-Serial'] ?? '') }),
};

function distort(
  world: World,
  response: ServerResponse,
  { result, signing }: Verdict & { readonly result: Success },
  fault: Fault,
): void {
  if (!signing) return;
  const body = result.body && (BODIES[fault.fault]?.(result.body) ?? result.body);
  const text = textOf({ ...result, body });
  const ms = world.signatureMs() + (fault.fault === 'skew' ? fault.delayMs : 0);
  const signed = signatureHeaders(signing.key, text, ms);
  send(response, result, {
    text: fault.fault === 'reserialised' && text !== '' ? reserialised(text) : text,
    headers: HEADERS[fault.fault]?.(signed) ?? signed,
  });
}

/** The same answer about another refund of another amount. */
function otherRefund(body: Json): Json {
  const { out_refund_no: number, refund_id: id, amount } = body;
  if (typeof number !== 'string' || typeof id !== 'string') return body;
  const { refund, payer_refund: paid, ...rest } = amount as Record<string, number>;
  return {
    ...body,
    out_refund_no: otherNumber(number),
    refund_id: otherNumber(id),
    amount: { ...rest, refund: (refund ?? 0) + 1, payer_refund: (paid ?? 0) + 1 },
  };
}

const otherNumber = (number: string): string => `${number.slice(0, -1)}${number.endsWith('9') ? '8' : '9'}`;

/** A Wechatpay-Serial of the same kind that stands for no key. */
export function unknownSerial(serial: string): string {
  const hex = randomBytes(20).toString('hex').toUpperCase();
  return serial.startsWith('PUB_KEY_ID_') ? `PUB_KEY_ID_${hex.replace(/\D/g, '7')}` : hex;
}

const textOf = ({ body }: Success): string => (body === null ? '' : JSON.stringify(body));

function send(
  response: ServerResponse,
  { status }: Success,
  { text, headers }: { readonly text: string; readonly headers: SignatureHeaders },
): void {
  response.writeHead(status, { ...headers, ...(text !== '' && JSON_TYPE) }).end(text);
}

function sendRefusal(response: ServerResponse, result: Result): void {
  const { status, ...body } = result;
  response.writeHead(status, JSON_TYPE).end(JSON.stringify(body));
}
