import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Instance } from './instance.js';

export type Json = Record<string, unknown>;

/** An answer of the service. */
export interface Answer {
  readonly status: number;
  readonly body: Json;
  readonly headers: Headers;
}

export interface Merchant {
  readonly mchId: string;
  readonly appid: string;
}

export interface Order {
  readonly id: string;
  readonly mchId: string;
  readonly outTradeNo: string;
}

/** A refund as the API shows it. */
export type Refund = Json & { readonly id: string; readonly state: string; readonly out_refund_no: string };

const BUILT = new URL('../../../dist/', import.meta.url).pathname;
/** The credentials beside the certificate that a merchant of each protocol is registered with, as the simulator hands them out. */
const KINDS = {
  v2: ['api_v2_key'],
  v3: ['api_v2_key', 'api_v3_key', 'wechatpay_public_key_id', 'wechatpay_public_key_pem'],
} as const;

let counter = 0;
/** A short text nothing else uses. */
export const unique = (): string => `${Date.now().toString(36)}${(counter += 1)}${randomBytes(3).toString('hex')}`;

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** The built service, the simulator and a database of their own, as processes; nothing is imported from either. */
export class Stack {
  readonly instances: Instance[] = [];
  /** Where a service that runs in the test's own process listens; it goes before the instances. */
  inProcessUrl: string | null = null;
  readonly adminKey = `admin_${randomBytes(24).toString('hex')}`;
  private readonly masterKey = randomBytes(32).toString('base64');

  private constructor(
    readonly databaseUrl: string,
    readonly database: pg.Pool,
    readonly simulatorProcess: ChildProcess,
    readonly ports: { readonly simulator: number; readonly control: number; readonly ca: string },
    private readonly env: Readonly<Record<string, string>>,
  ) {}

  static async start(env: Readonly<Record<string, string>> = {}): Promise<Stack> {
    const stack = await Stack.withoutService(env);
    await stack.addInstance();
    return stack;
  }

  /** The simulator and a database, on another PostgreSQL than that of the test run if so wished; instances are added by the caller. */
  static async withoutService(
    env: Readonly<Record<string, string>> = {},
    server = process.env['TEST_POSTGRES_URL'] ?? '',
  ): Promise<Stack> {
    const name = `e2e_${randomBytes(6).toString('hex')}`;
    const admin = new pg.Client({ connectionString: server });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${name} TEMPLATE template_tuikuan`);
    await admin.end();
    const url = server.replace(/[^/]+$/, name);
    const { PATH, SIMULATOR_DIRECTORY } = process.env;
    const simulator = spawn(process.execPath, [`${BUILT}simulator/main.js`], {
      env: { PATH, SIMULATOR_DIRECTORY, SIMULATOR_PORT: '0', SIMULATOR_CONTROL_PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve) =>
      simulator.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString())),
    );
    const { port, control_port: control, ca } = JSON.parse(line) as { port: number; control_port: number; ca: string };
    const ports = { simulator: port, control, ca };
    const stack = new Stack(url, new pg.Pool({ connectionString: url, max: 3 }), simulator, ports, env);
    stack.database.on('error', () => undefined);
    await stack.control('POST', '/limits', { spacing_seconds: Number(env['REFUND_SPACING_SECONDS'] ?? 0) });
    return stack;
  }

  /** The environment of an instance at this port, but for PATH. */
  environment(port: number, env: Readonly<Record<string, string>> = {}): Record<string, string> {
    const [first] = this.instances;
    return {
      PORT: String(port),
      HOST: '127.0.0.1',
      PUBLIC_URL: first?.url ?? `http://127.0.0.1:${port}`,
      DATABASE_URL: this.databaseUrl,
      MASTER_KEYS: `test:${this.masterKey}`,
      MASTER_KEY_ACTIVE: 'test',
      ADMIN_API_KEY: this.adminKey,
      WECHATPAY_BASE_URL: `https://localhost:${this.ports.simulator}`,
      NODE_EXTRA_CA_CERTS: this.ports.ca,
      REFUND_SPACING_SECONDS: '0',
      LOG_LEVEL: 'warn',
      ...this.env,
      ...env,
    };
  }

  /** Starts one more process of the service on the same database; with PORT at that port, with `channel` it hears `child.send`. */
  async addInstance(env: Readonly<Record<string, string>> = {}, { channel = false } = {}): Promise<Instance> {
    const port = Number(env['PORT'] ?? (await freePort()));
    const child = spawn(process.execPath, [`${BUILT}main.js`], {
      cwd: '/',
      env: { PATH: process.env['PATH'], ...this.environment(port, env) },
      stdio: ['ignore', 'pipe', 'pipe', ...(channel ? (['ipc'] as const) : [])],
    });
    const instance = new Instance(child, `http://127.0.0.1:${port}`);
    this.instances.push(instance);
    await instance.ready();
    return instance;
  }

  get url(): string {
    return this.inProcessUrl ?? this.instances.find(({ lives }) => lives)?.url ?? '';
  }

  async close(): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.kill()));
    this.simulatorProcess.kill('SIGKILL');
    await this.database.end();
  }

  async api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.adminKey}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const json = answer.headers.get('content-type')?.includes('json') ?? false;
    return { status: answer.status, body: (json ? JSON.parse(text) : {}) as Json, headers: answer.headers };
  }

  /** A call that must succeed. */
  async ok(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Json> {
    const answer = await this.api(method, path, body, headers);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  async control(method: string, path: string, body?: unknown): Promise<Json> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.control}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const json = (await answer.json()) as Json;
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(json)}`);
    return json;
  }

  fault(fault: Json): Promise<Json> {
    return this.control('POST', '/faults', { call: 'refund', ...fault });
  }

  /** Moves the service's time; production code reads it from this one function. */
  async shiftClock(interval: string): Promise<void> {
    await this.database
      .query(`CREATE OR REPLACE FUNCTION tuikuan_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
      AS $$ SELECT clock_timestamp() + interval '${interval}' $$`);
  }

  /**
   * A merchant with one mini-program, known to the simulator and registered with its credentials: those its protocol needs, and over v3
   * the APIv2 key too, which refunds made by hand need; or the `kinds` named. Over V2 alone the simulator need not make a key for v3.
   */
  async merchant(wish: { simulator?: Json; service?: Json; kinds?: readonly string[] } = {}): Promise<Merchant> {
    const mchId = `19${String(Date.now()).slice(-6)}${String((counter += 1)).padStart(4, '0')}`;
    const appid = `wx${unique()}`;
    const protocol = wish.service?.['api_version'] === 'v3' ? 'v3' : 'v2';
    const made = { mch_id: mchId, appids: [appid], public_key: protocol === 'v3' || wish.kinds !== undefined };
    const issued = await this.control('POST', '/merchants', { ...made, ...wish.simulator });
    await this.ok('POST', '/v1/merchants', { mch_id: mchId, name: 'test', api_version: 'v2', ...wish.service });
    const kinds =
      wish.kinds ??
      KINDS[protocol].filter((kind) => issued['public_key'] === true || !kind.startsWith('wechatpay_public_key'));
    await this.credentials(mchId, issued, kinds);
    await this.ok('POST', '/v1/mini_programs', { appid, name: 'test', mch_ids: [mchId] });
    const urls = (await this.ok('GET', `/v1/merchants/${mchId}`))['notify_urls'] as { refund: string };
    await this.control('POST', '/merchants', { mch_id: mchId, vendor_notify_url: urls.refund });
    return { mchId, appid };
  }

  async credentials(mchId: string, issued: Json, kinds: readonly string[] = KINDS.v2): Promise<Json> {
    const keys = kinds.filter((kind) => issued[kind] !== undefined && issued[kind] !== null);
    return this.ok('PUT', `/v1/merchants/${mchId}/credentials`, {
      ...Object.fromEntries(keys.map((kind) => [kind, issued[kind]])),
      client_certificate_pem: issued['certificate_pem'],
      client_key_pem: issued['private_key_pem'],
    });
  }

  /** An order paid at the simulated WeChat and registered here. */
  async paidOrder({ mchId, appid }: Merchant, amountFen: number): Promise<Order> {
    const outTradeNo = `T${unique()}`.slice(0, 32);
    await this.control('POST', '/orders', { mch_id: mchId, appid, out_trade_no: outTradeNo, total_fee: amountFen });
    const order = await this.ok('POST', '/v1/orders/register', { appid, out_trade_no: outTradeNo, amount: amountFen });
    return { id: String(order['id']), mchId, outTradeNo };
  }

  /** Asks for a refund; throws unless it is taken. */
  async refund(order: Order, wish: Json = {}): Promise<Refund> {
    return (await this.ok('POST', '/v1/refunds', {
      order: order.id,
      out_refund_no: `R${unique()}`,
      ...wish,
    })) as Refund;
  }

  async read(id: string): Promise<Refund> {
    return (await this.ok('GET', `/v1/refunds/${id}`)) as Refund;
  }

  order(order: Order): Promise<Json> {
    return this.ok('GET', `/v1/orders/${order.id}`);
  }

  /** The refund once it is in one of these states; throws with its history when that does not come. */
  async until(id: string, states: string | readonly string[], seconds = 30): Promise<Refund> {
    const wanted = [states].flat();
    for (let waitedMs = 0; waitedMs < seconds * 1000; waitedMs += 100) {
      const refund = await this.read(id);
      if (wanted.includes(refund.state)) return refund;
      await sleep(100);
    }
    const { data } = (await this.ok('GET', `/v1/refunds/${id}/timeline`)) as { data: Json[] };
    const refund = await this.read(id);
    throw new Error(
      `${id} is ${refund.state}, not ${wanted.join(' or ')}: ${JSON.stringify(refund['failure'])}\n${data.map((entry) => JSON.stringify(entry)).join('\n')}`,
    );
  }

  /** Waits until all of them are in this state; looks into the database, so that the looking is no load. Throws with those that are not. */
  async untilAll(refunds: readonly Refund[], state: string, seconds = 30): Promise<void> {
    const numbers = refunds.map(({ out_refund_no: number }) => number);
    const others = async (): Promise<unknown[]> =>
      (
        await this.database.query(
          'SELECT out_refund_no, state FROM refund WHERE out_refund_no = ANY($1) AND state <> $2',
          [numbers, state],
        )
      ).rows as unknown[];
    const left = await this.eventually(others, (rows) => rows.length === 0, seconds);
    if (left.length > 0) throw new Error(`not ${state}: ${JSON.stringify(left.slice(0, 5))}`);
  }

  /** Reads until `done`; gives the last value either way, so that the expectation after it shows what is wrong. */
  async eventually<T>(read: () => Promise<T>, done: (value: T) => boolean, seconds = 20): Promise<T> {
    let value = await read();
    for (let waitedMs = 0; waitedMs < seconds * 1000 && !done(value); waitedMs += 50) {
      await sleep(50);
      value = await read();
    }
    return value;
  }

  settle(refund: Refund, state: string): Promise<Json> {
    return this.control('POST', `/refunds/${encodeURIComponent(refund.out_refund_no)}/state`, {
      state,
      mch_id: refund['mch_id'],
    });
  }

  /** What the simulated WeChat accepted under a number: at most one row, whatever happened. */
  async accepted(outRefundNo: string): Promise<Json[]> {
    const { accepted } = (await this.control('GET', '/ledger')) as { accepted: Json[] };
    return accepted.filter((row) => row['out_refund_no'] === outRefundNo);
  }

  async requests(outRefundNo: string, call = 'refund'): Promise<Json[]> {
    const { requests } = (await this.control('GET', '/ledger')) as { requests: Json[] };
    return requests.filter((row) => row['out_refund_no'] === outRefundNo && row['call'] === call);
  }

  async timeline(id: string): Promise<Json[]> {
    return (await this.ok('GET', `/v1/refunds/${id}/timeline`))['data'] as Json[];
  }
}
