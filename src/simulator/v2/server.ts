import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Fault, type FaultPlan, worksUnder } from '../faults.js';
import type { RequestRow } from '../ledger.js';
import type { World } from '../world.js';
import { type ClientCertificate, judge, V2_CALLS, type Verdict } from './calls.js';
import { type Fields, parameterDigest, readMessage, signed, signTypeOf, writeMessage } from './message.js';

const BODY_BYTES_MAX = 64 * 1024;
const HTML_PAGE = '<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>';

/** The HTTPS server that stands for api.mch.weixin.qq.com. A client certificate is asked for and judged per call. */
export function createV2Server(world: World, faults: FaultPlan): Server {
  const { certificatePem: cert, privateKeyPem: key } = world.authority.server();
  const lines = new Map<number | undefined, { readonly tcp: Socket; readonly connection: number }>();
  let count = 0;
  const listener: RequestListener = (request, response) => {
    const { tcp, connection } = lines.get(request.socket.remotePort) ?? { tcp: request.socket, connection: 0 };
    serve(world, faults, { request, response, connection, tcp }).catch(() => request.socket.destroy());
  };
  const server = createServer(
    {
      key,
      cert,
      ca: world.authority.certificatePem,
      requestCert: true,
      rejectUnauthorized: false,
      keepAliveTimeout: 60_000,
    },
    listener,
  );
  server.on('connection', (tcp: Socket) => {
    const { remotePort } = tcp;
    lines.set(remotePort, { tcp, connection: (count += 1) });
    tcp.once('close', () => lines.delete(remotePort));
  });
  return server;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: number;
  /** Under the TLS: only it can be reset. */
  readonly tcp: Socket;
}

async function serve(world: World, faults: FaultPlan, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  const receivedMs = performance.now();
  const body = await bodyOf(request);
  if (body === null) return void request.socket.destroy();
  const v2 = V2_CALLS[request.url ?? ''];
  if (!v2) return page(response, 404, '404 Not Found');
  if (request.method !== 'POST') return send(response, fail('REQUIRE_POST_METHOD'));
  const fields = readMessage(body);
  if (!fields) return send(response, fail('XML_FORMAT_ERROR'));
  const certificate = certificateOf(request.socket as TLSSocket);
  const row = rowOf(world, { call: v2.call, fields, certificate, receivedMs, connection: exchange.connection });
  world.ledger.requests.push(row);
  const fault = faults.take(v2.call, row.mch_id, row.out_refund_no);
  const verdict = carryOut(world, { v2, fields, certificate, row }, fault);
  if (world.limits.latencyMs > 0) await sleep(world.limits.latencyMs);
  if (fault) await answerWrongly(exchange, fault, verdict, fields);
  else if (verdict) answer(response, verdict, fields);
}

/** The body; null when it is too long. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Judges and carries out as far as the fault lets it, and notes in the ledger what came of it. */
function carryOut(world: World, request: Parameters<typeof judge>[1], fault: Fault | null): Verdict | null {
  const before = world.ledger.accepted.length;
  const works = fault === null || worksUnder(fault);
  const verdict = works || fault.fault === 'error' ? judge(world, request, works) : null;
  request.row.accepted = world.ledger.accepted.length > before;
  note(request.row, verdict, fault);
  return verdict;
}

function rowOf(
  world: World,
  request: {
    readonly call: string;
    readonly fields: Fields;
    readonly certificate: ClientCertificate | null;
    readonly receivedMs: number;
    readonly connection: number;
  },
): RequestRow {
  const { call, fields, certificate, receivedMs, connection } = request;
  return {
    id: world.ledger.requests.length + 1,
    call,
    mch_id: fields['mch_id'] ?? '',
    cert_mch_id: certificate?.mchId ?? null,
    nonce_str: fields['nonce_str'] ?? '',
    attempt_id: fields['nonce_str'] ?? '',
    out_refund_no: fields['out_refund_no'] ?? null,
    out_trade_no: fields['out_trade_no'] ?? null,
    param_digest: parameterDigest(fields),
    received_at: new Date().toISOString(),
    received_ms: receivedMs,
    connection,
    answered: null,
    accepted: false,
    failing: false,
  };
}

function note(row: RequestRow, verdict: Verdict | null, fault: Fault | null): void {
  const code =
    verdict?.kind === 'answer' ? ('code' in verdict.answer ? verdict.answer.code : 'SUCCESS') : (verdict?.kind ?? null);
  row.answered = fault ? `${fault.fault}${fault.code === null ? '' : `:${fault.code}`}` : code;
  row.failing = fault ? ['error', 'return_fail', 'html'].includes(fault.fault) : code !== 'SUCCESS';
}

function certificateOf(socket: TLSSocket): ClientCertificate | null {
  const peer = socket.getPeerCertificate();
  if (Object.keys(peer).length === 0) return null;
  const subject = peer.subject as unknown as Record<string, string> | undefined;
  return { mchId: subject?.['CN'] ?? null, serial: peer.serialNumber.toUpperCase(), valid: socket.authorized };
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

type WrongAnswer = (exchange: Exchange, fault: Fault) => void;

/** Faults whose answer does not depend on what was asked. */
const WRONG_ANSWERS: Readonly<Partial<Record<Fault['fault'], WrongAnswer>>> = {
  timeout_before: () => undefined,
  timeout_after: () => undefined,
  reset: ({ tcp }) => void tcp.resetAndDestroy(),
  html: ({ response }, { code }) => {
    if (code === 'certificate') page(response, 400, '400 The SSL certificate error');
    else response.writeHead(200, { 'content-type': 'text/html' }).end(HTML_PAGE);
  },
  redirect: ({ response }) => void response.writeHead(302, { location: 'https://example.invalid/' }).end(),
  return_fail: ({ response }, { code }) => send(response, fail(code ?? 'FAIL')),
};

/** Answers as the planted fault wants it; a request that was refused anyway is answered as it is. */
async function answerWrongly(
  exchange: Exchange,
  fault: Fault,
  verdict: Verdict | null,
  request: Fields,
): Promise<void> {
  const wrong = WRONG_ANSWERS[fault.fault];
  if (wrong) return wrong(exchange, fault);
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

function page(response: ServerResponse, status: number, text: string): void {
  const body = `<html><head><title>${text}</title></head><body><center><h1>${text}</h1></center></body></html>`;
  response.writeHead(status, { 'content-type': 'text/html' }).end(body);
}
