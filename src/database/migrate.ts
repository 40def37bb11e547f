import { loadDatabaseUrl } from '../config/database-url.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';
import { migrateDown, migrateUp, migrationStatus } from './migrations.js';

const USAGE = 'usage: npm run migrate [-- up | status | down]';
const say = (line: string): boolean => process.stdout.write(`${line}\n`);
const warn = (line: string): boolean => process.stderr.write(`${line}\n`);

/** What each word does to the database at `url`; gives the exit code. */
const COMMANDS: ReadonlyMap<string, (url: string) => Promise<number>> = new Map([
  ['up', up],
  ['status', status],
  ['down', down],
]);

async function up(url: string): Promise<number> {
  const done = await migrateUp(url, warn);
  say(done.length === 0 ? 'the schema is up to date' : done.map((version) => `applied ${version}`).join('\n'));
  return 0;
}

async function status(url: string): Promise<number> {
  const all = await migrationStatus(url);
  for (const { version, state } of all) say(`${state.padEnd(7)} ${version}`);
  return all.some(({ state }) => state === 'missing') ? 1 : 0;
}

async function down(url: string): Promise<number> {
  const version = await migrateDown(url);
  say(version === null ? 'nothing to take back' : `took back ${version}`);
  return 0;
}

async function main(words: readonly string[]): Promise<number> {
  const command = COMMANDS.get(words[0] ?? 'up');
  if (!command || words.length > 1) {
    warn(USAGE);
    return 2;
  }
  try {
    const url = loadDatabaseUrl();
    if (url !== null) return await command(url);
    const embedded = await startEmbeddedPostgres('.data', { log: warn });
    return await command(embedded.url).finally(() => embedded.stop());
  } catch (error) {
    warn(`migrate: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
