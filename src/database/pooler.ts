import type pg from 'pg';
import { withClient } from './client.js';

/** What to do where a pooler and named statements meet. */
export const POOLER_ADVICE =
  'set DATABASE_NAMED_STATEMENTS=false unless the pooler keeps sessions or prepared statements';

/**
 * True when a pooler answers at `url` and not PostgreSQL itself: the number that the connection was given is then not that of the
 * process which works for it. Whether it pools by transactions cannot be seen. Errors are the driver's.
 */
export async function behindPooler(url: string): Promise<boolean> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return (client as pg.Client & { readonly processID: number | null }).processID !== rows[0]?.pid;
  });
}
