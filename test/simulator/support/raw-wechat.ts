import { setTimeout as sleep } from 'node:timers/promises';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { request } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';

/** Fields of a flat message. */
export type Fields = Readonly<Record<string, string>>;
export type Json = Record<string, unknown>;

/** A merchant as the simulated WeChat Pay handed it out. */
export interface Issued {
  readonly mch_id: string;
  readonly api_v2_key: string;
  readonly certificate_pem: string;
  readonly private_key_pem: string;
  /** Of the certificate, as Authorization headers name it. */
  readonly serial: string;
  readonly api_v3_key: string;
  readonly wechatpay_public_key_id: string;
  readonly wechatpay_public_key_pem: string;
  readonly appid: string;
}

/** One answer, unread. */
export interface RawAnswer {
  readonly status: number;
  readonly text: string;
  readonly fields: Fields;
}

/** Requests that wait on one connection. */
const PIPELINED = 8;
const MAIN = new URL('../../../dist/simulator/main.js', import.meta.url).pathname;

/** Reads a flat message the short way: this test sends and receives simple texts only. */
export const readFlat = (text: string): Fields =>
  Object.fromEntries(
    [...text.matchAll(/<(\w+)><!\[CDATA\[(.*?)\]\]><\/\1>/gs)].map(([, name = '', value = '']) => [name, value]),
  );

/** The sign, written out from protocol.md 1.2 without any code of the service. */
export function signOf(fields: Fields, key: string, signType = fields['sign_type'] ?? 'MD5'): string {
  const text = Object.keys(fields)
    .filter((name) => name !== 'sign' && fields[name] !== '')
    .sort()
    .map((name) => `${name}=${fields[name] ?? ''}`)
    .join('&');
  const whole = `${text}&key=${key}`;
  const hash = signType === 'HMAC-SHA256' ? createHmac('sha256', key) : createHash('md5');
  return hash.update(whole).digest('hex').toUpperCase();
}

function signedText(merchant: Issued, fields: Fields): string {
  const { appid, mch_id } = merchant;
  const whole: Fields = { appid, mch_id, nonce_str: randomBytes(16).toString('hex'), ...fields };
  const signed: Fields = { sign: signOf(whole, merchant.api_v2_key), ...whole };
  return `<xml>${Object.entries(signed)
    .map(([name, value]) => `<${name}>${value}</${name}>`)
    .join('')}</xml>`;
}

/** Answers are sent in one chunk each; the last chunk of a body is empty. */
const CHUNKED = /^[0-9a-f]+\r\n(.*)\r\n0\r\n\r\n$/s;

/** The answers in a stream of them; null while the last one is not whole. */
function answersIn(stream: string, count: number): RawAnswer[] | null {
  const parts = stream.split(/(?=HTTP\/1\.1 \d{3} )/).map((part) => part.split(/\r\n\r\n(.*)/s));
  if (parts.length < count || !CHUNKED.test(parts.at(-1)?.[1] ?? '')) return null;
  return parts.map(([head = '', body = '']) => {
    const text = CHUNKED.exec(body)?.[1] ?? '';
    return { status: Number(head.slice(9, 12)), text, fields: readFlat(text) };
  });
}

/** Writes whole requests at once on one connection; their answers in the same order. */
function pipelined(socket: TLSSocket | undefined, requests: readonly string[]): Promise<RawAnswer[]> {
  return new Promise((resolve) => {
    let text = '';
    socket?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const answers = answersIn(text, requests.length);
      if (answers === null) return;
      socket.destroy();
      resolve(answers);
    });
    socket?.write(requests.join(''));
  });
}

/** The simulator as a process of its own, asked by hand-made requests: nothing of our client takes part. */
export class RawWechat {
  private constructor(
    private readonly child: ChildProcess,
    readonly ports: { readonly port: number; readonly control_port: number; readonly ca: string },
  ) {}

  /** The authority and the keys are those kept in `directory`; null: its own. */
  static async start(directory: string | null = process.env['SIMULATOR_DIRECTORY'] ?? null): Promise<RawWechat> {
    const child = spawn(process.execPath, [MAIN], {
      env: {
        PATH: process.env['PATH'],
        ...(directory !== null && { SIMULATOR_DIRECTORY: directory }),
        SIMULATOR_PORT: '0',
        SIMULATOR_CONTROL_PORT: '0',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve) => child.stdout.once('data', (chunk) => resolve(String(chunk))));
    return new RawWechat(child, JSON.parse(line) as RawWechat['ports']);
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }

  async control(method: string, path: string, body?: Json): Promise<{ status: number; body: Json }> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.control_port}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Json };
  }

  /** A control call that must succeed. */
  async set(path: string, body: Json): Promise<Json> {
    const answer = await this.control('POST', path, body);
    if (answer.status !== 200) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  async ledger(name: string): Promise<Json[]> {
    return (await this.control('GET', '/ledger')).body[name] as Json[];
  }

  async merchant(wish: Json = {}): Promise<Issued> {
    const mchId = `16${String(randomBytes(4).readUInt32BE()).padStart(10, '0')}`.slice(0, 10);
    const appid = `wx${randomBytes(8).toString('hex')}`;
    return {
      ...(await this.set('/merchants', { mch_id: mchId, appids: [appid], ...wish })),
      appid,
    } as unknown as Issued;
  }

  /** A paid order of a merchant; its number. */
  async order(merchant: Issued, totalFen: number, wish: Json = {}): Promise<string> {
    const number = `T${randomBytes(10).toString('hex')}`;
    const { mch_id, appid } = merchant;
    await this.set('/orders', { mch_id, appid, out_trade_no: number, total_fee: totalFen, ...wish });
    return number;
  }

  /** Posts fields, signed unless they bring a sign, over a connection of its own with the merchant's certificate or `certificate`. */
  post(path: string, merchant: Issued, fields: Fields, certificate: Issued | null = merchant): Promise<RawAnswer> {
    return this.postText(path, signedText(merchant, fields), certificate);
  }

  /** V2 refund requests, as `burstOf`. */
  burst(merchant: Issued, refunds: readonly Fields[]): Promise<RawAnswer[]> {
    const head = 'POST /secapi/pay/refund HTTP/1.1\r\nHost: localhost\r\nContent-Length: ';
    const bodies = refunds.map((fields) => signedText(merchant, fields));
    return this.burstOf(
      merchant,
      bodies.map((body) => `${head}${Buffer.byteLength(body)}\r\n\r\n${body}`),
    );
  }

  /** Whole requests all written at once over connections opened before, so that handshakes do not stretch the second. */
  async burstOf(merchant: Issued, requests: readonly string[]): Promise<RawAnswer[]> {
    const lines = Array.from({ length: Math.ceil(requests.length / PIPELINED) }, (_, place) =>
      requests.slice(place * PIPELINED, (place + 1) * PIPELINED),
    );
    const sockets = await Promise.all(lines.map(() => this.connected(merchant)));
    return (await Promise.all(lines.map((texts, place) => pipelined(sockets[place], texts)))).flat();
  }

  private connected({ certificate_pem: cert, private_key_pem: key }: Issued): Promise<TLSSocket> {
    const { port, ca } = this.ports;
    return new Promise((resolve, reject) => {
      const socket = connect({ host: 'localhost', port, ca: readFileSync(ca), cert, key }, () => resolve(socket));
      socket.once('error', reject);
    });
  }

  postText(path: string, body: string, certificate: Issued | null): Promise<RawAnswer> {
    const options = {
      host: 'localhost',
      port: this.ports.port,
      path,
      method: 'POST',
      agent: false,
      ca: readFileSync(this.ports.ca),
      ...(certificate && { cert: certificate.certificate_pem, key: certificate.private_key_pem }),
    };
    return new Promise((resolve, reject) => {
      const sent = request(options, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text, fields: readFlat(text) }));
      });
      sent.once('error', reject);
      sent.end(body);
    });
  }

  refund(merchant: Issued, order: string, wish: Fields, certificate?: Issued | null): Promise<RawAnswer> {
    const fields = { out_trade_no: order, out_refund_no: `R${randomBytes(8).toString('hex')}`, ...wish };
    return this.post('/secapi/pay/refund', merchant, fields, certificate);
  }
}

/** A receiver of notices that keeps each one and answers as told. */
export class Receiver {
  readonly bodies: string[] = [];
  /** Each notice with its headers. */
  readonly letters: { readonly headers: IncomingHttpHeaders; readonly text: string }[] = [];
  acknowledges = true;
  status = 200;
  private readonly server: Server;

  constructor() {
    this.server = createServer((incoming, answer) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      incoming.on('end', () => {
        this.bodies.push(text);
        this.letters.push({ headers: incoming.headers, text });
        const code = this.acknowledges ? 'SUCCESS' : 'FAIL';
        answer.writeHead(this.status).end(`<xml><return_code><![CDATA[${code}]]></return_code></xml>`);
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const address = this.server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/notices`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** Waits until `done`, looking every 10 ms; after 10 s it throws an error that names `what`. */
export async function until(done: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 10) {
    if (await done()) return;
    await sleep(10);
  }
  throw new Error(`did not happen: ${what}`);
}
