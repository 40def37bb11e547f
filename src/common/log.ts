import type { LoggerService } from '@nestjs/common';
import { systemClock } from './clock.js';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

type Fields = Readonly<Record<string, unknown>>;

let threshold: LogLevel = 'info';
let stream: NodeJS.WriteStream = process.stdout;
let gathered = '';
const incidents = new Map<string, number>();

/** Lines below this level are not written. */
export function setLogLevel(level: LogLevel): void {
  threshold = level;
}

/** For tools whose standard output is their answer: lines go to standard error from now on. */
export function logToStandardError(): void {
  stream = process.stderr;
}

/** Incidents since the start by code, for /metrics and tests. */
export function incidentCounts(): ReadonlyMap<string, number> {
  return incidents;
}

/**
 * A contradiction a person must hear of: one error line with a code and one counter. Fields are ids and amounts, never secrets
 * or bodies.
 */
export function incident(code: string, fields: Fields): void {
  incidents.set(code, (incidents.get(code) ?? 0) + 1);
  write('error', 'incident', { incident: code, ...fields });
}

/** The service's log: one JSON line per call on standard output, unless a tool has moved it; never throws. An Error in `cause` becomes its name, message and cause. */
export const log = {
  error: (message: string, fields: Fields = {}): void => write('error', message, fields),
  warn: (message: string, fields: Fields = {}): void => write('warn', message, fields),
  info: (message: string, fields: Fields = {}): void => write('info', message, fields),
  debug: (message: string, fields: Fields = {}): void => write('debug', message, fields),
};

function write(level: LogLevel, message: string, fields: Fields): void {
  if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(threshold)) return;
  const line = `${lineOf(level, message, fields)}\n`;
  if (level === 'error' || level === 'warn') {
    flush();
    stream.write(line);
    return;
  }
  if (gathered === '') setImmediate(flush);
  gathered += line;
}

/** One write for the ordinary lines of one turn of the event loop: a system call for each was an eighth of what a request costs. */
function flush(): void {
  if (gathered === '') return;
  const lines = gathered;
  gathered = '';
  stream.write(lines);
}
process.on('exit', flush);

function lineOf(level: LogLevel, message: string, fields: Fields): string {
  const head = { time: new Date(systemClock.wallMs()).toISOString(), level, message };
  try {
    return JSON.stringify({ ...head, ...fields }, printable);
  } catch {
    return JSON.stringify({ ...head, unprintable: Object.keys(fields) });
  }
}

/** What may stand in a line: errors by name and text, binary not at all. */
function printable(_key: string, value: unknown): unknown {
  if (value instanceof Error) {
    const { name, message, cause, stack } = value;
    const code = 'code' in value ? value.code : undefined;
    return { name, message, code, cause, ...(threshold === 'trace' && { stack }) };
  }
  if (typeof value === 'bigint') return value.toString();
  if (ArrayBuffer.isView(value)) return '[bytes]';
  if (value !== null && typeof value === 'object' && (value as { type?: unknown }).type === 'Buffer') return '[bytes]';
  return value;
}

/** Nest's own lines through the same log. */
export const nestLogger: LoggerService = {
  log: (message: unknown, context?: unknown) => log.debug(String(message), { context }),
  error: (message: unknown, ...more: unknown[]) => log.error(String(message), { context: more.at(-1) }),
  warn: (message: unknown, context?: unknown) => log.warn(String(message), { context }),
  debug: (message: unknown, context?: unknown) => log.debug(String(message), { context }),
  verbose: (message: unknown, context?: unknown) => log.debug(String(message), { context }),
};
