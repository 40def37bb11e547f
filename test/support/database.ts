import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { UnitOfWork } from '../../src/database/unit-of-work.js';

/** A migrated database of one test file. */
export interface TestDatabase {
  readonly url: string;
  readonly dataSource: DataSource;
  readonly uow: UnitOfWork;
  /** Moves the database clock of the service by an interval such as '1 hour'; '0' puts it back. */
  shiftClock(interval: string): Promise<void>;
  close(): Promise<void>;
}

/** Copies the migrated template; milliseconds. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const server = process.env['TEST_POSTGRES_URL'] ?? '';
  const name = `test_${randomBytes(6).toString('hex')}`;
  await admin(server, `CREATE DATABASE ${name} TEMPLATE template_tuikuan`);
  const url = server.replace(/[^/]+$/, name);
  const dataSource = await new DataSource(dataSourceOptions({ url, namedStatements: true, poolMax: 20 })).initialize();
  return {
    url,
    dataSource,
    uow: new UnitOfWork(dataSource),
    shiftClock: (interval) => shiftClock(dataSource, interval),
    close: async () => {
      await dataSource.destroy();
      await admin(server, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

async function admin(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function shiftClock(dataSource: DataSource, interval: string): Promise<void> {
  await dataSource.query(`CREATE OR REPLACE FUNCTION tuikuan_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() + interval '${interval}' $$`);
}
