import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { setRoleSettingsOf } from '../../src/database/migrations.js';
import { UnitOfWork } from '../../src/database/unit-of-work.js';

const POOL_MAX = 20;

/** A migrated database of one test file, with the service's own settings. */
export interface TestDatabase {
  readonly url: string;
  readonly dataSource: DataSource;
  readonly uow: UnitOfWork;
  /** Moves the database clock of the service by an interval such as '1 hour'; '0' puts it back. */
  shiftClock(sqlInterval: string): Promise<void>;
  close(): Promise<void>;
}

/** A copy of the migrated template, in about 50 ms, with at most so many connections. */
export async function createTestDatabase(poolMax = POOL_MAX): Promise<TestDatabase> {
  const { url, drop } = await createEmptyDatabase('template_tuikuan');
  await setRoleSettingsOf(url);
  return connected(url, drop, poolMax);
}

/** What pg_stat_activity calls the connections of a second instance; those of the first have no name. */
export const SECOND = 'second';

/** Connections of a second instance to a database that lives on when they are closed. */
export function sameDatabase({ url }: TestDatabase): Promise<TestDatabase> {
  return connected(`${url}?application_name=${SECOND}`, () => Promise.resolve(), POOL_MAX);
}

async function connected(url: string, drop: () => Promise<void>, poolMax: number): Promise<TestDatabase> {
  const dataSource = await new DataSource(dataSourceOptions({ url, namedStatements: true, poolMax })).initialize();
  return {
    url,
    dataSource,
    uow: new UnitOfWork(dataSource),
    shiftClock: (sqlInterval) => shiftClock(dataSource, sqlInterval),
    close: async () => {
      await dataSource.destroy();
      await drop();
    },
  };
}

/** A database without any table of ours, unless another template is named. */
export async function createEmptyDatabase(template = 'template0'): Promise<{ url: string; drop: () => Promise<void> }> {
  const server = process.env['TEST_POSTGRES_URL'] ?? '';
  const name = `test_${randomBytes(6).toString('hex')}`;
  await runSql(server, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: server.replace(/[^/]+$/, name),
    drop: () => runSql(server, `DROP DATABASE ${name} WITH (FORCE)`),
  };
}

/** Statements on a connection of their own. */
export async function runSql(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function shiftClock(dataSource: DataSource, sqlInterval: string): Promise<void> {
  await dataSource.query(`CREATE OR REPLACE FUNCTION tuikuan_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() + interval '${sqlInterval}' $$`);
}
