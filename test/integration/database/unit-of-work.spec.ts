import { createServer, connect, type Server, type Socket } from 'node:net';
import { DataSource } from 'typeorm';
import { AppError } from '../../../src/common/problem.js';
import { dataSourceOptions } from '../../../src/database/data-source.js';
import {
  assertOutsideTransaction,
  constraintOf,
  DatabaseUnavailable,
  isLockTimeout,
  UnitOfWork,
} from '../../../src/database/unit-of-work.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.dataSource.query(`
    CREATE TABLE tally (id int PRIMARY KEY, n int NOT NULL CHECK (n < 100));
    INSERT INTO tally SELECT i, 0 FROM generate_series(1, 20) i;
    CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
    CREATE TABLE deadly (n int);
    CREATE CONSTRAINT TRIGGER deadly AFTER INSERT ON deadly DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()`);
});
afterAll(() => database.close());

async function tally(id: number): Promise<number | undefined> {
  return (await database.uow.query<{ n: number }>('SELECT n FROM tally WHERE id = $1', [id]))[0]?.n;
}

const raise = (sqlstate: string): string =>
  `DO $$ BEGIN RAISE EXCEPTION 'forced' USING ERRCODE = '${sqlstate}'; END $$`;
const count = 'UPDATE tally SET n = n + 1 WHERE id = $1';

/** A unit of work on a pool of its own, behind `port` if given. */
async function withPool<T>(options: { max: number; port?: number }, work: (uow: UnitOfWork) => Promise<T>): Promise<T> {
  const url = new URL(database.url);
  if (options.port !== undefined) url.port = String(options.port);
  const source = new DataSource(dataSourceOptions({ url: url.href, namedStatements: true, poolMax: options.max }));
  await source.initialize();
  try {
    return await work(new UnitOfWork(source));
  } finally {
    await source.destroy();
  }
}

describe('a unit of work', () => {
  it.each(['40001', '40P01', '55P03'])('is done again as a whole after %s, and commits once', async (sqlstate) => {
    const before = (await tally(1)) ?? 0;
    let runs = 0;
    const result = await database.uow.run(async (tx) => {
      runs += 1;
      await tx.query(count, [1]);
      if (runs < 4) await tx.query(raise(sqlstate));
      return tx.query<{ one: number }[]>('SELECT 1 AS one');
    });
    expect({ runs, result }).toEqual({ runs: 4, result: [{ one: 1 }] });
    expect(await tally(1)).toBe(before + 1);
  });

  it.each(['40001', '40P01', '55P03'])(
    'is given up after three retries of %s, as a refusal that may be repeated',
    async (sqlstate) => {
      let runs = 0;
      const work = database.uow.run(async (tx) => {
        runs += 1;
        await tx.query(raise(sqlstate));
      });
      await expect(work).rejects.toMatchObject({ code: 'temporarily_unavailable', status: 503 });
      expect(runs).toBe(4);
    },
  );

  it('survives two that lock the same rows in opposite order', async () => {
    const met: (() => void)[] = [];
    const meet = (): Promise<void> =>
      new Promise((go) => {
        met.push(go);
        if (met.length >= 2) for (const free of met) free();
      });
    const crossed = (first: number, second: number): Promise<unknown> =>
      database.uow.run(async (tx) => {
        await tx.query(count, [first]);
        await meet();
        await tx.query(count, [second]);
      });
    await Promise.all([crossed(2, 3), crossed(3, 2)]);
    expect([await tally(2), await tally(3)]).toEqual([2, 2]);
  });

  it('is not done again after a refusal, and leaves nothing behind', async () => {
    let runs = 0;
    const refused = database.uow.run(async (tx) => {
      runs += 1;
      await tx.query(count, [4]);
      throw new AppError('order_closed', 'no');
    });
    await expect(refused).rejects.toMatchObject({ code: 'order_closed' });
    expect([runs, await tally(4)]).toEqual([1, 0]);
  });

  it('names the broken constraint to its caller', async () => {
    const broken = (work: Promise<unknown>): Promise<string | null> => work.then(() => null, constraintOf);
    expect(await broken(database.uow.run((tx) => tx.query('INSERT INTO tally VALUES (1, 0)')))).toBe('tally_pkey');
    expect(await broken(database.uow.query('UPDATE tally SET n = $1 WHERE id = 5', [100]))).toBe('tally_n_check');
    expect(constraintOf(new Error('other'))).toBeNull();
  });

  it('does not report a commit when a failed statement was swallowed', async () => {
    const swallowed = database.uow.run(async (tx) => {
      await tx.query(count, [6]);
      await tx.query('SELECT 1 / 0').catch(() => undefined);
    });
    await expect(swallowed).rejects.toThrow('failed statement');
    expect(await tally(6)).toBe(0);
  });

  it('refuses an outgoing call while its transaction is open, also when it is retried, and allows it afterwards', async () => {
    let runs = 0;
    const refused = database.uow.run(async (tx) => {
      runs += 1;
      if (runs === 1) await tx.query(raise('40001'));
      assertOutsideTransaction();
    });
    await expect(refused).rejects.toMatchObject({ name: 'BrokenInvariant' });
    expect(() => assertOutsideTransaction()).not.toThrow();
  });

  it('allows an outgoing call that it set off but that begins after its end', async () => {
    let begin = (): void => undefined;
    let later: Promise<void> = Promise.resolve();
    await database.uow.run(() => {
      later = new Promise<void>((go) => (begin = go)).then(assertOutsideTransaction);
      return Promise.resolve();
    });
    begin();
    await expect(later).resolves.toBeUndefined();
  });

  it('is not opened inside another one', async () => {
    await expect(database.uow.run(() => database.uow.query('SELECT 1', []))).rejects.toThrow('inside another');
    await expect(database.uow.run(() => database.uow.run(() => Promise.resolve()))).rejects.toThrow('inside another');
  });
});

describe('a single statement', () => {
  it('gives its rows, whatever it does', async () => {
    expect(await database.uow.query('SELECT $1::int AS id', [1])).toEqual([{ id: 1 }]);
    expect(await database.uow.query('UPDATE tally SET n = 1 WHERE id = ANY($1) RETURNING id', [[7, 8]])).toHaveLength(
      2,
    );
    expect(await database.uow.query('DELETE FROM tally WHERE id = $1 RETURNING id', [20])).toEqual([{ id: 20 }]);
    expect(await database.uow.query('UPDATE tally SET n = 1 WHERE id = $1', [0])).toEqual([]);
  });

  it('is done again after a deadlock', async () => {
    await database.dataSource.query(`CREATE SEQUENCE tries;
      CREATE FUNCTION fail_twice() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') < 3 THEN RAISE EXCEPTION 'forced' USING ERRCODE = '40P01'; END IF; RETURN 1; END $$`);
    expect(await database.uow.query('SELECT fail_twice() AS one', [])).toEqual([{ one: 1 }]);
  });

  it('is not done again after a lock timeout, and its caller can tell', async () => {
    const holder = database.dataSource.createQueryRunner();
    await holder.startTransaction();
    await holder.query(count, [9]);
    const startedAt = performance.now();
    const error: unknown = await database.uow.query(count, [9]).catch((caught: unknown) => caught);
    const waitedMs = performance.now() - startedAt;
    await holder.rollbackTransaction();
    await holder.release();
    expect(error).toBeInstanceOf(DatabaseUnavailable);
    expect(isLockTimeout(error)).toBe(true);
    expect(waitedMs).toBeLessThan(1900);
  });

  it('goes on after a migration changed the columns of a named statement', async () => {
    const sql = 'SELECT * FROM tally WHERE id = $1';
    await withPool({ max: 3 }, async (uow) => {
      const all = (): Promise<object[][]> => Promise.all([1, 2, 3].map(() => uow.query<object>(sql, [10])));
      await all();
      await database.dataSource.query('ALTER TABLE tally ADD COLUMN more text');
      expect((await all()).flat().map((row) => Object.keys(row))).toEqual([1, 2, 3].map(() => ['id', 'n', 'more']));
    });
  });
});

describe('a database that is lost', () => {
  it('in the middle of a transaction is a refusal that may be repeated, and the next unit works', async () => {
    let runs = 0;
    const killed = database.uow.run(async (tx) => {
      runs += 1;
      await tx.query(count, [11]);
      const [row] = await tx.query<{ pid: number }[]>('SELECT pg_backend_pid() AS pid');
      await database.dataSource.query('SELECT pg_terminate_backend($1)', [row?.pid]);
      await tx.query('SELECT pg_sleep(0.2)');
    });
    await expect(killed).rejects.toBeInstanceOf(DatabaseUnavailable);
    expect([runs, await tally(11)]).toEqual([1, 0]);
  });

  it('between two statements is one too', async () => {
    const killed = database.uow.run(async (tx) => {
      const [row] = await tx.query<{ pid: number }[]>('SELECT pg_backend_pid() AS pid');
      await database.dataSource.query('SELECT pg_terminate_backend($1)', [row?.pid]);
      await new Promise((go) => setTimeout(go, 50));
      await tx.query('SELECT 1');
    });
    await expect(killed).rejects.toBeInstanceOf(DatabaseUnavailable);
  });

  it('in the middle of COMMIT is one whose outcome nobody guesses: it is not done again', async () => {
    let runs = 0;
    const killed = database.uow.run(async (tx) => {
      runs += 1;
      await tx.query('INSERT INTO deadly VALUES (1)');
    });
    await expect(killed).rejects.toBeInstanceOf(DatabaseUnavailable);
    expect(runs).toBe(1);
  });

  it('while connections lie idle leaves the process alive', async () => {
    await withPool({ max: 3 }, async (uow) => {
      await Promise.all([1, 2, 3].map(() => uow.query('SELECT pg_sleep(0.05)', [])));
      await database.dataSource.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
      await new Promise((go) => setTimeout(go, 50));
      expect(await uow.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
    });
    expect(await tally(1)).toBeDefined();
  });

  it('is one when the pool has no connection left for 2 seconds', async () => {
    await withPool({ max: 1 }, async (uow) => {
      let free = (): void => undefined;
      let begun = (): void => undefined;
      const begins = new Promise<void>((go) => (begun = go));
      const held = uow.run(() => new Promise<void>((go) => ((free = go), begun())));
      await begins;
      const startedAt = performance.now();
      await expect(uow.query('SELECT 1', [])).rejects.toBeInstanceOf(DatabaseUnavailable);
      expect(performance.now() - startedAt).toBeLessThan(2500);
      free();
      await held;
      expect(await uow.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
    });
  });

  it('is one when a statement takes longer than 3 seconds', async () => {
    await expect(database.uow.query('SELECT pg_sleep(10)', [])).rejects.toBeInstanceOf(DatabaseUnavailable);
  });
});

describe('a network that swallows everything', () => {
  let hole: Server;
  let port = 0;
  let open = true;
  const sockets = new Set<Socket>();

  beforeAll(async () => {
    hole = createServer((client) => {
      const server = connect(Number(new URL(database.url).port), '127.0.0.1');
      client.on('data', (bytes) => open && server.write(bytes)).on('error', () => undefined);
      server.on('data', (bytes) => open && client.write(bytes)).on('error', () => undefined);
      client.on('close', () => server.destroy());
      sockets.add(client);
    });
    await new Promise<void>((go) => hole.listen(0, '127.0.0.1', go));
    port = (hole.address() as { port: number }).port;
  });
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    hole.close();
  });

  it('costs at most 10 seconds, and its connection is not used again', async () => {
    await withPool({ max: 1, port }, async (uow) => {
      await uow.query('SELECT 1', []);
      open = false;
      const startedAt = performance.now();
      await expect(uow.run((tx) => tx.query('SELECT 1'))).rejects.toBeInstanceOf(DatabaseUnavailable);
      expect(performance.now() - startedAt).toBeLessThan(10_000);
      open = true;
      expect(await uow.query('SELECT 2 AS two', [])).toEqual([{ two: 2 }]);
    });
  });
});
