import { connect as connectTcp, isIP, type Socket } from 'node:net';
import tls, { type SecureContext, type TLSSocket } from 'node:tls';
import { Client } from 'undici';
import type { Clock } from '../common/clock.js';
import { assertOutsideTransaction } from '../database/unit-of-work.js';
import type { MerchantAccount } from '../merchants/merchant-account.js';
import { ClockSkew } from './clock-skew.js';

const CONNECT_TIMEOUT_MS = 2000;
const FIRST_BYTE_TIMEOUT_MS = 10_000;
const CALL_TIMEOUT_MS = 15_000;
/** Shorter than what servers usually keep, so that we close first. */
const IDLE_MS = 30_000;
const CONNECTIONS_MAX = 128;
const ANSWER_BYTES_MAX = 256 * 1024;

/** No connection could be had: nothing was written. */
export class NotConnected extends Error {
  override readonly name = 'NotConnected';
}

/** A request of one call. */
export interface Outgoing {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

interface Answer {
  readonly status: number;
  /** By lower-case name; a list where a header stood more than once. */
  readonly headers: AnswerHeaders;
  readonly body: Buffer;
}

/** What came back. `answered` false: no whole answer; `written` false: for certain not a byte of the request left. */
export type Exchange =
  | (Answer & { readonly answered: true; readonly durationMs: number })
  | { readonly answered: false; readonly written: boolean; readonly reason: string; readonly durationMs: number };

/** Who calls, as far as a connection must know. */
type Calling = Pick<MerchantAccount, 'mchId' | 'clientCertificate'>;

/** What a connection tells its owner. */
interface ConnectionLife {
  giveBack(connection: Connection): void;
  answered(headers: AnswerHeaders): void;
}

/** A TLS connection and the TCP socket under it: only the latter can be reset. */
interface Line {
  readonly tcp: Socket;
  readonly tls: TLSSocket;
}

/** One TLS connection for one request at a time. */
export class Connection {
  private readonly client: Client;

  constructor(
    origin: URL,
    private readonly line: Line,
    private readonly clock: Clock,
    private readonly life: ConnectionLife,
  ) {
    this.client = new Client(origin, {
      // The handshake is done already: connecting is apart from writing, so its failure is known to have sent nothing.
      // undici writes only when it is told so later than it asks.
      connect: (_options, callback) =>
        queueMicrotask(() => {
          if (line.tls.destroyed) callback(new NotConnected('the connection was closed'), null);
          else callback(null, line.tls);
        }),
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      maxResponseSize: ANSWER_BYTES_MAX,
    });
  }

  /**
   * Writes one request and reads the whole answer, then gives the connection back. Never throws: after the first byte every failure
   * is an answer that is missing. `mayWrite` is asked when nothing is left between it and the bytes (undici lets a turn of the event loop
   * pass before it writes to a connection that was idle); at a no nothing is written and the connection is given back.
   * At a deadline the socket is reset, so that no half-sent request lingers in a buffer.
   */
  async exchange(request: Outgoing, mayWrite: () => boolean = () => true): Promise<Exchange> {
    assertOutsideTransaction();
    const startMs = this.clock.monotonicMs();
    let reason: string | null = null;
    let written = false;
    const resetAfter = (ms: number, why: string): NodeJS.Timeout =>
      setTimeout(() => {
        reason = why;
        this.line.tcp.resetAndDestroy();
      }, ms);
    const whole = resetAfter(CALL_TIMEOUT_MS, 'no whole answer in 15 s');
    const firstByte = resetAfter(FIRST_BYTE_TIMEOUT_MS, 'no answer in 10 s');
    try {
      // Once: undici is free to begin a request again.
      const begins = (): boolean => !written && (written = mayWrite());
      const answer = await this.wholeAnswer(request, begins, () => clearTimeout(firstByte));
      this.life.answered(answer.headers);
      this.life.giveBack(this);
      return { answered: true, ...answer, durationMs: this.clock.monotonicMs() - startMs };
    } catch (error) {
      if (written) this.destroy();
      else this.life.giveBack(this);
      const cause = error instanceof Error ? error.message : String(error);
      return { answered: false, written, reason: reason ?? cause, durationMs: this.clock.monotonicMs() - startMs };
    } finally {
      clearTimeout(whole);
      clearTimeout(firstByte);
    }
  }

  get usable(): boolean {
    return !this.line.tls.destroyed && this.line.tls.writable;
  }

  destroy(): void {
    this.line.tcp.resetAndDestroy();
    this.client.destroy().catch(() => undefined);
  }

  /** `begins` is asked before the first byte and `answered` told of the head of the answer. */
  private wholeAnswer(request: Outgoing, begins: () => boolean, answered: () => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let head: Pick<Answer, 'status' | 'headers'> = { status: 0, headers: {} };
      const chunks: Buffer[] = [];
      this.client.dispatch(request, {
        onRequestStart: () => {
          if (!begins()) throw new Error('nothing may be written any more');
        },
        onResponseStart: (_, status, headers) => {
          if (status < 200) return;
          head = { status, headers };
          answered();
        },
        onResponseData: (_, chunk) => void chunks.push(chunk),
        onResponseEnd: () => resolve({ ...head, body: Buffer.concat(chunks) }),
        onResponseError: (_, error) => reject(error),
      });
    });
  }
}

/** The connections of one merchant under one certificate; never shared with another. */
class ConnectionPool {
  private readonly idle = new Map<Connection, NodeJS.Timeout>();
  private readonly all = new Set<Connection>();
  private opening = 0;
  private closed = false;
  /** Made once: reading a certificate and its key costs as much as our side of a handshake. */
  private context: SecureContext | null = null;

  constructor(
    private readonly origin: URL,
    private readonly certificate: MerchantAccount['clientCertificate'],
    private readonly clock: Clock,
    private readonly skew: ClockSkew,
  ) {}

  async warm(count: number): Promise<number> {
    const missing = Math.min(count - this.idle.size, CONNECTIONS_MAX - this.all.size - this.opening);
    await Promise.allSettled(Array.from({ length: Math.max(0, missing) }, async () => this.keep(await this.open())));
    return Math.min(count, this.idle.size);
  }

  async take(): Promise<Connection> {
    for (const [connection, timer] of this.idle) {
      clearTimeout(timer);
      this.idle.delete(connection);
      if (connection.usable) return connection;
    }
    if (this.all.size + this.opening >= CONNECTIONS_MAX)
      throw new NotConnected('all connections of the merchant are busy');
    return this.open();
  }

  close(): void {
    this.closed = true;
    for (const connection of this.idle.keys()) connection.destroy();
  }

  private keep(connection: Connection): void {
    if (this.closed || !connection.usable) return connection.destroy();
    const timer = setTimeout(() => {
      this.idle.delete(connection);
      connection.destroy();
    }, IDLE_MS);
    timer.unref();
    this.idle.set(connection, timer);
  }

  private async open(): Promise<Connection> {
    this.opening += 1;
    try {
      this.context ??= secureContext(this.certificate);
      const line = await handshake(this.origin, this.context);
      const connection = new Connection(this.origin, line, this.clock, {
        giveBack: (used) => this.keep(used),
        answered: (headers) => this.skew.note(headers['date'], this.clock.wallMs()),
      });
      this.all.add(connection);
      line.tls.once('close', () => {
        clearTimeout(this.idle.get(connection));
        this.idle.delete(connection);
        this.all.delete(connection);
      });
      return connection;
    } finally {
      this.opening -= 1;
    }
  }
}

function secureContext(certificate: MerchantAccount['clientCertificate']): SecureContext {
  const client = certificate && { cert: certificate.certificatePem, key: certificate.privateKeyPem.reveal() };
  return tls.createSecureContext({ minVersion: 'TLSv1.2', ...client });
}

/** Opens a TLS connection within 2 s; rejects with {@link NotConnected}. */
function handshake(origin: URL, context: SecureContext): Promise<Line> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = origin;
    const tcp = connectTcp({ host: hostname, port: port === '' ? 443 : Number(port), noDelay: true });
    const secure = tls.connect({
      socket: tcp,
      host: hostname,
      servername: isIP(hostname) === 0 ? hostname : '',
      secureContext: context,
      ALPNProtocols: ['http/1.1'],
    });
    const fail = (reason: string): void => {
      clearTimeout(timer);
      tcp.destroy();
      reject(new NotConnected(reason));
    };
    const timer = setTimeout(() => fail('no connection in 2 s'), CONNECT_TIMEOUT_MS);
    tcp.on('error', (error: Error) => fail(error.message));
    secure.on('error', (error: Error) => fail(error.message));
    secure.once('secureConnect', () => {
      clearTimeout(timer);
      // Flowing, so that a connection closed by the other side is noticed while it is idle.
      secure.resume();
      resolve({ tcp, tls: secure });
    });
  });
}

/** One pool per merchant and certificate fingerprint; a replaced certificate gets a fresh pool and the old one closes. */
export class Connections {
  /** The process clock beside WeChat's, by the answers on these connections. */
  readonly skew = new ClockSkew();
  private readonly pools = new Map<string, { readonly fingerprint: string; readonly pool: ConnectionPool }>();

  constructor(
    private readonly origin: URL,
    private readonly clock: Clock,
  ) {}

  /** Opens connections until `count` are idle, 2 s at most; says how many are. */
  warm(account: MerchantAccount, count: number): Promise<number> {
    assertOutsideTransaction();
    return this.poolOf(account).warm(count);
  }

  /** An idle connection, or a new one; throws {@link NotConnected}. */
  take(account: Calling): Promise<Connection> {
    assertOutsideTransaction();
    return this.poolOf(account).take();
  }

  close(): void {
    for (const { pool } of this.pools.values()) pool.close();
  }

  private poolOf(account: Calling): ConnectionPool {
    const fingerprint = account.clientCertificate?.fingerprint ?? '';
    const known = this.pools.get(account.mchId);
    if (known?.fingerprint === fingerprint) return known.pool;
    known?.pool.close();
    const pool = new ConnectionPool(this.origin, account.clientCertificate, this.clock, this.skew);
    this.pools.set(account.mchId, { fingerprint, pool });
    return pool;
  }
}
