import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { DataSource, EntityManager } from 'typeorm';
import { assert } from '../common/assert.js';
import { AppError } from '../common/problem.js';
import { DatabaseUnavailable, isLost, isStalePlan, sqlstateOf } from './database-errors.js';

export { constraintOf, DatabaseUnavailable, isLockTimeout } from './database-errors.js';

const SERIALIZATION_FAILURE = '40001';
const DEADLOCK = '40P01';
const LOCK_TIMEOUT = '55P03';
/** The whole closure is done again on these (design.md 5, rule 11). */
const RETRIED_IN_RUN = [SERIALIZATION_FAILURE, DEADLOCK, LOCK_TIMEOUT];
const RETRIED_IN_QUERY = [SERIALIZATION_FAILURE, DEADLOCK];
const RETRIES_MAX = 3;
/** Per retry so far, so that two units that met once do not meet again. */
const JITTER_MS = 25;

/** Connections of one pool: open ones, those of them that are idle, and callers that wait for one. */
export interface PoolFigures {
  readonly open: number;
  readonly idle: number;
  readonly waiting: number;
}

/** The transaction around the running code, if any. */
const surrounding = new AsyncLocalStorage<{ open: boolean }>();

/**
 * Throws BrokenInvariant when called inside {@link UnitOfWork.run}: no transaction is open while waiting for anyone
 * (design.md 5, rule 1). Every outgoing call begins with it.
 */
export function assertOutsideTransaction(): void {
  assert(surrounding.getStore()?.open !== true, 'no transaction is open while waiting for anyone');
}

/**
 * The only opener of transactions. Work may run more than once, so it touches nothing but `tx`.
 *
 * Errors of both methods: {@link DatabaseUnavailable} when the database is away, too slow or too busy, or when every retry met
 * another conflict; whether a COMMIT whose reply was lost took place is unknown, so a lost connection is never retried here.
 * Broken constraints pass through for the caller to map, see `constraintOf`. Both refuse, as a broken invariant, to be
 * called inside an open transaction: waiting there for a second connection of the same pool is how a pool deadlocks.
 */
@Injectable()
export class UnitOfWork {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  /** Connections of the pool under it, as they are now. */
  get pool(): PoolFigures {
    const { master } = this.dataSource.driver as unknown as {
      master: { totalCount: number; idleCount: number; waitingCount: number };
    };
    return { open: master.totalCount, idle: master.idleCount, waiting: master.waitingCount };
  }

  /**
   * Runs `work` in one transaction; the whole of it again, at most 3 times, on 40001, 40P01 and, unless `locksOnce`, on 55P03.
   */
  run<T>(work: (tx: EntityManager) => Promise<T>, { locksOnce = false } = {}): Promise<T> {
    return retried(locksOnce ? RETRIED_IN_QUERY : RETRIED_IN_RUN, async () => {
      const transaction = { open: true };
      try {
        return await surrounding.run(transaction, () => this.dataSource.transaction(work));
      } finally {
        transaction.open = false;
      }
    });
  }

  /**
   * Runs one statement as its own transaction and gives its rows, also those of UPDATE and DELETE … RETURNING. Again, at most 3
   * times, on 40001 and 40P01. A lock timeout (1 s) is not tried again: it is the answer to a caller who waits behind a twin
   * (design.md 8), and `isLockTimeout` tells it apart.
   */
  query<T>(sql: string, parameters: readonly unknown[]): Promise<T[]> {
    return retried(RETRIED_IN_QUERY, async () => {
      const result = await this.dataSource.query<T[] | [T[], number]>(sql, [...parameters]);
      return isCounted(result) ? result[0] : result;
    });
  }
}

/** The same on the workers' own pool, so that intake cannot starve them nor they it. */
@Injectable()
export class WorkerUnitOfWork extends UnitOfWork {
  constructor(@InjectDataSource('worker') dataSource: DataSource) {
    super(dataSource);
  }
}

/** TypeORM answers UPDATE and DELETE with [rows, count] and everything else with rows. */
function isCounted<T>(result: T[] | [T[], number]): result is [T[], number] {
  return result.length === 2 && Array.isArray(result[0]) && typeof result[1] === 'number';
}

async function retried<T>(sqlstates: readonly string[], work: () => Promise<T>): Promise<T> {
  assert(surrounding.getStore()?.open !== true, 'a unit of work is not opened inside another');
  for (let retries = 0; ; retries += 1) {
    try {
      return await work();
    } catch (error) {
      const again = sqlstates.includes(sqlstateOf(error) ?? '') || isStalePlan(error);
      if (!again || retries === RETRIES_MAX) throw translated(error);
      await sleep(1 + Math.random() * JITTER_MS * (retries + 1));
    }
  }
}

function translated(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const conflict = RETRIED_IN_RUN.includes(sqlstateOf(error) ?? '');
  return conflict || isLost(error) ? new DatabaseUnavailable(error) : error;
}
