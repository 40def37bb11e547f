import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { placeOf } from '../../../src/database/embedded-place.js';
import { launch, logTail, postmasterOf } from '../../../src/database/embedded-postmaster.js';
import { startEmbeddedPostgres } from '../../../src/database/embedded-postgres.js';
import { migrateUp } from '../../../src/database/migrations.js';

const run = promisify(execFile);
const START_SECONDS = 30;
const FILLER = 'filler';

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
    const logFile = join(this.home, 'postgres.log');
    for (let waitedMs = 0; waitedMs < START_SECONDS * 1000; waitedMs += 50) {
      if (!postmasterOf(this.parts.place.cluster)) {
        launch(this.parts.place, this.parts.port, { durable: true, logFile });
        launched = true;
      }
      if (await this.sql('SELECT 1').then(Boolean.bind(null, true), () => false)) return launched;
      await sleep(50);
    }
    throw new Error(`PostgreSQL does not answer: ${logTail(logFile)}`);
  }

  /** Fills the small disk to the last byte. */
  async fillDisk(): Promise<void> {
    const { bavail, bsize } = await statfs(this.home);
    await writeFile(join(this.home, FILLER), Buffer.alloc(bavail * bsize, 1));
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
    (error: unknown) => `no tmpfs can be mounted (${(error as Error).message.trim().split('\n').at(-1)})`,
  );
}
