import type { PostgresDataSourceOptions } from 'typeorm/driver/postgres/PostgresDataSourceOptions.js';
import { log } from '../common/log.js';
import { poolOptions, postgresDriver } from './postgres-driver.js';

/** What a data source of ours is made of. */
export interface Connection {
  readonly url: string;
  readonly namedStatements: boolean;
  readonly poolMax: number;
  readonly entities?: PostgresDataSourceOptions['entities'];
}

/** TypeORM options: nothing is synchronised, nothing is logged with its parameters, no extension is created. */
export function dataSourceOptions(connection: Connection): PostgresDataSourceOptions {
  return {
    type: 'postgres',
    url: connection.url,
    driver: postgresDriver(connection.namedStatements),
    extra: poolOptions(connection.poolMax),
    entities: connection.entities ?? [],
    synchronize: false,
    migrationsRun: false,
    logging: false,
    uuidExtension: 'pgcrypto',
    installExtensions: false,
    poolErrorHandler: (cause: unknown) => log.warn('an idle database connection was lost', { cause }),
  };
}
