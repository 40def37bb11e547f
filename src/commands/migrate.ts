import { migrateDown, migrateUp, migrationStatus } from '../database/migrations.js';
import { type Command, type CommandContext, EXIT_CODES, type Outcome } from './command.js';
import { withDatabase } from './database.js';

type Work = (url: string, context: CommandContext) => Promise<Outcome>;

/** Applies what is missing. */
const up: Work = async (url, { progress }) => {
  const applied = await migrateUp(url, progress);
  const lines = applied.length === 0 ? ['the schema is up to date'] : applied.map((version) => `applied ${version}`);
  return { exitCode: EXIT_CODES.ok, lines, json: { applied } };
};

/** Something to do while a migration is missing. */
const status: Work = async (url) => {
  const migrations = await migrationStatus(url);
  const behind = migrations.some(({ state }) => state === 'missing');
  return {
    exitCode: behind ? EXIT_CODES.todo : EXIT_CODES.ok,
    lines: migrations.map(({ version, state }) => `${state.padEnd(7)} ${version}`),
    json: { migrations },
  };
};

/** Takes the newest back. */
const down: Work = async (url) => {
  const version = await migrateDown(url);
  const line = version === null ? 'nothing to take back' : `took back ${version}`;
  return { exitCode: EXIT_CODES.ok, lines: [line], json: { took_back: version } };
};

/** Needs DATABASE_URL alone and no keys; without it, the embedded database. */
function command(work: Work): Command {
  return {
    options: {},
    run: (_values, context) => withDatabase(context, (url) => work(url, context)),
  };
}

export const migrateUpCommand = command(up);
export const migrateStatusCommand = command(status);
export const migrateDownCommand = command(down);
