import 'reflect-metadata';
import inspector from 'node:inspector';
import { createApplication, serveOpenApi } from './application.js';
import { log, setLogLevel } from './common/log.js';
import { loadSettings, SettingsFaulty } from './config/settings.js';
import { openDatabase } from './database/open-database.js';

const SHUTDOWN_MS = 10_000;

async function start(): Promise<void> {
  const settings = loadSettings(process.env);
  if (inspector.url() !== undefined && settings.databaseUrl !== null && settings.wechatpayHostIsReal)
    throw new Error('with real money no debugger may read the memory: start without --inspect');
  setLogLevel(settings.logLevel);
  const database = await openDatabase(settings);
  const app = await createApplication(settings, database.url);
  serveOpenApi(app);
  await app.listen(settings.port, settings.host);

  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info('stopping', { signal });
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
    app
      .close()
      .then(() => database.stop())
      .then(() => process.exit(0))
      .catch((error: unknown) => {
        log.error('stopped uncleanly', { cause: error });
        process.exit(1);
      });
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal));
  // Started over a channel, as the demo does it, and whoever started it is gone.
  process.once('disconnect', () => stop('disconnect'));

  const { role, wechatpayBaseUrl, wechatpayHostIsReal } = settings;
  const address = await app.getUrl();
  log.info('started', {
    address,
    role,
    node: process.version,
    database: database.embedded ? 'embedded' : 'given',
    wechatpayBaseUrl,
  });
  if (!wechatpayHostIsReal) log.warn('this is not WeChat: no real money moves', { wechatpayBaseUrl });
}

function die(message: string, error: unknown): void {
  log.error(message, { cause: error });
  process.exit(1);
}

process.on('unhandledRejection', (error) => die('unhandled rejection', error));
process.on('uncaughtException', (error) => die('uncaught exception', error));

try {
  await start();
} catch (error) {
  if (error instanceof SettingsFaulty) {
    for (const { name, message } of error.faults) process.stderr.write(`${name}: ${message}\n`);
    process.exit(1);
  }
  die('not started', error);
}
