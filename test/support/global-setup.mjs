import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../dist/database/embedded-postgres.js';
import { migrateUp } from '../../dist/database/migrations.js';

/**
 * One PostgreSQL for a jest run, without fsync, and one migrated database that every test file copies. It uses the built service
 * (`npm run build`), since jest does not resolve TypeScript for its own set-up.
 */
export default async function globalSetup() {
  const directory = await mkdtemp(join(tmpdir(), 'tuikuan-test-'));
  await chmod(directory, 0o755);
  const postgres = await startEmbeddedPostgres(directory, { durable: false });
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  await client.query('CREATE DATABASE template_tuikuan');
  await client.end();
  await migrateUp(postgres.url.replace(/[^/]+$/, 'template_tuikuan'));
  process.env.TEST_POSTGRES_URL = postgres.url;
  globalThis.tuikuanTestPostgres = { postgres, directory };
}
