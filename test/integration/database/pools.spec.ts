import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { DataSource } from 'typeorm';
import { SettingsModule } from '../../../src/config/settings.module.js';
import { loadSettings, type Settings } from '../../../src/config/settings.js';
import { dataSourceOptions } from '../../../src/database/data-source.js';
import { DatabaseModule, poolSizes } from '../../../src/database/database.module.js';
import { UnitOfWork, WorkerUnitOfWork } from '../../../src/database/unit-of-work.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.close());

@Injectable()
class Both {
  constructor(
    readonly requests: UnitOfWork,
    readonly workers: WorkerUnitOfWork,
  ) {}
}

@Module({ providers: [Both] })
class Business {}

function settingsFor(role: Settings['role']): Settings {
  const key = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7)).toString('base64');
  return loadSettings({
    DATABASE_URL: database.url,
    DATABASE_POOL_MAX: '5',
    ROLE: role,
    PUBLIC_URL: 'https://refunds.example.com',
    MASTER_KEYS: `k:${key}`,
    MASTER_KEY_ACTIVE: 'k',
    ADMIN_API_KEY: 'a'.repeat(30),
  });
}

async function withService<T>(role: Settings['role'], work: (both: Both) => Promise<T>): Promise<T> {
  const imports = [SettingsModule.with(settingsFor(role)), DatabaseModule.connectedTo(database.url, role), Business];
  const app = await Test.createTestingModule({ imports }).compile();
  await app.init();
  try {
    return await work(app.get(Both));
  } finally {
    await app.close();
  }
}

describe('the two pools', () => {
  it.each([
    ['all', 10, { http: 6, worker: 4 }],
    ['all', 2, { http: 1, worker: 1 }],
    ['all', 5, { http: 3, worker: 2 }],
    ['api', 10, { http: 10, worker: 0 }],
    ['worker', 10, { http: 2, worker: 8 }],
    ['worker', 2, { http: 1, worker: 1 }],
  ] as const)('of role %s share %i connections as %j', (role, max, sizes) => {
    expect(poolSizes(role, max)).toEqual(sizes);
  });

  it('are apart: workers go on while requests hold every connection of theirs', async () => {
    await withService('all', async ({ requests, workers }) => {
      const free: (() => void)[] = [];
      const held = [1, 2, 3].map(() => requests.run(() => new Promise<void>((go) => free.push(go))));
      while (free.length < 3) await new Promise((go) => setImmediate(go));
      await expect(requests.query('SELECT 1', [])).rejects.toMatchObject({ status: 503 });
      expect(await workers.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
      for (const go of free) go();
      await Promise.all(held);
    });
  });

  it('are one in role api, where no worker runs', async () => {
    await withService('api', ({ requests, workers }) => Promise.resolve(expect(workers).toBe(requests)));
  });

  it('end with the service', async () => {
    await withService('all', ({ requests }) => requests.query('SELECT 1', []));
    const others = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    const left = async (): Promise<number> => (await database.uow.query(others, [])).length;
    for (let tries = 0; tries < 50 && (await left()) > 0; tries += 1) await new Promise((go) => setTimeout(go, 20));
    expect(await left()).toBe(0);
  });
});

describe('named statements', () => {
  const PREPARED = 'SELECT name, statement FROM pg_prepared_statements';

  async function preparedBy(namedStatements: boolean): Promise<string[]> {
    const options = dataSourceOptions({ url: database.url, namedStatements, poolMax: 1 });
    const source = await new DataSource(options).initialize();
    try {
      const uow = new UnitOfWork(source);
      for (const n of [1, 2, 3]) await uow.query('SELECT $1::int AS n', [n]);
      await uow.query('SELECT 4 AS n', []);
      await uow.run((tx) => tx.query('SELECT $1::text', ['in a transaction']));
      const rows = await uow.query<{ name: string; statement: string }>(PREPARED, []);
      expect(rows.every(({ name }) => name.length <= 63)).toBe(true);
      return rows.map(({ statement }) => statement).sort();
    } finally {
      await source.destroy();
    }
  }

  it('are ours, each prepared once, and neither BEGIN nor COMMIT', async () => {
    expect(await preparedBy(true)).toEqual(['SELECT $1::int AS n', 'SELECT $1::text', 'SELECT 4 AS n', PREPARED]);
  });

  it('are none behind a transaction-mode pooler', async () => {
    expect(await preparedBy(false)).toEqual([]);
  });

  it('leave nothing set in the session that a pooler would lose', async () => {
    const [row] = await database.uow.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_settings WHERE source = 'session'`,
      [],
    );
    expect(row?.n).toBe(0);
  });
});
