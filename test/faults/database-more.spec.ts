import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { BrokenDatabase, LIMIT_MS, named } from './support/broken-database.js';
import { sizeOf } from './support/campaign.js';
import { noPooler, Pooler } from './support/pooler.js';

/** More faults of the database: those that need a small disk, a lock of a certain order, or a pooler between. */
const DISK_MB = sizeOf({ ci: 300, long: 600 });
const DEADLOCKS = sizeOf({ ci: 3, long: 10 });
const POOLED = 3;

let database: BrokenDatabase;

beforeAll(async () => {
  database = await BrokenDatabase.start({ diskMb: DISK_MB });
  await database.postgres.set('deadlock_timeout', '300ms');
}, 60_000);
afterAll(() => database.close());

/** A campaign that cannot run here; it counts as not run. */
function skipped(name: string, reason: string): void {
  process.stdout.write(`SKIPPED ${name}: ${reason}\n`);
}

/** Refunds that WeChat is about to tell us about, each with its order. */
const UNDER_WAY_SQL = `SELECT id, order_id FROM refund WHERE state = 'accepted' ORDER BY created_at DESC LIMIT 1`;
const WAITS_FOR_SQL = `SELECT pid FROM pg_stat_activity WHERE application_name = 'service' AND $1 = ANY(pg_blocking_pids(pid))`;
const ORDER_SQL = 'SELECT 1 FROM payment_order WHERE id = $1 FOR UPDATE';
const REFUND_SQL = 'SELECT 1 FROM refund WHERE id = $1 FOR UPDATE';

/**
 * Locks a refund and, once the service waits for it with the lock of its order in hand, the order: the wrong way round. The service is
 * the one to find out, for this session looks only after 20 s. False: the service did not come.
 */
async function crossed(): Promise<boolean> {
  const session = new pg.Client({ connectionString: database.stack.databaseUrl });
  await session.connect();
  await session.query(`SET lock_timeout = 0; SET statement_timeout = 0; SET deadlock_timeout = '20s'`);
  try {
    const { rows } = await session.query<{ id: string; order_id: string }>(UNDER_WAY_SQL);
    const [refund] = rows;
    if (!refund) return false;
    await session.query('BEGIN');
    await session.query(REFUND_SQL, [refund.id]);
    const pid = (session as unknown as { processID: number }).processID;
    for (let looks = 0; looks < 100; looks += 1) {
      if ((await database.stack.database.query(WAITS_FOR_SQL, [pid])).rows.length > 0) {
        await session.query(ORDER_SQL, [refund.order_id]);
        return true;
      }
      await sleep(5);
    }
    return false;
  } finally {
    await session.query('ROLLBACK');
    await session.end();
  }
}

it(
  'a deadlock',
  () =>
    database.campaign('deadlock', async () => {
      const before = await database.postgres.logged('deadlock detected');
      const found = async (): Promise<number> => (await database.postgres.logged('deadlock detected')) - before;
      const deadline = performance.now() + 15_000;
      while ((await found()) < DEADLOCKS && performance.now() < deadline) if (!(await crossed())) await sleep(20);
      return { deadlocks: await found() };
    }),
  LIMIT_MS,
);

it(
  'a disk that is full',
  async () => {
    const { noSmallDisk } = database.postgres;
    if (noSmallDisk !== null) return skipped('disk full', noSmallDisk);
    await database.campaign('disk full', async (load) => {
      const { postgres } = database;
      const before = await postgres.logged('No space left on device');
      await postgres.fillDisk();
      try {
        const refused = await database.watchDown(load.untilRefused(5));
        const panics = await postgres.fillLog();
        const down = await database.watchDown(sleep(1500));
        return {
          'told 503': load.refused.length,
          panics,
          'not ready while full': refused + down,
          'no space left': (await postgres.logged('No space left on device')) - before,
        };
      } finally {
        await postgres.freeDisk();
        await postgres.ensureRunning();
      }
    });
  },
  LIMIT_MS,
);

it(
  'behind pgbouncer in transaction mode',
  async () => {
    const missing = await noPooler({ install: true });
    if (missing !== null) return skipped('pgbouncer', missing);
    const pooler = await Pooler.before(database.stack.databaseUrl, POOLED);
    try {
      await database.replaceService({ DATABASE_URL: named(pooler.url), DATABASE_NAMED_STATEMENTS: 'false' });
      await database.campaign('behind pgbouncer', async (load) => {
        await load.untilTaken(100);
        const clients = await pooler.clients();
        const { rowCount } = await database.stack.database.query(BACKENDS_SQL);
        expect(rowCount).toBeLessThanOrEqual(POOLED);
        expect(clients).toBeGreaterThan(POOLED);
        await pooler.kill();
        const down = await database.watchDown(sleep(500));
        await pooler.start();
        return { clients, connections: rowCount ?? 0, kills: 1, 'told 503 while down': down };
      });
    } finally {
      await pooler.close();
    }
  },
  LIMIT_MS,
);

const BACKENDS_SQL = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'service'`;
