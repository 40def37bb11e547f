import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { migrateDown, migrateUp, migrationStatus, pendingMigrations } from '../../../src/database/migrations.js';
import { createEmptyDatabase, runSql } from '../../support/database.js';

const run = promisify(execFile);
const CLI = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));

/** In their order; every migration is one more line here. */
const VERSIONS = [
  '0001-first-schema',
  '0002-outgoing-events',
  '0004-warnings',
  '0005-audit-log',
  '0006-list-indexes',
  '0007-archive',
];
/** What the tool prints of all of them. */
const each = (word: string, versions = VERSIONS): string => versions.map((version) => `${word} ${version}\n`).join('');

let url: string;
let drop: () => Promise<void>;
beforeEach(async () => {
  ({ url, drop } = await createEmptyDatabase());
});
afterEach(() => drop());

async function rows<T extends object>(sql: string, at = url): Promise<T[]> {
  const client = new pg.Client({ connectionString: at });
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** The schemas of ours. */
const OURS = `IN ('public', 'archive', 'with_archive')`;
/** Everything that a person or a migration can name in them. */
const NAMES_SQL = `
  SELECT 'column' AS kind, format('%s.%s.%s %s %s %s', table_schema, table_name, column_name, data_type, is_nullable, column_default) AS name
    FROM information_schema.columns WHERE table_schema ${OURS}
  UNION ALL SELECT 'constraint', pg_get_constraintdef(oid) || conname FROM pg_constraint WHERE connamespace::regnamespace::text ${OURS}
  UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname ${OURS}
  UNION ALL SELECT 'function', pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace::regnamespace::text ${OURS}
  UNION ALL SELECT 'trigger', pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
    WHERE NOT tgisinternal AND relnamespace::regnamespace::text ${OURS}
  ORDER BY 1, 2`;

/** What `npm run migrate` does with these words. */
async function cli(words: string[], databaseUrl = url): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env['PATH'], DATABASE_URL: databaseUrl };
  return run(process.execPath, [CLI, 'migrate', ...words], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}

async function downToNothing(): Promise<string[]> {
  const taken: string[] = [];
  for (let version = await migrateDown(url); version !== null; version = await migrateDown(url)) taken.unshift(version);
  return taken;
}

describe('migrations', () => {
  it('go up, all the way down to an empty schema, and up again to the same one', async () => {
    const versions = await migrateUp(url);
    const schema = await rows(NAMES_SQL);
    expect(await downToNothing()).toEqual(versions);
    expect(
      await rows(`SELECT relname FROM pg_class WHERE relnamespace::regnamespace::text ${OURS} AND relkind = 'r'`),
    ).toEqual([{ relname: 'schema_migration' }]);
    expect(await rows(`SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace`)).toEqual([]);
    expect(await migrateUp(url)).toEqual(versions);
    expect(await rows(NAMES_SQL)).toEqual(schema);
  });

  it('are applied once when several instances start together', async () => {
    const done = await Promise.all([migrateUp(url), migrateUp(url), migrateUp(url)]);
    // Who of the three applies which is left to them.
    expect(done.flat().sort()).toEqual(VERSIONS);
    expect(await pendingMigrations(url)).toEqual([]);
  });

  it('leave nothing of one that fails', async () => {
    await runSql(url, 'CREATE TABLE notification ()');
    await expect(migrateUp(url)).rejects.toThrow('already exists');
    expect(await rows(`SELECT 1 FROM pg_tables WHERE tablename = 'merchant'`)).toEqual([]);
    expect(await pendingMigrations(url)).toEqual(VERSIONS);
  });

  it('are told as missing on an empty database without writing to it', async () => {
    const status = await migrationStatus(url);
    expect(status.length).toBeGreaterThan(0);
    expect(status.every(({ state }) => state === 'missing')).toBe(true);
    expect(await pendingMigrations(url)).toEqual(status.map(({ version }) => version));
    expect(await rows(`SELECT 1 FROM pg_tables WHERE schemaname = 'public'`)).toEqual([]);
  });

  it('of a newer service are named and not taken back', async () => {
    await migrateUp(url);
    await runSql(url, `INSERT INTO schema_migration VALUES ('9999-later', clock_timestamp())`);
    expect((await migrationStatus(url)).at(-1)).toEqual({ version: '9999-later', state: 'newer' });
    expect(await pendingMigrations(url)).toEqual([]);
    await expect(migrateDown(url)).rejects.toThrow('newer service');
  });

  it('give the role its timeouts, and a later connection has them', async () => {
    await migrateUp(url);
    const names = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'TimeZone'];
    const list = names.map((name) => `'${name}'`).join();
    expect(await rows(`SELECT name, current_setting(name) AS value FROM unnest(ARRAY[${list}]) name`)).toEqual(
      ['3s', '1s', '5s', 'UTC'].map((value, i) => ({ name: names[i], value })),
    );
  });
});

describe('npm run migrate', () => {
  it('goes up without a word, and status is 1 while the schema is behind', async () => {
    expect(await cli(['status'])).toMatchObject({ code: 1, stdout: each('missing') });
    expect(await cli([])).toMatchObject({ code: 0, stdout: each('applied') });
    expect(await cli(['up'])).toMatchObject({ code: 0, stdout: 'the schema is up to date\n' });
    expect(await cli(['status'])).toMatchObject({ code: 0, stdout: each('applied') });
    for (const version of [...VERSIONS].reverse())
      expect(await cli(['down'])).toMatchObject({ code: 0, stdout: each('took back', [version]) });
    expect(await cli(['down'])).toMatchObject({ code: 0, stdout: 'nothing to take back\n' });
  });

  it.each([[['sideways']], [['up', 'down']], [['constructor']]])('refuses %j with its usage', async (words) => {
    expect(await cli(words)).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('usage:') as string,
    });
  });

  it('says in one line why it cannot, without the password', async () => {
    const failed = await cli([], url.replace(/:[^:@]+@/, ':guess@'));
    expect(failed.code).toBe(1);
    expect(failed.stderr.trim().split('\n')).toHaveLength(1);
    expect(failed.stderr).not.toContain('guess');
  });
});
