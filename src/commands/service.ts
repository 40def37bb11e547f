import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AppModule } from '../app.module.js';
import { nestLogger } from '../common/log.js';
import { loadSettings, Settings } from '../config/settings.js';
import { openDatabase } from '../database/open-database.js';

/** Connections a tool takes from the database. */
const POOL_MAX = 2;

/**
 * The service's own modules on its database, without a server and without workers, for the time of `work`. Throws SettingsFaulty, and an
 * Error when the schema is behind.
 */
export async function withService<T>(
  environment: NodeJS.ProcessEnv,
  work: (app: INestApplicationContext, settings: Settings) => Promise<T>,
): Promise<T> {
  const settings = new Settings({ ...loadSettings(environment), role: 'api', databasePoolMax: POOL_MAX });
  const database = await openDatabase(settings);
  try {
    const app = await NestFactory.createApplicationContext(AppModule.of(settings, database.url), {
      logger: nestLogger,
      abortOnError: false,
    });
    try {
      return await work(app, settings);
    } finally {
      await app.close();
    }
  } finally {
    await database.stop();
  }
}
