import { createDecipheriv, createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import type { Issued, Json, RawWechat } from './raw-wechat.js';

/** An answer as it came: the body's very text, and its JSON where it is some. */
export interface V3Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Json;
}

/** A signed message: an answer or a notice. */
export interface SignedMessage {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** What differs from a good request. */
export interface Change {
  /** Replace or, when undefined, remove headers. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly scheme?: string;
  readonly mchid?: string;
  readonly serial_no?: string;
  readonly timestamp?: number;
  readonly nonce_str?: string;
  /** The five fields in the opposite order. */
  readonly reversed?: boolean;
  /** PEM of the key that signs. */
  readonly key?: string;
  /** What is sent instead of what was signed. */
  readonly sentTarget?: string;
  readonly sentBody?: (signed: string) => string;
  /** A client certificate on the connection. */
  readonly certificate?: Issued;
}

const REFUNDS = '/v3/refund/domestic/refunds';
const keys = new Map<string, ReturnType<typeof createPrivateKey>>();

function privateKey(pem: string): ReturnType<typeof createPrivateKey> {
  const key = keys.get(pem) ?? createPrivateKey(pem);
  keys.set(pem, key);
  return key;
}

/** The Authorization header, written out from protocol.md 6.6 without any code of the service. */
export function authorization(
  merchant: Issued,
  { method, target, body }: { readonly method: string; readonly target: string; readonly body: string },
  change: Change = {},
): string {
  const timestamp = String(change.timestamp ?? Math.floor(Date.now() / 1000));
  const nonce = change.nonce_str ?? randomBytes(16).toString('hex');
  const message = `${method}\n${target}\n${timestamp}\n${nonce}\n${body}\n`;
  const signature = sign('RSA-SHA256', Buffer.from(message), privateKey(change.key ?? merchant.private_key_pem));
  const fields = {
    mchid: change.mchid ?? merchant.mch_id,
    nonce_str: nonce,
    signature: signature.toString('base64'),
    timestamp,
    serial_no: change.serial_no ?? merchant.serial,
  };
  const pairs = Object.entries(fields).map(([name, value]) => `${name}="${value}"`);
  const list = change.reversed ? pairs.reverse() : pairs;
  return `${change.scheme ?? 'WECHATPAY2-SHA256-RSA2048'} ${list.join(',')}`;
}

/** True when the headers sign this text under the key; protocol.md 6.7. `key` is a public key or a certificate, PEM. */
export function holds({ headers, text }: SignedMessage, key: string): boolean {
  const { 'wechatpay-timestamp': timestamp, 'wechatpay-nonce': nonce, 'wechatpay-signature': signature } = headers;
  const message = `${String(timestamp)}\n${String(nonce)}\n${text}\n`;
  return verify('RSA-SHA256', Buffer.from(message), createPublicKey(key), Buffer.from(String(signature), 'base64'));
}

/** Opens a sealed resource by the method of vectors.json; throws when the tag does not match. */
export function opened(resource: Json, apiV3Key: string): string {
  const { nonce, associated_data: data, ciphertext } = resource as Record<string, string>;
  const bytes = Buffer.from(ciphertext ?? '', 'base64');
  const decipher = createDecipheriv('aes-256-gcm', apiV3Key, nonce ?? '', { authTagLength: 16 });
  decipher.setAAD(Buffer.from(data ?? '')).setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString('utf8');
}

/** v3 requests made by hand: nothing of our client, nor of the simulator, takes part. */
export class RawV3 {
  constructor(private readonly wechat: RawWechat) {}

  get(merchant: Issued, target: string, change: Change = {}): Promise<V3Answer> {
    return this.send(merchant, { method: 'GET', target, body: '' }, change);
  }

  post(merchant: Issued, target: string, body: unknown, change: Change = {}): Promise<V3Answer> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return this.send(merchant, { method: 'POST', target, body: text }, change);
  }

  /** A refund of 400 of 1000 fen of an order, unless told otherwise. */
  refund(merchant: Issued, order: string, wish: Json = {}, change: Change = {}): Promise<V3Answer> {
    return this.post(merchant, REFUNDS, refundBody(order, wish), change);
  }

  query(merchant: Issued, number: string, change: Change = {}): Promise<V3Answer> {
    return this.get(merchant, `${REFUNDS}/${encodeURIComponent(number)}`, change);
  }

  /** The merchant's platform certificates, opened: PEM by serial. */
  async certificates(merchant: Issued): Promise<Map<string, string>> {
    const { json } = await this.get(merchant, '/v3/certificates');
    const data = json['data'] as readonly { serial_no: string; encrypt_certificate: Json }[];
    return new Map(data.map((entry) => [entry.serial_no, opened(entry.encrypt_certificate, merchant.api_v3_key)]));
  }

  /** Refunds all written at once; their answers' statuses and codes. */
  async burst(merchant: Issued, bodies: readonly Json[]): Promise<{ status: number; code: unknown }[]> {
    const requests = bodies.map((body) => {
      const text = JSON.stringify(body);
      const signed = authorization(merchant, { method: 'POST', target: REFUNDS, body: text });
      const head = `POST ${REFUNDS} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nUser-Agent: raw\r\n`;
      const type = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`;
      return `${head}${type}Authorization: ${signed}\r\n\r\n${text}`;
    });
    const answers = await this.wechat.burstOf(merchant, requests);
    return answers.map(({ status, text }) => ({ status, code: (JSON.parse(text) as Json)['code'] }));
  }

  private send(
    merchant: Issued,
    signed: { readonly method: string; readonly target: string; readonly body: string },
    change: Change,
  ): Promise<V3Answer> {
    const headers = {
      accept: 'application/json',
      'user-agent': 'raw',
      ...(signed.method === 'POST' && { 'content-type': 'application/json' }),
      authorization: authorization(merchant, signed, change),
      ...change.headers,
    };
    const { certificate } = change;
    const options = {
      host: 'localhost',
      port: this.wechat.ports.port,
      method: signed.method,
      path: change.sentTarget ?? signed.target,
      agent: false,
      ca: readFileSync(this.wechat.ports.ca),
      headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
      ...(certificate && { cert: certificate.certificate_pem, key: certificate.private_key_pem }),
    };
    return new Promise((resolve, reject) => {
      const sent = request(options, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => {
          const { statusCode: status = 0, headers: got } = answer;
          const isJson = String(got['content-type']).startsWith('application/json');
          resolve({ status, headers: got, text, json: isJson ? (JSON.parse(text) as Json) : {} });
        });
      });
      sent.once('error', reject);
      sent.end(change.sentBody?.(signed.body) ?? signed.body);
    });
  }
}

/** A refund's body: 400 of 1000 fen under a number of its own, unless told otherwise. */
export function refundBody(order: string, { amount, ...wish }: Json = {}): Json {
  return {
    out_trade_no: order,
    out_refund_no: `R${randomBytes(8).toString('hex')}`,
    amount: { refund: 400, total: 1000, currency: 'CNY', ...(amount as Json) },
    ...wish,
  };
}
