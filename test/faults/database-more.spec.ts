import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { jsonOf, type Run, tuikuan } from '../e2e/support/commands.js';
import { type Json, type Order, unique } from '../e2e/support/stack.js';
import { BrokenDatabase, named } from './support/broken-database.js';
import { LIMIT_MS, sizeOf, skipped } from './support/campaign.js';
import type { Load } from './support/load.js';
import { noPooler, Pooler } from './support/pooler.js';

/** More faults of the database: those that need a small disk, a lock of a certain order, or a pooler between. */
const DISK_MB = sizeOf({ ci: 300, long: 600 });
const DEADLOCKS = sizeOf({ ci: 3, long: 10 });
const PROVOKED_LIMIT_MS = 15_000;
const POOLED = 3;
const NOTICED = 10;

let database: BrokenDatabase;
let noPgbouncer: string | null;

beforeAll(async () => {
  noPgbouncer = await noPooler();
  database = await BrokenDatabase.start({ diskMb: DISK_MB });
  await database.postgres.set('deadlock_timeout', '300ms');
  // Its log may take a gigabyte before it is recycled: more than the small disk has.
  await database.postgres.set('max_wal_size', `${DISK_MB / 4}MB`);
});
afterAll(() => database.close());

/** The service is the one to find a deadlock out, for the session that provokes it looks only after 20 s. */
const PATIENT_SQL = `SET lock_timeout = 0; SET statement_timeout = 0; SET deadlock_timeout = '20s'; BEGIN`;
const WAITS_FOR_SQL = `SELECT pid FROM pg_stat_activity WHERE application_name = 'service' AND $1 = ANY(pg_blocking_pids(pid))`;
const ORDER_SQL = `SELECT 1 FROM payment_order WHERE id = $1 FOR UPDATE`;

/**
 * Takes what the service needs second, and once the service waits for that with the lock of the order in hand, the order: the wrong way
 * round. `take` says which order, or null when there is nothing to take. False: the service did not come.
 */
async function crossed(take: (session: pg.Client) => Promise<string | null>): Promise<boolean> {
  const session = new pg.Client({ connectionString: database.stack.databaseUrl });
  await session.connect();
  const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const waiting = async (): Promise<number> =>
    (await database.stack.database.query(WAITS_FOR_SQL, [rows[0]?.pid])).rowCount ?? 0;
  try {
    await session.query(PATIENT_SQL);
    const order = await take(session);
    for (let looks = 0; order !== null && looks < 100; looks += 1) {
      if ((await waiting()) > 0) return (await session.query(ORDER_SQL, [order])).rowCount === 1;
      await sleep(5);
    }
    return false;
  } finally {
    await session.query('ROLLBACK');
    await session.end();
  }
}

/** A refund that the worker or a notice is about to book. */
async function takeRefund(session: pg.Client): Promise<string | null> {
  const { rows } = await session.query<{ id: string }>(
    `SELECT order_id AS id FROM refund WHERE state = 'accepted' ORDER BY created_at DESC LIMIT 1 FOR UPDATE SKIP LOCKED`,
  );
  return rows[0]?.id ?? null;
}

const TAKE_NUMBER_SQL = `
  INSERT INTO refund SELECT (jsonb_populate_record(r, jsonb_build_object(
    'id', gen_random_uuid(), 'out_refund_no', $1::text, 'idempotency_key', NULL, 'refund_id', NULL))).*
  FROM refund r WHERE 'ord_' || replace(r.order_id::text, '-', '') = $2 LIMIT 1 RETURNING order_id AS id`;

/** A number that a caller asks for at this moment; his answer is among the load's. */
function takeNumber(load: Load, order: Order): (session: pg.Client) => Promise<string | null> {
  return async (session) => {
    const number = `X${unique()}`;
    const { rows } = await session.query<{ id: string }>(TAKE_NUMBER_SQL, [number, order.id]);
    if (rows[0]) load.askFor(order, number);
    return rows[0]?.id ?? null;
  };
}

it(
  'a deadlock, in the booking of answers and in the intake',
  () =>
    database.campaign('deadlock', async (load, orders) => {
      const provoked = async (take: (session: pg.Client) => Promise<string | null>): Promise<number> => {
        const detected = (): Promise<number> => database.postgres.logged('deadlock detected');
        const before = await detected();
        const deadline = performance.now() + PROVOKED_LIMIT_MS;
        while ((await detected()) < before + DEADLOCKS && performance.now() < deadline) await crossed(take);
        return (await detected()) - before;
      };
      const [order] = orders;
      if (!order) throw new Error('there is no order');
      const fired = {
        'in a booking': await provoked(takeRefund),
        'in the intake': await provoked(takeNumber(load, order)),
      };
      // The unit of work was done again: its caller notices nothing.
      const taken = load.taken.filter(({ number }) => number.startsWith('X')).length;
      return { ...fired, 'taken all the same': taken };
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
        await database.watchDown(load.untilRefused(5));
        const filling = postgres.fillLog();
        // It panics and starts again by itself, so quickly that nobody may meet it while it is down.
        await database.watchDown(filling.then(() => sleep(1500)));
        return {
          'told 503': load.refused.length,
          panics: await filling,
          'no space left': (await postgres.logged('No space left on device')) - before,
        };
      } finally {
        await postgres.freeDisk();
        database.mendingBegins();
        await postgres.ensureRunning();
      }
    });
  },
  LIMIT_MS,
);

it(
  'behind pgbouncer in transaction mode',
  async () => {
    if (noPgbouncer !== null) return skipped('pgbouncer', noPgbouncer);
    const pooler = await Pooler.before(database.stack.databaseUrl, POOLED);
    const env = { DATABASE_URL: named(pooler.url), DATABASE_NAMED_STATEMENTS: 'false' };
    try {
      await database.replaceService(env);
      await database.campaign('behind pgbouncer', async (load, orders) => {
        const notices = await untilNoticed(orders);
        const clients = await pooler.clients();
        const { rowCount } = await database.stack.database.query(BACKENDS_SQL);
        expect(rowCount).toBeLessThanOrEqual(POOLED);
        expect(clients).toBeGreaterThan(POOLED);
        const checked = await commandsBehind(env);
        await pooler.kill();
        const down = await database.watchDown(Promise.all([sleep(500), load.untilRefused(5)]));
        await pooler.start();
        return { clients, connections: rowCount ?? 0, notices, checked, kills: 1, 'told 503 while down': down };
      });
    } finally {
      await pooler.close();
    }
  },
  LIMIT_MS,
);

const BACKENDS_SQL = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'service'`;
const NOTICED_SQL = `SELECT n.id FROM notification n JOIN refund r ON r.id = n.refund_id
  WHERE r.state = 'succeeded' AND 'ord_' || replace(r.order_id::text, '-', '') = ANY($1)`;

/** Waits for some refunds that have gone the whole way, and gives their notices. */
async function untilNoticed(orders: readonly Order[]): Promise<number> {
  const ids = orders.map(({ id }) => id);
  const noticed = async (): Promise<number> => (await database.stack.database.query(NOTICED_SQL, [ids])).rowCount ?? 0;
  const count = await database.stack.eventually(noticed, (notices) => notices >= NOTICED);
  expect(count).toBeGreaterThanOrEqual(NOTICED);
  return count;
}

/** The commands through the pooler, while it is busy: what they ask of a session must not get lost between two connections. */
async function commandsBehind(env: Readonly<Record<string, string>>): Promise<number> {
  const { stack } = database;
  const run = (words: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<Run> =>
    tuikuan([...words, '--json'], { ...stack.environment(1), ...env, ...more });
  const ledger = `http://127.0.0.1:${stack.ports.control}`;
  const [invariants, quiet, warned, direct] = await Promise.all([
    run(['check-invariants', '--simulator', ledger]),
    run(['doctor']),
    run(['doctor'], { DATABASE_NAMED_STATEMENTS: 'true' }),
    run(['doctor'], { DATABASE_URL: stack.databaseUrl }),
  ]);
  const pooler = (doctor: Run): unknown[] =>
    (jsonOf(doctor)['checks'] as Json[]).filter(({ name }) => name === 'pooler').map(({ result }) => result);
  expect([pooler(quiet), pooler(warned), pooler(direct)]).toEqual([['ok'], ['warn'], []]);
  expect([invariants.code, invariants.stderr]).toEqual([0, '']);
  return (jsonOf(invariants)['checks'] as Json[]).length;
}
