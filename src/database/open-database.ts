import { DataSource } from 'typeorm';
import { log } from '../common/log.js';
import type { Settings } from '../config/settings.js';
import { dataSourceOptions } from './data-source.js';
import { startEmbeddedPostgres } from './embedded-postgres.js';
import { migrateUp, refuseBehind } from './migrations.js';
import { behindPooler, POOLER_ADVICE } from './pooler.js';
import { UnitOfWork } from './unit-of-work.js';

/** A database whose schema is as this service needs it. */
export interface OpenDatabase {
  readonly url: string;
  readonly embedded: boolean;
  /** Leaves the embedded server; the last user ends it. */
  stop(): Promise<void>;
}

/** The database to work on: the operator's, which must be migrated (else an Error says so), or an embedded one, which is migrated here. */
export async function openDatabase(settings: Settings): Promise<OpenDatabase> {
  if (settings.databaseUrl !== null) {
    await refuseBehind(settings.databaseUrl);
    if (settings.databaseNamedStatements && (await behindPooler(settings.databaseUrl)))
      log.warn(`a pooler stands before the database: ${POOLER_ADVICE}`);
    return { url: settings.databaseUrl, embedded: false, stop: () => Promise.resolve() };
  }
  const embedded = await startEmbeddedPostgres(settings.dataDirectory, { log: (message) => log.info(message) });
  await migrateUp(embedded.url);
  return { url: embedded.url, embedded: true, stop: () => embedded.stop() };
}

/** A unit of work on one connection of its own, for tools that need nothing else of the service. */
export async function withUnitOfWork<T>(url: string, work: (uow: UnitOfWork) => Promise<T>): Promise<T> {
  const source = await new DataSource(dataSourceOptions({ url, namedStatements: false, poolMax: 1 })).initialize();
  try {
    return await work(new UnitOfWork(source));
  } finally {
    await source.destroy();
  }
}
