import { systemClock } from '../../common/clock.js';
import { loadSettings, type Settings, SettingsFaulty } from '../../config/settings.js';
import { startEmbeddedPostgres } from '../../database/embedded-postgres.js';
import { withUnitOfWork } from '../../database/open-database.js';
import { type Command, type CommandContext, EXIT_CODES, type Outcome } from '../command.js';
import { type Check, fail, ok, warn } from './check.js';
import { checkDatabaseClock, checkPooler, checkSchema, checkServer } from './database.js';
import { checkMerchants } from './merchants.js';
import { checkNotifyUrl } from './notify-url.js';
import { checkWechat } from './wechat.js';

/** Looks at everything a refund needs, changes nothing, and says what to do. */
export const doctor: Command = {
  options: {},
  run: async (_values, context) => outcomeOf(await examine(context)),
};

async function examine(context: CommandContext): Promise<Check[]> {
  let settings: Settings;
  try {
    settings = loadSettings(context.environment);
  } catch (error) {
    if (!(error instanceof SettingsFaulty)) throw error;
    return error.faults.map(({ name, message }) => fail('settings', `${name} ${message}`, 'see .env.example'));
  }
  const source = settings.databaseUrl === null ? 'embedded database, for trying out' : 'all there';
  return [
    settings.databaseUrl === null
      ? warn('settings', source, 'set DATABASE_URL for real refunds')
      : ok('settings', source),
    ...(await examineDatabase(settings, context)),
    ...(await checkNotifyUrl(settings)),
    ...(await checkWechat(settings, systemClock)),
  ];
}

async function examineDatabase(settings: Settings, { progress }: CommandContext): Promise<Check[]> {
  const embedded =
    settings.databaseUrl === null ? await startEmbeddedPostgres(settings.dataDirectory, { log: progress }) : null;
  const url = settings.databaseUrl ?? embedded?.url ?? '';
  try {
    return await withUnitOfWork(url, async (uow) => {
      const server = [...(await checkServer(uow)), ...(await checkPooler(url, settings))];
      const schema = await checkSchema(url);
      if (schema.result === 'fail') return [...server, schema];
      const clock = await checkDatabaseClock(uow, systemClock);
      return [...server, schema, clock, ...(await checkMerchants(uow, settings))];
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [
      fail('database', reason, 'see that DATABASE_URL names a server that runs, with the right role and password'),
    ];
  } finally {
    await embedded?.stop();
  }
}

function outcomeOf(checks: readonly Check[]): Outcome {
  const failed = checks.some(({ result }) => result === 'fail');
  const lines = checks.map(({ name, result, message, todo }) => {
    const line = `${result.padEnd(4)}  ${name}: ${message}`;
    return todo === null ? line : `${line} → ${todo}`;
  });
  const counts = (['ok', 'warn', 'fail'] as const).map(
    (result) => `${checks.filter((check) => check.result === result).length} ${result}`,
  );
  return {
    exitCode: failed ? EXIT_CODES.todo : EXIT_CODES.ok,
    lines: [...lines, counts.join(', ')],
    json: { checks },
  };
}
