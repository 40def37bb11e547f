import { fork, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { migrateUp, setRoleSettingsOf } from '../../dist/database/migrations.js';
import { startEmbeddedPostgres } from '../../dist/database/embedded-postgres.js';

const BUILT = new URL('../../dist/', import.meta.url).pathname;
/** What `npm start` gives to node. */
const START_FLAGS = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  .scripts.start.split(' ')
  .slice(1, -1);
const FLOOR = new URL('./floor/main.mjs', import.meta.url).pathname;
const LOAD = new URL('./load.mjs', import.meta.url).pathname;
const START_TIMEOUT_MS = 30_000;
const TICKS_PER_SECOND = 100;
const BASE = 'bench_base';
/** Of the histogram behind /metrics, which counts it with every delay: a process that is idle shows 10 ms. */
const HISTOGRAM_INTERVAL_MS = 10;

export function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** A process under measurement: the built service or a floor. */
export class Side {
  constructor(name, child, port, database) {
    Object.assign(this, { name, child, port, database, log: '' });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => (this.log = (this.log + chunk).slice(-20_000)));
  }

  async ready() {
    for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += 50) {
      if (this.child.exitCode !== null) throw new Error(`${this.name} ended:\n${this.log}`);
      if ((await fetch(`http://127.0.0.1:${this.port}/health/ready`).catch(() => null))?.ok) return this;
      await sleep(50);
    }
    throw new Error(`${this.name} is not ready:\n${this.log}`);
  }

  /** Seconds of processor time used since its start, all threads. */
  async cpuSeconds() {
    const stat = await readFile(`/proc/${this.child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  async rssMb() {
    const status = await readFile(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
  }

  /** The value of a line of /metrics; the scrape also resets its event-loop histogram. */
  async metric(name, key) {
    const answer = await fetch(`http://127.0.0.1:${this.port}/metrics`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const line = (await answer.text())
      .split('\n')
      .find((text) => text.startsWith(`${name} `) || text.startsWith(`${name}{`));
    return line === undefined ? null : Number(line.split(' ').at(-1));
  }

  end(signal = 'SIGTERM') {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return undefined;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    return ended;
  }
}

/** PostgreSQL with fsync on, a base database with three merchants, and whatever is started on copies of it. */
export class Stage {
  masterKeys = `bench:${randomBytes(32).toString('base64')}`;
  adminKey = `admin_${randomBytes(24).toString('hex')}`;
  processes = [];

  /** Whatever ends the run, nothing that was started is left behind. */
  static async open() {
    const stage = new Stage();
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.once(signal, () => void stage.close().finally(() => process.exit(1)));
    }
    try {
      await stage.start();
    } catch (error) {
      await stage.close();
      throw error;
    }
    return stage;
  }

  async start() {
    this.directory = await mkdtemp(join(tmpdir(), 'tuikuan-bench-'));
    await chmod(this.directory, 0o755);
    this.postgres = await startEmbeddedPostgres(this.directory);
    await this.sql('postgres', async (client) => {
      const { rows } = await client.query(
        "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit",
      );
      if (rows[0].fsync !== 'on' || rows[0].commit !== 'on') throw new Error('PostgreSQL is not durable');
      await client.query(`CREATE DATABASE ${BASE}`);
    });
    await migrateUp(this.urlOf(BASE));
    await this.register();
  }

  urlOf(database) {
    return this.postgres.url.replace(/[^/]+$/, database);
  }

  async sql(database, work) {
    const client = new pg.Client({ connectionString: this.urlOf(database) });
    await client.connect();
    try {
      // Filling a database may take longer than the service lets a statement take, and VACUUM wait for autovacuum.
      await client.query('SET statement_timeout = 0; SET lock_timeout = 0');
      return await work(client);
    } finally {
      await client.end();
    }
  }

  /** The 99th percentile of a service's event-loop delay since it was asked last. */
  async eventLoopDelayMs(service) {
    const seconds = await service.metric('nodejs_eventloop_lag_p99_seconds', this.adminKey);
    return Math.max(0, seconds * 1000 - HISTOGRAM_INTERVAL_MS);
  }

  /** Connections that a side has open now. */
  async connectionsOf({ database }) {
    const { rows } = await this.sql('postgres', (client) =>
      client.query('SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = $1', [database]),
    );
    return rows[0].n;
  }

  async copy(name, from = BASE) {
    await this.sql('postgres', (client) => client.query(`CREATE DATABASE ${name} TEMPLATE ${from}`));
    await setRoleSettingsOf(this.urlOf(name));
    return name;
  }

  /** The built service as in production, with the heap of `npm start`. `flags` go to node. */
  async service(database, { env = {}, flags = [], name = 'service' } = {}) {
    const port = await freePort();
    const child = spawn(process.execPath, [...START_FLAGS, ...flags, `${BUILT}main.js`], {
      cwd: '/',
      env: {
        PATH: process.env.PATH,
        PORT: String(port),
        HOST: '127.0.0.1',
        ROLE: 'api',
        PUBLIC_URL: `http://127.0.0.1:${port}`,
        DATABASE_URL: this.urlOf(database),
        MASTER_KEYS: this.masterKeys,
        MASTER_KEY_ACTIVE: 'bench',
        ADMIN_API_KEY: this.adminKey,
        WECHATPAY_BASE_URL: 'https://localhost:1',
        REFUND_SPACING_SECONDS: '0',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return this.keep(new Side(name, child, port, database));
  }

  async floor(database, kind, { flags = [] } = {}) {
    const port = await freePort();
    const child = spawn(process.execPath, [...flags, FLOOR], {
      env: {
        PATH: process.env.PATH,
        PORT: String(port),
        DATABASE_URL: this.urlOf(database),
        MASTER_KEYS: this.masterKeys,
        FLOOR: kind,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return this.keep(new Side(kind, child, port, database));
  }

  keep(side) {
    this.processes.push(side);
    return side.ready();
  }

  /** Merchants of both protocols and both ways with V2 notices, one mini-program each, and an operator's key; over the API. */
  async register() {
    const service = await this.service(BASE);
    const call = (method, path, body) => this.call(service, method, path, body);
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    this.merchants = {};
    const kinds = { apply: ['v2', '1900000001'], confirm: ['v2', '1900000002'], v3: ['v3', '1900000003'] };
    for (const [kind, [apiVersion, mchId]] of Object.entries(kinds)) {
      const v2Key = randomBytes(16).toString('hex');
      const v3Key = randomBytes(16).toString('hex');
      const serial = `PUB_KEY_ID_01${mchId}0000000000000000000001`;
      const refund_notify = kind === 'confirm' ? 'confirm' : 'apply';
      await call('POST', '/v1/merchants', { mch_id: mchId, name: kind, api_version: apiVersion, refund_notify });
      await call('PUT', `/v1/merchants/${mchId}/credentials`, {
        api_v2_key: v2Key,
        ...(kind === 'v3' && {
          api_v3_key: v3Key,
          wechatpay_public_key_id: serial,
          wechatpay_public_key_pem: publicKey.export({ type: 'spki', format: 'pem' }),
        }),
      });
      const appid = `wxbench${kind}`;
      await call('POST', '/v1/mini_programs', { appid, name: kind, mch_ids: [mchId] });
      const { notify_urls: urls } = await call('GET', `/v1/merchants/${mchId}`);
      const token = /wechat\/([0-9a-f]{32})\//.exec(urls.refund)[1];
      const privateKeyPem = privateKey.export({ type: 'pkcs8', format: 'pem' });
      this.merchants[kind] = { mchId, appid, token, v2Key, v3Key, serial, privateKeyPem, apiVersion };
    }
    this.apiKey = (await call('POST', '/v1/api_keys', { name: 'bench', role: 'operator' })).key;
    await service.end();
  }

  async call(service, method, path, body) {
    const answer = await fetch(`http://127.0.0.1:${service.port}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.adminKey}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const json = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(json)}`);
    return json;
  }

  /** A load generator: `ask` sends it one message and gives its answer. */
  generator() {
    const child = fork(LOAD);
    this.processes.push({ end: () => child.kill() });
    return {
      ask: (message) =>
        new Promise((resolve, reject) => {
          const ended = () => reject(new Error('the load generator ended'));
          child.once('exit', ended);
          child.once('message', (answer) => {
            child.off('exit', ended);
            resolve(answer);
          });
          child.send(message);
        }),
    };
  }

  async close() {
    await Promise.all(this.processes.map((side) => side.end('SIGKILL')));
    await this.postgres?.stop();
    if (this.directory) await rm(this.directory, { recursive: true, force: true });
  }
}
