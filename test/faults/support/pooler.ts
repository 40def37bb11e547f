import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../../e2e/support/stack.js';
import { reasonOf } from './campaign.js';

const PGBOUNCER = '/usr/sbin/pgbouncer';
const INSTALL_TIMEOUT_MS = 30_000;
const START_MS = 5000;
const run = promisify(execFile);

/** Null: Debian's pgbouncer is here, or could be installed; else why not. */
export async function noPooler(): Promise<string | null> {
  if (existsSync(PGBOUNCER)) return null;
  const env = { PATH: process.env['PATH'], DEBIAN_FRONTEND: 'noninteractive' };
  const words = ['install', '-y', '--no-install-recommends', 'pgbouncer'];
  const failure = await run('apt-get', words, { env, timeout: INSTALL_TIMEOUT_MS }).then(
    () => 'the package does not hold it',
    reasonOf,
  );
  return existsSync(PGBOUNCER) ? null : `there is no ${PGBOUNCER} and it cannot be installed (${failure})`;
}

/** pgbouncer in transaction mode before a PostgreSQL: a transaction has a connection of the database, a session has none. */
export class Pooler {
  private child: ChildProcess | null = null;

  private constructor(
    private readonly directory: string,
    /** The database behind it, reached through it. */
    readonly url: string,
  ) {}

  /** Started before the database named by `url`, on which it opens at most so many connections. */
  static async before(url: string, connections: number): Promise<Pooler> {
    const { hostname, port: behind, username, password } = new URL(url);
    const directory = await mkdtemp(join(tmpdir(), 'tuikuan-pooler-'));
    await chmod(directory, 0o755);
    const through = new URL(url);
    through.port = String(await freePort());
    const settings = {
      listen_addr: hostname,
      listen_port: through.port,
      unix_socket_dir: '',
      auth_type: 'scram-sha-256',
      auth_file: join(directory, 'users'),
      admin_users: username,
      pool_mode: 'transaction',
      default_pool_size: connections,
      max_client_conn: 200,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    const target = `[databases]\n* = host=${hostname} port=${behind}\n[pgbouncer]\n`;
    await writeFile(join(directory, 'ini'), `${target}${lines.join('\n')}\n`);
    await writeFile(join(directory, 'users'), `"${username}" "${password}"\n`);
    const pooler = new Pooler(directory, through.href);
    await pooler.start();
    return pooler;
  }

  /** Starts it on its port and waits until it answers. */
  async start(): Promise<void> {
    const asOther = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
    this.child = spawn(PGBOUNCER, ['-q', ...asOther, join(this.directory, 'ini')], { stdio: 'ignore' });
    for (let waitedMs = 0; waitedMs < START_MS; waitedMs += 20) {
      if ((await this.clients().catch(() => -1)) >= 0) return;
      await sleep(20);
    }
    throw new Error('pgbouncer does not answer');
  }

  /** Connections that the service has to it. */
  async clients(): Promise<number> {
    const console = new pg.Client({ connectionString: this.url.replace(/[^/]+$/, 'pgbouncer') });
    console.on('error', () => undefined);
    await console.connect();
    try {
      const { rows } = await console.query<{ database: string; application_name: string }>('SHOW CLIENTS');
      return rows.filter(({ application_name: name }) => name === 'service').length;
    } finally {
      await console.end();
    }
  }

  /** Ends it at once; what it had open is broken off. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async close(): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}
