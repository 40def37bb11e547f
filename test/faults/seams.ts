import type http from 'node:http';
import type net from 'node:net';
import type pg from 'pg';
import type { Life, Said } from './life.js';

/**
 * The seams at which a running service can be cut from outside: what it says to the database, what it says to other servers, and what it
 * answers. Nothing in src knows of them: they lie over the classes of pg and Node. This file imports nothing, so that it can be laid
 * over the built service as well as over one inside a test.
 */

/** The classes that the seams lie over. */
export interface Modules {
  readonly Client: typeof pg.Client;
  readonly Pool: typeof pg.Pool;
  readonly net: typeof net;
  readonly http: typeof http;
}

type LifeHere = () => Life | undefined;
/** Hears of every socket that a life uses. */
type Own = (life: Life, socket: net.Socket) => void;

const never = <T>(): Promise<T> => new Promise(() => undefined);

/**
 * Lays the seams over the modules; `lifeHere` is the life the running code belongs to. Gives what takes them off Node's classes again;
 * those of pg are the test file's own, and what the dead have left behind must never come through.
 */
export function installSeams(modules: Modules, lifeHere: LifeHere, own: Own): () => void {
  overDatabase(modules.Client, lifeHere, own);
  overPool(modules.Pool, lifeHere);
  const undo = [...overSockets(modules.net, lifeHere, own), ...overServer(modules.http, lifeHere)];
  return () => undo.forEach((take) => take());
}

/** Puts a method in front of the one a prototype has or inherits. */
function lay<T extends object, K extends keyof T>(prototype: T, name: K, make: (original: T[K]) => T[K]): () => void {
  const owned = Object.getOwnPropertyDescriptor(prototype, name);
  Object.defineProperty(prototype, name, { value: make(prototype[name]), configurable: true, writable: true });
  return () => {
    if (owned) Object.defineProperty(prototype, name, owned);
    else delete (prototype as Record<K, unknown>)[name];
  };
}

type AnyQuery = (this: pg.Client, ...given: unknown[]) => unknown;

function overDatabase(Client: typeof pg.Client, lifeHere: LifeHere, own: Own): () => void {
  /** What was said in the transaction that is open on a connection. */
  const open = new WeakMap<pg.Client, string[]>();
  const prototype = Client.prototype as unknown as { query: AnyQuery };
  return lay(
    prototype,
    'query',
    (query) =>
      function (this: pg.Client, ...given: unknown[]): unknown {
        const life = lifeHere();
        const said = saidBy(given, open.get(this) ?? null);
        if (!life || said === null) return query.apply(this, given);
        if (life.isDead) return never();
        own(life, (this as unknown as { connection: { stream: net.Socket } }).connection.stream);
        if (life.reaches({ ...said, moment: 'before' })) {
          life.die();
          return never();
        }
        const result = query.apply(this, given);
        if (/^(BEGIN|START TRANSACTION)/.test(said.text)) open.set(this, []);
        else if (/^(COMMIT|ROLLBACK)/.test(said.text)) open.delete(this);
        else open.get(this)?.push(`${said.text}\n${said.values}`);
        return result instanceof Promise ? replied(life, said, result) : result;
      },
  );
}

/** A dead life gets no connection any more: whatever of it goes on waits for ever. */
function overPool(Pool: typeof pg.Pool, lifeHere: LifeHere): () => void {
  const prototype = Pool.prototype as unknown as { connect: AnyQuery };
  return lay(
    prototype,
    'connect',
    (connect) =>
      function (this: pg.Client, ...given: unknown[]): unknown {
        return lifeHere()?.isDead ? never() : connect.apply(this, given);
      },
  );
}

/** Null for what is not a statement with its text, as the driver's own queries. */
function saidBy([config, second]: readonly unknown[], earlier: readonly string[] | null): Said | null {
  const text = typeof config === 'string' ? config : (config as { text?: unknown } | null)?.text;
  if (typeof text !== 'string' || text === '') return null;
  const values = Array.isArray(second) ? second.filter((value) => typeof value === 'string').join('\n') : '';
  return { seam: 'database', text, values, earlier: earlier && [...earlier] };
}

function replied(life: Life, said: Said, result: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    result.then(
      (value) => {
        if (life.isDead) return;
        if (life.reaches({ ...said, moment: 'replied' })) return life.die();
        if (life.reaches({ ...said, moment: 'taken' })) setImmediate(() => life.die());
        resolve(value);
      },
      (error: Error) => {
        if (!life.isDead) reject(error);
      },
    );
  });
}

/** A request of ours on its way over a socket, and what has come back. */
interface Exchange {
  readonly life: Life;
  readonly request: string;
  /** Bytes of the body that are still to be written. */
  bodyLeft: number;
  answer: string;
}

const REQUEST = /^(GET|POST|PUT|DELETE) (\S+) HTTP\/1\.1\r\n/;
const lengthIn = (head: string): number => Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);

type Write = (this: net.Socket, chunk: unknown, encoding?: unknown, done?: unknown) => boolean;
type Push = (this: net.Socket, chunk: Buffer | null, encoding?: unknown) => boolean;

function overSockets(sockets: typeof net, lifeHere: LifeHere, own: Own): (() => void)[] {
  const exchanges = new WeakMap<net.Socket, Exchange>();
  const prototype = sockets.Socket.prototype as unknown as { write: Write; push: Push };
  const write = lay(
    prototype,
    'write',
    (original) =>
      function (this: net.Socket, chunk, encoding, done) {
        const life = lifeHere();
        if (!life) return original.call(this, chunk, encoding, done);
        if (life.isDead) return true;
        const half = halves.get(this);
        if (half) {
          halves.delete(this);
          return original.call(this, firstHalf(chunk), undefined, () => half.die());
        }
        const begun = REQUEST.exec(beginning(chunk));
        if (begun) {
          own(life, this);
          const request = `${begun[1]} ${begun[2]}`;
          exchanges.set(this, { life, request, bodyLeft: lengthIn(String(chunk)), answer: '' });
          if (life.reaches({ seam: 'wire', text: request, moment: 'before' })) {
            life.die();
            return true;
          }
        }
        const exchange = exchanges.get(this);
        if (!exchange) return original.call(this, chunk, encoding, done);
        return writeOn(this, exchange, { chunk, encoding, done, isHead: begun !== null, original });
      },
  );
  const push = lay(
    prototype,
    'push',
    (original) =>
      function (this: net.Socket, chunk, encoding) {
        const exchange = exchanges.get(this);
        if (!exchange || chunk === null) return original.call(this, chunk, encoding);
        if (exchange.life.isDead) return true;
        return readOn(this, exchange, chunk, original);
      },
  );
  return [write, push];
}

interface Writing {
  readonly chunk: unknown;
  readonly encoding: unknown;
  readonly done: unknown;
  readonly isHead: boolean;
  readonly original: Write;
}

function writeOn(
  socket: net.Socket,
  exchange: Exchange,
  { chunk, encoding, done, isHead, original }: Writing,
): boolean {
  const { life, request } = exchange;
  if (!isHead) exchange.bodyLeft -= Buffer.byteLength(chunk as string);
  if (!isHead && life.reaches({ seam: 'wire', text: request, moment: 'half' }))
    return original.call(socket, firstHalf(chunk), undefined, () => life.die());
  if (exchange.bodyLeft <= 0 && life.reaches({ seam: 'wire', text: request, moment: 'written' }))
    return original.call(socket, chunk, encoding, () => life.die());
  return original.call(socket, chunk, encoding, done);
}

function readOn(socket: net.Socket, exchange: Exchange, chunk: Buffer, original: Push): boolean {
  const { life, request, answer } = exchange;
  exchange.answer += chunk.toString('latin1');
  const headBytes = exchange.answer.indexOf('\r\n\r\n') + 4;
  if (headBytes < 4) return original.call(socket, chunk);
  const hadHead = answer.includes('\r\n\r\n');
  if (!hadHead && life.reaches({ seam: 'wire', text: request, moment: 'headers' })) {
    setImmediate(() => life.die());
    return original.call(socket, chunk.subarray(0, headBytes - answer.length));
  }
  const whole = exchange.answer.length >= headBytes + lengthIn(exchange.answer);
  if (whole && life.reaches({ seam: 'wire', text: request, moment: 'answered' })) {
    life.die();
    return true;
  }
  return original.call(socket, chunk);
}

/** Connections to us whose next answer is cut in half. */
const halves = new WeakMap<net.Socket, Life>();

function overServer({ ServerResponse, IncomingMessage }: typeof http, lifeHere: LifeHere): (() => void)[] {
  const lineOf = ({ method = '', url = '' }: http.IncomingMessage): string => `${method} ${url}`;
  type End = (this: http.ServerResponse, ...given: unknown[]) => http.ServerResponse;
  const end = lay(
    ServerResponse.prototype as unknown as { end: End },
    'end',
    (original) =>
      function (this: http.ServerResponse, ...given) {
        const life = lifeHere();
        if (!life) return original.apply(this, given);
        const text = lineOf(this.req);
        if (life.reaches({ seam: 'server', text, moment: 'before' })) life.die();
        if (life.isDead) return this;
        if (this.socket && life.reaches({ seam: 'server', text, moment: 'half' })) halves.set(this.socket, life);
        return original.apply(this, given);
      },
  );
  type PushBody = (this: http.IncomingMessage, chunk: unknown, encoding?: unknown) => boolean;
  const push = lay(
    IncomingMessage.prototype as unknown as { push: PushBody },
    'push',
    (original) =>
      function (this: http.IncomingMessage, chunk, encoding) {
        const life = chunk === null ? lifeHere() : undefined;
        if (life?.reaches({ seam: 'server', text: lineOf(this), moment: 'received' })) life.die();
        return life?.isDead ? false : original.call(this, chunk, encoding);
      },
  );
  return [end, push];
}

const beginning = (chunk: unknown): string =>
  typeof chunk === 'string' ? chunk : Buffer.isBuffer(chunk) ? chunk.subarray(0, 300).toString('latin1') : '';

function firstHalf(chunk: unknown): Buffer {
  const bytes = Buffer.from(chunk as string);
  return bytes.subarray(0, Math.ceil(bytes.length / 2));
}
