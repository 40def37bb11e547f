import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import { assert } from '../common/assert.js';
import { isStalePlan } from './database-errors.js';
import { PLANNED_BY_VALUES } from './filters.js';

/** Names already given, by statement text: the statements of this service are few and literal. */
const names = new Map<string, string>();
/** Part of every name; a migration that changes what a statement gives makes all names new. */
let generation = 0;

/** 32 characters, below PostgreSQL's 63 bytes; the same text has the same name on every connection. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) {
    name = createHash('sha256').update(`${generation}:${text}`).digest('base64url').slice(0, 32);
    names.set(text, name);
  }
  return name;
}

/** What TypeORM opens a transaction with. */
const START = 'START TRANSACTION';
const READS = /^\s*(SELECT|WITH)\b/i;
const WRITES = /\b(INSERT|DELETE|MERGE)\b|(?<!FOR |KEY )\bUPDATE\b/i;

const readsOrLocks = (text: string): boolean => READS.test(text) && !WRITES.test(text);

/**
 * A client that never lies about a COMMIT, never goes back to the pool with a question still open, and sends the start of a transaction
 * together with a first statement that reads or locks: one round trip less. Should the start alone fail, nothing has changed.
 */
class CarefulClient extends pg.Client {
  private starting = false;

  constructor(config?: string | pg.ClientConfig) {
    super(config);
    // Between the pool's listener and TypeORM's there is a moment without any, and an error that nobody listens to ends the process. A
    // client that failed so refuses its next query, and the pool drops it.
    this.on('error', () => undefined);
  }

  // pg's overloads cannot be restated in a subclass; TypeORM uses the form that gives a promise, every other passes through.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  override query(config: any, values?: any, callback?: any): any {
    if (config === START) {
      this.starting = true;
      return Promise.resolve({ command: 'START', rows: [] });
    }
    if (this.starting) {
      this.starting = false;
      return readsOrLocks(String(config))
        ? this.started(config, values)
        : super.query(START).then(() => this.query(config, values) as Promise<unknown>);
    }
    const result: unknown = super.query(this.prepared(config, values) as never, values as never, callback as never);
    return result instanceof Promise ? this.watched(config, result as Promise<pg.QueryResult>) : result;
  }

  private async started(config: unknown, values: unknown): Promise<unknown> {
    this.stream.cork();
    const start = super.query(START);
    const first = this.query(config, values) as Promise<unknown>;
    this.stream.uncork();
    const [, result] = await Promise.all([start, first]);
    return result;
  }

  /** What is sent for a text and its values. */
  protected prepared(config: unknown, _values: unknown): unknown {
    return config;
  }

  private async watched(config: unknown, answer: Promise<pg.QueryResult>): Promise<pg.QueryResult> {
    try {
      const result = await answer;
      // PostgreSQL answers ROLLBACK, without an error, when a statement failed and somebody swallowed that.
      if (config === 'COMMIT')
        assert(result.command === 'COMMIT', 'a transaction with a failed statement is not committed');
      return result;
    } catch (error) {
      if (isStalePlan(error)) forgetNames();
      throw error;
    }
  }

  private get stream(): Duplex {
    return (this as unknown as { connection: { stream: Duplex } }).connection.stream;
  }
}

/**
 * Names each statement of ours by its text, so that PostgreSQL parses and plans it once per connection; TypeORM names none. What comes
 * without a list of values (BEGIN, COMMIT) stays as it is, and so does what is planned by its values.
 */
class NamingClient extends CarefulClient {
  protected override prepared(config: unknown, values: unknown): unknown {
    const ours = typeof config === 'string' && Array.isArray(values);
    return ours && !config.startsWith(PLANNED_BY_VALUES) ? { name: nameOf(config), text: config } : config;
  }
}

function forgetNames(): void {
  generation += 1;
  names.clear();
}

/** What TypeORM takes as its `driver`: pg, with named statements unless a transaction-mode pooler stands between. */
export function postgresDriver(namedStatements: boolean): unknown {
  const Client = namedStatements ? NamingClient : CarefulClient;
  class Pool extends pg.Pool {
    constructor(options: pg.PoolConfig) {
      super({ ...options, Client });
    }
  }
  return { ...pg, Client, Pool };
}

const CONNECT_TIMEOUT_MS = 2000;
const QUERY_TIMEOUT_MS = 5000;
const KEEPALIVE_DELAY_MS = 10_000;
const CONNECTION_LIFE_SECONDS = 1800;

/** Options of every pool of ours: each wait has an end, and no session state that a transaction-mode pooler would break. */
export function poolOptions(max: number): pg.PoolConfig {
  return {
    max,
    // Also: after a reply that did not come pg closes the connection, so that nothing else is asked on it and the pool opens another.
    pipeline: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS,
    maxLifetimeSeconds: Math.round(CONNECTION_LIFE_SECONDS * (0.8 + Math.random() * 0.4)),
  };
}
