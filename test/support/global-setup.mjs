import { existsSync, readdirSync, rmSync, statfsSync, statSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { URL } from 'node:url';
import pg from 'pg';

const PREFIX = 'tuikuan-test-';
const MEMORY = '/dev/shm';
const MEMORY_MIN_BYTES = 6 * 2 ** 30;
const built = new URL('../../dist/database/', import.meta.url);

/**
 * One PostgreSQL for a jest run, without fsync, one migrated database that every test file copies, and one directory of all simulators:
 * making keys anew for each took a tenth of all processor time. It uses the built service (`npm run build`), since jest does not resolve
 * TypeScript for its own set-up.
 */
export default async function globalSetup(_globalConfig, { globals }) {
  if (!existsSync(new URL('migrations.js', built))) throw new Error('the tests need the built service: npm run build');
  const { startEmbeddedPostgres } = await import(new URL('embedded-postgres.js', built).href);
  const { shutDown } = await import(new URL('embedded-postmaster.js', built).href);
  const { migrateUp } = await import(new URL('migrations.js', built).href);
  if (process.platform === 'linux') await endAbandonedServers(shutDown);
  const directory = await mkdtemp(join(hasMemory() ? MEMORY : tmpdir(), `${PREFIX}${process.pid}-`));
  await chmod(directory, 0o755);
  process.env.TMPDIR = directory;
  const postgres = await startEmbeddedPostgres(directory, { durable: false });
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  // A connection plans a statement five times by its values before it settles; those of tests are too short-lived for that.
  if (!globals.plansByValues) await client.query('ALTER ROLE CURRENT_USER SET plan_cache_mode = force_generic_plan');
  await client.query('CREATE DATABASE template_tuikuan');
  await client.end();
  await migrateUp(postgres.url.replace(/[^/]+$/, 'template_tuikuan'));
  const { CertificateAuthority } = await import(new URL('../simulator/certificates.js', built).href);
  CertificateAuthority.in(join(directory, 'simulator'));
  process.env.SIMULATOR_DIRECTORY = join(directory, 'simulator');
  process.env.TEST_POSTGRES_URL = postgres.url;
  globalThis.tuikuanTestPostgres = { postgres, directory };
}

/** There is plenty of memory for what tests write: the 300 files of a database cost half a second of processor time on some disks. */
function hasMemory() {
  if (!existsSync(MEMORY) || freemem() < MEMORY_MIN_BYTES) return false;
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize >= MEMORY_MIN_BYTES;
}

/** Servers of runs that were interrupted: jest does not reach its teardown then. */
async function endAbandonedServers(shutDown) {
  const roots = [...new Set([tmpdir(), MEMORY])].filter((root) => existsSync(root));
  const entries = roots.flatMap((root) => readdirSync(root).map((name) => ({ root, name })));
  for (const { root, name } of entries.filter((entry) => entry.name.startsWith(PREFIX))) {
    const directory = join(root, name);
    const running = existsSync(`/proc/${name.slice(PREFIX.length).split('-')[0]}`);
    if (running || statSync(directory).uid !== process.getuid()) continue;
    await shutDown(join(directory, 'postgres'));
    rmSync(directory, { recursive: true, force: true });
  }
}
