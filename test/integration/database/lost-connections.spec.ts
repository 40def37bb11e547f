import type pg from 'pg';
import { isLost } from '../../../src/database/database-errors.js';
import { postgresDriver } from '../../../src/database/postgres-driver.js';
import { runSql } from '../../support/database.js';

it.each([true, false])(
  'a connection killed while nobody listens does not end the process (names: %s)',
  async (named) => {
    const { Client } = postgresDriver(named) as { Client: typeof pg.Client };
    const url = process.env['TEST_POSTGRES_URL'] ?? '';
    const client = new Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const ended = new Promise<void>((resolve) => client.once('end', resolve));
    await runSql(url, `SELECT pg_terminate_backend(${rows[0]?.pid})`);
    await ended;
    expect(await client.query('SELECT 1').catch(isLost)).toBe(true);
  },
);
