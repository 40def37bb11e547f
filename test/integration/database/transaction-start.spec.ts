import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

/** The start of a transaction goes with its first statement; that must not show. */
let database: TestDatabase;
const said: string[] = [];
beforeAll(async () => {
  database = await createTestDatabase(1);
  await database.dataSource.query('CREATE TABLE tally (n int)');
});
beforeEach(() => {
  said.length = 0;
});
afterEach(stopListening);
afterAll(() => database.close());

type Query = (this: pg.Client, config: string | { text: string }, values?: unknown) => Promise<unknown>;
const prototype = pg.Client.prototype as unknown as { query: Query };
const { query: original } = prototype;

/** Notes what is sent and what has come back; `instead` takes the place of a statement. */
function listen(instead: (text: string) => Promise<unknown> | null = () => null): void {
  prototype.query = async function (config, values) {
    const text = typeof config === 'string' ? config : config.text;
    said.push(text);
    const answer = await (instead(text) ?? original.call(this, config, values));
    said.push(`${text} ✓`);
    return answer;
  };
}

function stopListening(): void {
  prototype.query = original;
}

const ID = 'SELECT pg_current_xact_id()::text AS id';
const INSERT = 'INSERT INTO tally SELECT 1 RETURNING n';
const rows = (): Promise<unknown[]> => database.uow.query('SELECT n FROM tally', []);

describe('the start of a transaction', () => {
  it.each([
    ['SELECT 1 AS n FOR UPDATE'],
    ['WITH t AS (SELECT n FROM tally FOR NO KEY UPDATE) SELECT n FROM t'],
    ["SELECT 'a' || updated FROM (SELECT 1 AS updated) x"],
  ])('is sent with a first statement that reads or locks: %s', async (first) => {
    listen();
    await database.uow.run((tx) => tx.query(first, []));
    expect(said).toEqual(['START TRANSACTION', first, 'START TRANSACTION ✓', `${first} ✓`, 'COMMIT', 'COMMIT ✓']);
  });

  it.each([
    [INSERT],
    [`WITH made AS (${INSERT}) SELECT n FROM made`],
    ['UPDATE tally SET n = 2'],
    ['DELETE FROM tally'],
  ])('is waited for before a first statement that writes: %s', async (first) => {
    listen();
    await database.uow.run((tx) => tx.query(first, []));
    expect(said.slice(0, 3)).toEqual(['START TRANSACTION', 'START TRANSACTION ✓', first]);
  });

  it.each([[ID], [INSERT]])('holds for all that follows, after %s', async (first) => {
    const ids = await database.uow.run(async (tx) => {
      await tx.query(first, []);
      return [await tx.query<unknown>(ID, []), await tx.query<unknown>(ID, [])];
    });
    expect(ids[1]).toEqual(ids[0]);
  });

  it.each([[ID], [INSERT]])('is taken back with what followed it, after %s', async (first) => {
    const before = await rows();
    const failed = database.uow.run(async (tx) => {
      await tx.query(first, []);
      await tx.query(INSERT, []);
      throw new Error('changed my mind');
    });
    await expect(failed).rejects.toThrow('changed my mind');
    expect(await rows()).toEqual(before);
  });

  it('is not missed where there is no statement at all', async () => {
    expect(await database.uow.run(() => Promise.resolve('nothing'))).toBe('nothing');
    await expect(database.uow.run(() => Promise.reject(new Error('at once')))).rejects.toThrow('at once');
    expect(await database.uow.query('SELECT 1 AS n', [])).toEqual([{ n: 1 }]);
  });

  it.each([['SELECT 1 AS n'], [INSERT]])('that fails alone is heard, and nothing is written: %s', async (first) => {
    const before = await rows();
    listen((text) => (text === 'START TRANSACTION' ? Promise.reject(new Error('no start today')) : null));
    const failed = database.uow.run(async (tx) => {
      await tx.query(first, []);
      await tx.query(INSERT, []);
    });
    await expect(failed).rejects.toThrow('no start today');
    stopListening();
    expect(said).not.toContain(INSERT);
    expect(await rows()).toEqual(before);
  });
});
