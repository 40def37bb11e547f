import { type DynamicModule, Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { CLOCK, systemClock } from '../common/clock.js';
import { Settings } from '../config/settings.js';
import { dataSourceOptions } from './data-source.js';
import { UnitOfWork, WorkerUnitOfWork } from './unit-of-work.js';

type Role = Settings['role'];

/** The part of DATABASE_POOL_MAX that serves requests; the workers have the rest. A pure worker still answers /health. */
const HTTP_SHARE: Readonly<Record<Role, number>> = { all: 0.6, api: 1, worker: 0.2 };

/** Connections of both pools; each has at least one where it exists. */
export function poolSizes(role: Role, max: number): { readonly http: number; readonly worker: number } {
  const http = Math.max(1, Math.round(max * HTTP_SHARE[role]));
  return { http, worker: role === 'api' ? 0 : Math.max(1, max - http) };
}

/** The database of the whole service: two pools, one unit of work on each. */
@Global()
@Module({})
export class DatabaseModule {
  /**
   * `url` is the address of the database that is running, ours or the operator's. With `role` api there is no workers' pool, and
   * {@link WorkerUnitOfWork} is the one of the requests: no worker is started there.
   */
  static connectedTo(url: string, role: Role = 'all'): DynamicModule {
    const options = (pool: 'http' | 'worker') => (settings: Settings) => ({
      ...dataSourceOptions({
        url,
        namedStatements: settings.databaseNamedStatements,
        poolMax: poolSizes(role, settings.databasePoolMax)[pool],
      }),
      autoLoadEntities: pool === 'http',
      retryAttempts: 0,
    });
    const http = TypeOrmModule.forRootAsync({ inject: [Settings], useFactory: options('http') });
    const worker = TypeOrmModule.forRootAsync({ name: 'worker', inject: [Settings], useFactory: options('worker') });
    return {
      module: DatabaseModule,
      imports: role === 'api' ? [http] : [http, worker],
      providers: [
        UnitOfWork,
        role === 'api' ? { provide: WorkerUnitOfWork, useExisting: UnitOfWork } : WorkerUnitOfWork,
        { provide: CLOCK, useValue: systemClock },
      ],
      exports: [UnitOfWork, WorkerUnitOfWork, CLOCK],
    };
  }
}
