import { AppError } from '../../../src/common/problem.js';
import { assertOutsideTransaction } from '../../../src/database/unit-of-work.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.close());

describe('the unit of work', () => {
  it('runs the whole closure again after a deadlock or a serialization failure, and commits once', async () => {
    for (const sqlstate of ['40001', '40P01', '55P03']) {
      let runs = 0;
      const result = await database.uow.run(async (tx) => {
        runs += 1;
        if (runs < 3) await tx.query(`DO $$ BEGIN RAISE EXCEPTION 'forced' USING ERRCODE = '${sqlstate}'; END $$`);
        return tx.query<{ one: number }[]>('SELECT 1 AS one');
      });
      expect([sqlstate, runs, result]).toEqual([sqlstate, 3, [{ one: 1 }]]);
    }
  });

  it('gives up after three retries and says that the service is not ready', async () => {
    let runs = 0;
    const work = database.uow.run(async (tx) => {
      runs += 1;
      await tx.query(`DO $$ BEGIN RAISE EXCEPTION 'forced' USING ERRCODE = '55P03'; END $$`);
    });
    await expect(work).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    expect(runs).toBe(4);
  });

  it('refuses an outgoing call while a transaction is open, and allows it afterwards', async () => {
    await expect(database.uow.run(() => Promise.resolve(assertOutsideTransaction()))).rejects.toThrow('no transaction');
    expect(() => assertOutsideTransaction()).not.toThrow();
  });

  it('turns a killed connection into a refusal that may be repeated, and lives on', async () => {
    const killed = database.uow.run(async (tx) => {
      const [row] = await tx.query<{ pid: number }[]>('SELECT pg_backend_pid() AS pid');
      await database.dataSource.query('SELECT pg_terminate_backend($1)', [row?.pid]);
      await tx.query('SELECT pg_sleep(0.2)');
    });
    await expect(killed).rejects.toBeInstanceOf(AppError);
    await expect(database.uow.query('SELECT 1 AS one', [])).resolves.toEqual([{ one: 1 }]);
  });

  it('gives rows for a statement that updates', async () => {
    await expect(
      database.uow.query(`UPDATE merchant SET name = name WHERE mch_id = $1 RETURNING mch_id`, ['none']),
    ).resolves.toEqual([]);
  });
});
