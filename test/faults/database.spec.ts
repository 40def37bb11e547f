import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { FaultProxy } from '../support/fault-proxy.js';
import { BrokenDatabase } from './support/broken-database.js';
import { Dice, LIMIT_MS, SEED, sizeOf } from './support/campaign.js';

/** Faults of the database under the built service, each while callers ask for refunds; a proxy stands between the two. */
const dice = new Dice(SEED);

let database: BrokenDatabase;
let proxy: FaultProxy;

beforeAll(async () => {
  database = await BrokenDatabase.start({}, async (url) => {
    const through = new URL(url);
    proxy = await FaultProxy.before({ host: '127.0.0.1', port: Number(through.port) });
    through.port = String(proxy.port);
    return through.href;
  });
});
afterAll(async () => {
  proxy.close();
  await database.close();
});

it(
  'an immediate restart',
  () =>
    database.campaign('immediate restart', async () => {
      await database.postgres.endAtOnce();
      const down = await database.watchDown(sleep(500));
      await database.postgres.ensureRunning();
      return { restarts: 1, 'told 503 while down': down };
    }),
  LIMIT_MS,
);

it(
  'killed backends',
  () =>
    database.campaign('killed backends', async () => {
      let killed = 0;
      for (let n = 0; n < 30; n += 1) {
        const { rowCount } = await database.stack.database.query(
          `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'service' ORDER BY (pid::bigint * $1) % 97 LIMIT 1) victim`,
          [1 + dice.below(96)],
        );
        killed += rowCount ?? 0;
        await sleep(dice.below(100));
      }
      return { killed };
    }),
  LIMIT_MS,
);

it(
  'replies of COMMIT and of the intake’s own commit that are lost',
  () =>
    database.campaign('swallowed COMMIT', async (load) => {
      const swallowed = async (ask: string): Promise<number> => {
        const before = proxy.fired.swallow;
        await proxy.harm({ kind: 'swallow', ask, then: 'reset' });
        await proxy.untilFired('swallow', before + 5);
        await proxy.heal();
        return proxy.fired.swallow - before;
      };
      const commits = await swallowed('COMMIT');
      // The intake is one statement: its commit is its own reply. Its digest stands in no other; a refund’s number does.
      const intakes = await swallowed('"request_digest":"');
      const deadline = performance.now() + 5000;
      while (load.refused.length === 0 && performance.now() < deadline) await sleep(20);
      return { 'COMMIT swallowed': commits, 'intake swallowed': intakes, 'told 503': load.refused.length };
    }),
  LIMIT_MS,
);

/** Holds locks for a while, from a session of its own. */
async function holding(sql: string, during: () => Promise<void>): Promise<void> {
  const session = new pg.Client({ connectionString: database.stack.databaseUrl });
  await session.connect();
  await session.query(`SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; BEGIN`);
  try {
    await session.query(sql);
    await during();
  } finally {
    await session.query('ROLLBACK');
    await session.end();
  }
}

it(
  'a lock on one order that is held: its callers are told 503, the others notice nothing',
  () =>
    database.campaign('lock held', async (load, orders) => {
      const [held] = orders;
      const began = load.asked.length;
      await holding(`SELECT 1 FROM payment_order WHERE out_trade_no = '${held?.outTradeNo}' FOR UPDATE`, () =>
        sleep(sizeOf({ ci: 3000, long: 10_000 })),
      );
      const meanwhile = load.asked.slice(began);
      const toldOthers = meanwhile.filter(({ order, status }) => order !== held?.id && status === 503);
      expect(toldOthers).toEqual([]);
      const behind = meanwhile.filter(({ order, status }) => order === held?.id && status === 503);
      const beside = meanwhile.filter(({ order, status }) => order !== held?.id && status === 201);
      return { 'told 503': behind.length, 'taken beside it': beside.length };
    }),
  LIMIT_MS,
);

it(
  'a pool that is exhausted',
  () =>
    database.campaign('pool exhausted', async (load) => {
      const logged = database.service.log.length;
      let refused = 0;
      await holding('LOCK TABLE refund IN ACCESS EXCLUSIVE MODE', async () => {
        const crowd = Array.from({ length: 60 }, () => database.stack.api('GET', '/v1/refunds?limit=1'));
        refused = await database.watchDown(Promise.all(crowd));
        for (const { status } of await Promise.all(crowd)) expect(status).toBe(503);
      });
      const exhausted = database.service.log.slice(logged).split('timeout exceeded when trying to connect').length - 1;
      return { 'waited in vain for a connection': exhausted, 'told 503': load.refused.length + refused };
    }),
  LIMIT_MS,
);

it(
  'a database that is read-only',
  () =>
    database.campaign('read-only', async (load) => {
      const reload = (setting: string): Promise<void> =>
        database.postgres
          .sql(`ALTER SYSTEM SET default_transaction_read_only = ${setting}`)
          .then(() => database.postgres.sql('SELECT pg_reload_conf()'));
      await reload('on');
      await sleep(1500);
      const refused = load.refused.length;
      await database.postgres.sql('ALTER SYSTEM RESET default_transaction_read_only');
      await database.postgres.sql('SELECT pg_reload_conf()');
      return { 'told 503': refused };
    }),
  LIMIT_MS,
);

it(
  'a network that is down, and one that takes everything and answers nothing',
  () =>
    database.campaign('network', async () => {
      const before = { ...proxy.fired };
      await proxy.harm({ kind: 'down' });
      const down = await database.watchDown(sleep(1000));
      await proxy.harm({ kind: 'cut', afterBytes: 200 + dice.below(2000) });
      await proxy.untilFired('cut', before.cut + 3);
      await proxy.harm({ kind: 'latency', ms: 20 });
      await sleep(500);
      await proxy.harm({ kind: 'black_hole' });
      await sleep(sizeOf({ ci: 1000, long: 12_000 }));
      await proxy.heal();
      const times = (kind: 'down' | 'cut' | 'latency' | 'black_hole'): number => proxy.fired[kind] - before[kind];
      return {
        'told 503 while down': down,
        down: times('down'),
        cut: times('cut'),
        latency: times('latency'),
        'black hole': times('black_hole'),
      };
    }),
  LIMIT_MS,
);
