import type pg from 'pg';
import { withClient } from './client.js';

/** Statements on one connection. */
export interface Connection {
  query<T extends pg.QueryResultRow>(sql: string, parameters?: readonly unknown[]): Promise<readonly T[]>;
}

/**
 * Runs `work` on a connection of its own in a READ ONLY transaction that sees one moment of the database, however long it takes: the
 * role's timeouts do not hold in it. `prepare` begins it, while it may still make temporary tables: outside of it a pooler in transaction
 * mode gives them to others. Nothing is committed. Errors are the driver's.
 */
export async function readOnly<T>(
  url: string,
  work: (connection: Connection) => Promise<T>,
  prepare: (connection: Connection) => Promise<void> = () => Promise.resolve(),
): Promise<T> {
  return withClient(url, async (client) => {
    const connection: Connection = {
      query: async <R extends pg.QueryResultRow>(sql: string, parameters: readonly unknown[] = []) =>
        (await client.query<R>(sql, [...parameters])).rows,
    };
    await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await client.query('SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0');
    await prepare(connection);
    await client.query('SET TRANSACTION READ ONLY');
    return work(connection);
  });
}
