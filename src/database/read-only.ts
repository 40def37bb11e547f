import pg from 'pg';

/** Statements on one connection. */
export interface Connection {
  query<T extends pg.QueryResultRow>(sql: string, parameters?: readonly unknown[]): Promise<readonly T[]>;
}

const CONNECT_TIMEOUT_MS = 5000;

/**
 * Runs `work` on a connection of its own in a READ ONLY transaction that sees one moment of the database, however long it takes: the
 * role's timeouts do not hold in it. `prepare` runs on the same connection before, for temporary tables. Errors are the driver's.
 */
export async function readOnly<T>(
  url: string,
  work: (connection: Connection) => Promise<T>,
  prepare: (connection: Connection) => Promise<void> = () => Promise.resolve(),
): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  client.on('error', () => undefined);
  await client.connect();
  const connection: Connection = {
    query: async <R extends pg.QueryResultRow>(sql: string, parameters: readonly unknown[] = []) =>
      (await client.query<R>(sql, [...parameters])).rows,
  };
  try {
    await prepare(connection);
    await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await client.query('SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0');
    return await work(connection);
  } finally {
    await client.end();
  }
}
