import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { placeOf } from '../../../src/database/embedded-place.js';
import { launch, logTail, postmasterOf } from '../../../src/database/embedded-postmaster.js';
import { startEmbeddedPostgres } from '../../../src/database/embedded-postgres.js';
import { migrateUp } from '../../../src/database/migrations.js';
import { reasonOf } from './campaign.js';

const run = promisify(execFile);
const START_SECONDS = 30;
const FILLER = 'filler';
const FILLER_BYTES_MORE = 16 * 2 ** 20;
/** A megabyte of transaction log, which belongs to no table. */
const FILL_LOG_SQL = `SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1048576))`;
const LOG_FILLS_MAX = 500;

/** `diskMb`: it lives on a disk of its own that is so small, where this machine lets us mount one. */
export interface OwnPostgresOptions {
  readonly diskMb?: number;
}

/** A PostgreSQL of one campaign, with fsync, that may be broken. */
export class OwnPostgres {
  private constructor(
    private readonly home: string,
    /** With the superuser's name and password. */
    readonly url: string,
    /** Null: the disk is small; else why there is none. */
    readonly noSmallDisk: string | null,
    private readonly parts: { readonly place: Awaited<ReturnType<typeof placeOf>>; readonly port: number },
  ) {}

  private get logFile(): string {
    return join(this.home, 'postgres.log');
  }

  /** Started, with the migrated template that every stack copies. */
  static async start({ diskMb }: OwnPostgresOptions = {}): Promise<OwnPostgres> {
    const home = await mkdtemp(join(tmpdir(), 'tuikuan-faults-'));
    const noSmallDisk = diskMb === undefined ? 'none was asked for' : await mountAt(home, diskMb);
    await chmod(home, 0o755);
    const { url } = await startEmbeddedPostgres(home);
    const place = await placeOf(home, () => undefined);
    const postgres = new OwnPostgres(home, url, noSmallDisk, { place, port: Number(new URL(url).port) });
    await postgres.sql('CREATE DATABASE template_tuikuan');
    await migrateUp(url.replace(/[^/]+$/, 'template_tuikuan'));
    return postgres;
  }

  /** Statements on a connection of their own. */
  async sql(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  }

  /** Ends it at once, as `pg_ctl -m immediate` does: no checkpoint, no word to anyone. Resolves when it is gone. */
  async endAtOnce(): Promise<void> {
    const server = postmasterOf(this.parts.place.cluster);
    if (server) process.kill(server.pid, 'SIGQUIT');
    while (postmasterOf(this.parts.place.cluster)) await sleep(5);
  }

  /** Starts it on the same port unless it runs, and waits until it answers; false: it had restarted by itself, or never ended. */
  async ensureRunning(): Promise<boolean> {
    let launched = false;
    for (let waitedMs = 0; waitedMs < START_SECONDS * 1000; waitedMs += 50) {
      if (!postmasterOf(this.parts.place.cluster)) {
        launch(this.parts.place, this.parts.port, { durable: true, logFile: this.logFile });
        launched = true;
      }
      if (await this.sql('SELECT 1').then(Boolean.bind(null, true), () => false)) return launched;
      await sleep(50);
    }
    throw new Error(`PostgreSQL does not answer: ${logTail(this.logFile)}`);
  }

  /** A setting of the whole server, at once. */
  async set(name: string, value: string): Promise<void> {
    await this.sql(`ALTER SYSTEM SET ${name} = '${value}'`);
    await this.sql('SELECT pg_reload_conf()');
  }

  /** How often its log says this. */
  async logged(text: string): Promise<number> {
    return (await readFile(this.logFile, 'utf8')).split(text).length - 1;
  }

  /** Fills the small disk to the last byte. */
  async fillDisk(): Promise<void> {
    const { bavail, bsize } = await statfs(this.home);
    // Others free and take place meanwhile: only the refusal says that it is full.
    const more = Buffer.alloc(bavail * bsize + FILLER_BYTES_MORE, 1);
    await writeFile(join(this.home, FILLER), more).then(
      () => Promise.reject(new Error('the disk is not full')),
      (error: NodeJS.ErrnoException) => (error.code === 'ENOSPC' ? undefined : Promise.reject(error)),
    );
  }

  /** Writes its transaction log on until there is no place for more, and the server ends itself; how often that came to pass, 0 or 1. */
  async fillLog(): Promise<number> {
    for (let times = 0; times < LOG_FILLS_MAX; times += 1) {
      const written = await this.sql(FILL_LOG_SQL).then(Boolean.bind(null, true), () => false);
      if (!written) return 1;
    }
    return 0;
  }

  async freeDisk(): Promise<void> {
    await rm(join(this.home, FILLER), { force: true });
  }

  async close(): Promise<void> {
    await this.endAtOnce();
    if (this.noSmallDisk === null) await run('umount', ['-l', this.home]);
    await rm(this.home, { recursive: true, force: true });
  }
}

/** Null: a tmpfs of that size is there; else why not. */
function mountAt(directory: string, sizeMb: number): Promise<string | null> {
  return run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMb}m`, 'tmpfs', directory]).then(
    () => null,
    (error: unknown) => `no tmpfs can be mounted (${reasonOf(error)})`,
  );
}
