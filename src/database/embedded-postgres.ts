import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { chown, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { exists, type Place, placeOf, renameUnlessThere } from './embedded-place.js';
import { isAlive, launch, type Launch, logTail, postmasterOf, shutDown } from './embedded-postmaster.js';

const run = promisify(execFile);

/** A running PostgreSQL of ours. */
export interface EmbeddedPostgres {
  /** With its password: never logged. */
  readonly url: string;
  /** Fast shutdown, unless another process uses the same directory: then the last one to stop does it. */
  stop(): Promise<void>;
}

/** `durable` false switches fsync off, for tests; `log` hears where things are when that is not the directory itself. */
export interface EmbeddedOptions {
  readonly durable?: boolean;
  readonly log?: (message: string) => void;
}

const USER = 'tuikuan';
const DATABASE = 'tuikuan';
/** Recovery after a crash may need a while. */
const START_TIMEOUT_MS = 60_000;
const PAUSE_MS = 50;
/** A port may be taken in the last moment, and orphans of a killed server need a moment to die. */
const LAUNCHES_MAX = 10;
const RELAUNCH_PAUSE_MS = 300;

/**
 * Starts a real PostgreSQL on `directory`, or joins the one that runs there: left behind by a killed process, or shared with another
 * service. It listens on 127.0.0.1 with a password made once and kept there for its owner only. Every user of the directory is
 * noted in `postgres-users/`, so that the last one to stop ends the server. Nothing restarts a server that dies; the service then
 * answers 503 until it is started again. Throws when PostgreSQL cannot run here or does not start, with its last words.
 */
export async function startEmbeddedPostgres(
  directory: string,
  options: EmbeddedOptions = {},
): Promise<EmbeddedPostgres> {
  const home = resolve(directory);
  await mkdir(home, { recursive: true });
  const log = options.log ?? ((): void => undefined);
  const place = await placeOf(home, log);
  const password = await passwordOf(home);
  if (!(await exists(place.cluster))) await initialise(place, password);
  // Noted before the look at what runs: from here on nobody else takes the server for unused.
  const user = noteUser(home);
  try {
    const port = await running(place, password, {
      durable: options.durable ?? true,
      logFile: join(home, 'postgres.log'),
    });
    await createDatabase(urlOf(port, password, 'postgres'));
    return { url: urlOf(port, password, DATABASE), stop: () => stop(home, user, place) };
  } catch (error) {
    await stop(home, user, place);
    throw error;
  }
}

/** The looks and the signal are one step of this process: no newcomer can be noted between them. */
async function stop(home: string, user: string, place: Place): Promise<void> {
  rmSync(user, { force: true });
  if (!usedByOthers(home)) await shutDown(place.cluster);
}

/** The notes of this process; another note with our number is of a dead one that had the same. */
const ours = new Set<string>();

function noteUser(home: string): string {
  const users = join(home, 'postgres-users');
  mkdirSync(users, { recursive: true });
  for (const name of readdirSync(users)) if (!isUser(name)) rmSync(join(users, name), { force: true });
  const name = `${process.pid}-${nonce()}`;
  ours.add(name);
  writeFileSync(join(users, name), '');
  return join(users, name);
}

function usedByOthers(home: string): boolean {
  return readdirSync(join(home, 'postgres-users')).some(isUser);
}

function isUser(name: string): boolean {
  const pid = Number.parseInt(name, 10);
  return pid === process.pid ? ours.has(name) : isAlive(pid);
}

/** One file for all who start at once: whoever links first has made the password. */
async function passwordOf(home: string): Promise<string> {
  const file = join(home, 'postgres-password');
  if (!(await exists(file))) {
    const draft = `${file}-${nonce()}`;
    await writeFile(draft, randomBytes(24).toString('base64url'), { mode: 0o600 });
    await link(draft, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await rm(draft);
  }
  return (await readFile(file, 'utf8')).trim();
}

/** Makes the cluster beside its place and moves it there when it is whole. */
async function initialise({ cluster, binaries, owner }: Place, password: string): Promise<void> {
  const fresh = `${cluster}-${nonce()}`;
  const handover = `${fresh}-password`;
  await mkdir(fresh, { mode: 0o700 });
  try {
    await writeFile(handover, password, { mode: 0o600 });
    if (owner) for (const path of [fresh, handover]) await chown(path, owner.uid, owner.gid);
    const flags = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-instructions'];
    await run(binaries.initdb, [`--pgdata=${fresh}`, `--username=${USER}`, `--pwfile=${handover}`, ...flags], {
      ...owner,
      cwd: '/',
      env: { LC_ALL: 'C' },
    });
    await renameUnlessThere(fresh, cluster);
  } finally {
    await rm(handover, { force: true });
    await rm(fresh, { recursive: true, force: true });
  }
}

/** The port of the server on this cluster, once it takes our password; starts one while none runs. */
async function running(
  place: Place,
  password: string,
  options: { durable: boolean; logFile: string },
): Promise<number> {
  let current: Launch | null = null;
  let launches = 0;
  for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += PAUSE_MS) {
    const server = postmasterOf(place.cluster);
    if (server) {
      if (server.port !== null && (await answers(urlOf(server.port, password, 'postgres')))) return server.port;
    } else if (!current?.running()) {
      if (launches === LAUNCHES_MAX) throw new Error(`PostgreSQL did not start: ${logTail(options.logFile)}`);
      if (launches > 0) await sleep(RELAUNCH_PAUSE_MS);
      launches += 1;
      current = launch(place, await freePort(), options);
    }
    await sleep(PAUSE_MS);
  }
  throw new Error(`PostgreSQL did not start in time: ${logTail(options.logFile)}`);
}

const WRONG_PASSWORD = '28P01';

async function answers(url: string): Promise<boolean> {
  try {
    await withClient(url, (client) => client.query('SELECT 1'));
    return true;
  } catch (cause) {
    if ((cause as { code?: string }).code !== WRONG_PASSWORD) return false;
    throw new Error('The database has another password than the file postgres-password beside it.', { cause });
  }
}

const EXISTS_ALREADY = ['42P04', '23505'];

async function createDatabase(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount) return;
    await client.query(`CREATE DATABASE ${DATABASE}`).catch((error: { code?: string }) => {
      if (!EXISTS_ALREADY.includes(error.code ?? '')) throw error;
    });
  });
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

function urlOf(port: number, password: string, database: string): string {
  return `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`;
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once('error', fail);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function nonce(): string {
  return randomBytes(6).toString('hex');
}
