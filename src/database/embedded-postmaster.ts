import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Place } from './embedded-place.js';

const LOG_MAX_BYTES = 1_000_000;
const LOG_TAIL_LINES = 5;
const PAUSE_MS = 20;
/** After this a fast shutdown is made an immediate one, from which PostgreSQL recovers at the next start. */
const FAST_SHUTDOWN_MS = 10_000;

/** PostgreSQL's main process, as its pid file describes it. */
export interface Postmaster {
  readonly pid: number;
  /** Null while it starts. */
  readonly port: number | null;
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Neither statements nor row values in the log.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};
const FAST_SETTINGS = {
  // Every test file has pools of its own.
  max_connections: 300,
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
};

/** How one launch went. */
export interface Launch {
  readonly running: () => boolean;
}

/**
 * Starts PostgreSQL on a port; it is up when its pid file says so and it answers. It has its own session, so that a Ctrl-C meant for
 * the service does not end the database first, and none of our environment. Its words go to `logFile`.
 */
export function launch(place: Place, port: number, options: { durable: boolean; logFile: string }): Launch {
  const settings = Object.entries({ ...SETTINGS, ...(options.durable ? {} : FAST_SETTINGS) });
  const flags = settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const log = openLog(options.logFile);
  const child = spawn(place.binaries.postgres, ['-D', place.cluster, '-p', String(port), ...flags], {
    ...place.owner,
    cwd: '/',
    env: { LC_ALL: 'C' },
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  return { running: watch(child) };
}

function watch(child: ChildProcess): () => boolean {
  let ended = false;
  child.once('error', () => (ended = true));
  child.once('exit', () => (ended = true));
  return () => !ended;
}

function openLog(file: string): number {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  return openSync(file, size > LOG_MAX_BYTES ? 'w' : 'a', 0o600);
}

/** The last lines PostgreSQL wrote. */
export function logTail(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim().split('\n').slice(-LOG_TAIL_LINES).join(' · ');
  } catch {
    return '';
  }
}

/**
 * The PostgreSQL that runs on `cluster`; null when there is none. A pid file left behind whose number now belongs to a program of
 * another kind is removed, since PostgreSQL would take that program for itself and not start.
 */
export function postmasterOf(cluster: string): Postmaster | null {
  const file = join(cluster, 'postmaster.pid');
  const lines = readOrNull(file)?.split('\n');
  const pid = Number(lines?.[0]);
  if (!lines || !Number.isInteger(pid) || pid <= 0 || signal(pid, 0) !== null) return null;
  if (!isPostgres(pid)) {
    rmSync(file, { force: true });
    return null;
  }
  const port = Number(lines[3]);
  return { pid, port: Number.isInteger(port) && port > 0 ? port : null };
}

/** False only where it can be seen: a dead process not yet collected has no command. */
function isPostgres(pid: number): boolean {
  const command = readOrNull(`/proc/${pid}/cmdline`);
  return command === null || basename(command.split('\0')[0] ?? '') === 'postgres';
}

/** Fast shutdown: open transactions are rolled back, everything committed is kept. Resolves when the server is gone. */
export async function shutDown(cluster: string): Promise<void> {
  const server = postmasterOf(cluster);
  if (!server) return;
  signal(server.pid, 'SIGINT');
  for (let waitedMs = 0; postmasterOf(cluster)?.pid === server.pid; waitedMs += PAUSE_MS) {
    if (waitedMs === FAST_SHUTDOWN_MS) signal(server.pid, 'SIGQUIT');
    await sleep(PAUSE_MS);
  }
}

/** True while a process with this number exists, whoever owns it. */
export function isAlive(pid: number): boolean {
  return signal(pid, 0) !== 'ESRCH';
}

/** Null when the signal was delivered, else why not. */
function signal(pid: number, name: NodeJS.Signals | 0): string | null {
  try {
    process.kill(pid, name);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
