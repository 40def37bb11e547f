import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { log } from '../common/log.js';
import { withClient } from './client.js';

/** The SQL files: beside src in the repository, and beside dist in the built service. */
const DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'migrations');
/** Two instances that start together migrate one after the other. Any constant does. */
const LOCK_KEY = 8_140_233_001;
const INSUFFICIENT_PRIVILEGE = '42501';

const TABLE_SQL = `
  CREATE TABLE IF NOT EXISTS schema_migration (version text PRIMARY KEY, applied_at timestamptz NOT NULL)`;

/** A migration takes as long as it needs, but does not queue in front of everybody for a lock. */
const WAITS_SQL = `SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
  SET LOCAL lock_timeout = '10min'; SELECT pg_advisory_xact_lock(${LOCK_KEY}); SET LOCAL lock_timeout = '5s'`;

/** They belong to the role and not to each connection, so that a transaction-mode pooler keeps them (faults.md 5.8). */
const ROLE_SETTINGS = {
  statement_timeout: '3s',
  lock_timeout: '1s',
  idle_in_transaction_session_timeout: '5s',
  timezone: 'UTC',
  // The default is that of a rotating disk: small tables would be read whole instead of through their indexes.
  random_page_cost: '1.1',
} as const;

/** One migration: in the database, still missing there, or there without a file of ours (a newer service made it). */
export interface MigrationStatus {
  readonly version: string;
  readonly state: 'applied' | 'missing' | 'newer';
}

/** Every migration in order, with what the database has. Changes nothing. */
export async function migrationStatus(url: string): Promise<MigrationStatus[]> {
  return withClient(url, statusOf);
}

/** The versions the database lacks, in order; the service refuses to start while there are any. */
export async function pendingMigrations(url: string): Promise<string[]> {
  return missingOf(await migrationStatus(url));
}

/** Throws an Error that names them while migrations are missing. */
export async function refuseBehind(url: string): Promise<void> {
  const missing = await pendingMigrations(url);
  if (missing.length > 0) throw new Error(`the schema lacks ${missing.join(', ')}: run npm run migrate`);
}

/**
 * Applies what is missing, each migration in a transaction of its own under one lock, then sets the role's settings; gives
 * the versions applied. `notice` (the log, unless given) hears when the role may not set them. A failed migration leaves nothing of itself.
 */
export async function migrateUp(url: string, notice: (text: string) => void = log.warn): Promise<string[]> {
  return withClient(url, async (client) => {
    await locked(client, () => client.query(TABLE_SQL));
    const done: string[] = [];
    for (const version of missingOf(await statusOf(client))) {
      const applied = await locked(client, async () => {
        const { rowCount } = await client.query('SELECT 1 FROM schema_migration WHERE version = $1', [version]);
        if (rowCount) return false;
        await client.query(await sqlOf(version, 'up'));
        await client.query('INSERT INTO schema_migration VALUES ($1, clock_timestamp())', [version]);
        return true;
      });
      if (applied) done.push(version);
    }
    await setRoleSettings(client, notice);
    return done;
  });
}

/** Takes the newest migration back; gives its version, or null when there is none. Throws when a newer service made it. */
export async function migrateDown(url: string): Promise<string | null> {
  return withClient(url, async (client) => {
    const newest = (await statusOf(client)).filter(({ state }) => state !== 'missing').at(-1);
    if (!newest) return null;
    if (newest.state === 'newer')
      throw new Error(`${newest.version} was made by a newer service: take it back with that one`);
    await locked(client, async () => {
      const { rowCount } = await client.query('DELETE FROM schema_migration WHERE version = $1', [newest.version]);
      if (rowCount) await client.query(await sqlOf(newest.version, 'down'));
    });
    return newest.version;
  });
}

/** Makes the settings of the connecting role in this database, as {@link migrateUp} does; connections made later have them. */
export async function setRoleSettingsOf(url: string): Promise<void> {
  await withClient(url, (client) => setRoleSettings(client, () => undefined));
}

function missingOf(all: readonly MigrationStatus[]): string[] {
  return all.filter(({ state }) => state === 'missing').map(({ version }) => version);
}

async function statusOf(client: pg.Client): Promise<MigrationStatus[]> {
  const table = await client.query<{ exists: boolean }>(`SELECT to_regclass('schema_migration') IS NOT NULL AS exists`);
  const { rows } = table.rows[0]?.exists
    ? await client.query<{ version: string }>('SELECT version FROM schema_migration')
    : { rows: [] };
  const applied = rows.map(({ version }) => version);
  const files = (await readdir(DIRECTORY)).filter((file) => file.endsWith('.up.sql'));
  const known = files.map((file) => file.replace('.up.sql', ''));
  return [...new Set([...known, ...applied])].sort().map((version) => ({
    version,
    state: !known.includes(version) ? 'newer' : applied.includes(version) ? 'applied' : 'missing',
  }));
}

/** One transaction, alone among all migrators. */
async function locked<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    await client.query(WAITS_SQL);
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function setRoleSettings(client: pg.Client, notice: (text: string) => void): Promise<void> {
  const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name');
  const database = client.escapeIdentifier(rows[0]?.name ?? '');
  const statements = Object.entries(ROLE_SETTINGS).map(
    ([name, value]) => `ALTER ROLE CURRENT_USER IN DATABASE ${database} SET ${name} = '${value}'`,
  );
  try {
    await locked(client, () => client.query(statements.join(';')));
  } catch (error) {
    if ((error as { code?: string }).code !== INSUFFICIENT_PRIVILEGE) throw error;
    notice(`this role may not change its own settings; let an administrator run: ${statements.join('; ')};`);
  }
}

async function sqlOf(version: string, direction: 'up' | 'down'): Promise<string> {
  return readFile(join(DIRECTORY, `${version}.${direction}.sql`), 'utf8');
}
