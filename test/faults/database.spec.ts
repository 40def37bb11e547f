import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { setRoleTimeoutsOf } from '../../src/database/migrations.js';
import { type Instance, type Merchant, type Order, Stack } from '../e2e/support/stack.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { faultsOfBooks, settle } from './support/books.js';
import { assertFired, Dice, SEED, sizeOf, summary } from './support/campaign.js';
import { Load } from './support/load.js';
import { OwnPostgres } from './support/own-postgres.js';

/** Faults of the database under the built service, each while callers ask for refunds; a proxy stands between the two. */
const PER_SECOND = sizeOf({ ci: 40, long: 100 });
const ROUNDS = sizeOf({ ci: 1, long: 10 });
const HEALTHY_MS = 5000;
const LIMIT_MS = sizeOf({ ci: 22_000, long: 300_000 });
const dice = new Dice(SEED);

let postgres: OwnPostgres;
let stack: Stack;
let proxy: FaultProxy;
let service: Instance;
let merchant: Merchant;

beforeAll(async () => {
  postgres = await OwnPostgres.start();
  stack = await Stack.withoutService({}, postgres.url);
  await setRoleTimeoutsOf(stack.databaseUrl);
  proxy = await FaultProxy.before({ host: '127.0.0.1', port: Number(new URL(stack.databaseUrl).port) });
  const through = new URL(stack.databaseUrl);
  through.port = String(proxy.port);
  through.searchParams.set('application_name', 'service');
  service = await stack.addInstance({ DATABASE_URL: through.href });
  merchant = await stack.merchant({ simulator: { settle_after_ms: 100 }, service: { refund_notify: 'apply' } });
}, 60_000);
afterAll(async () => {
  proxy.close();
  await stack.close();
  await postgres.close();
});

/** What a harm did, by name; none may be zero. */
type Fired = Readonly<Record<string, number>>;

async function paidOrders(count: number): Promise<Order[]> {
  const orders: Order[] = [];
  for (let n = 0; n < count; n += 1) orders.push(await stack.paidOrder(merchant, 1_000_000));
  return orders;
}

/** Milliseconds until the service takes a refund and says that it is ready. */
async function healthyAfterMs(order: Order): Promise<number> {
  const beganMs = performance.now();
  for (;;) {
    const ready = await stack.api('GET', '/health/ready');
    const { status } = await stack.api(
      'POST',
      '/v1/refunds',
      { order: order.id, amount: 1 },
      { 'idempotency-key': `${beganMs}` },
    );
    if (ready.status === 200 && status < 300) return Math.round(performance.now() - beganMs);
    if (performance.now() - beganMs > 30_000) throw new Error('the service does not become healthy');
    await sleep(20);
  }
}

/** One campaign: callers ask all the while, `harm` breaks the database and mends it again, and then nothing may be missing. */
async function campaign(name: string, harm: (load: Load, orders: readonly Order[]) => Promise<Fired>): Promise<void> {
  let healthyMs = 0;
  let asked = 0;
  let refused = 0;
  const fired: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round += 1) {
    const orders = await paidOrders(25);
    const load = new Load(stack, orders, PER_SECOND);
    try {
      await load.untilTaken(10);
      for (const [what, count] of Object.entries(await harm(load, orders))) fired[what] = (fired[what] ?? 0) + count;
      const [order] = await paidOrders(1).catch(() => orders);
      healthyMs = Math.max(healthyMs, await healthyAfterMs(order ?? fail('an order')));
    } finally {
      await load.stop();
      if (service.child.exitCode !== null) process.stdout.write(`THE SERVICE ENDED: ${service.log.slice(-2000)}\n`);
    }
    asked += load.asked.length;
    refused += load.refused.length;
    expect([service.child.exitCode, service.child.signalCode]).toEqual([null, null]);
    expect(load.strange).toEqual([]);
    await load.askAgain();
    expect(load.taken).toHaveLength(load.asked.length);
    await settle(stack);
    expect(await faultsOfBooks(stack, load.taken)).toEqual({});
  }
  summary(name, { rounds: ROUNDS, asked, refused, 'healthy after ms': healthyMs, ...fired });
  assertFired(fired, 1);
  expect(healthyMs).toBeLessThanOrEqual(HEALTHY_MS);
}

function fail(what: string): never {
  throw new Error(`there is no ${what}`);
}

/** Looks at the service every 50 ms until `over`: it must live, and whoever asks is told 503 at least once. */
async function watchDown(over: Promise<unknown>): Promise<number> {
  let refused = 0;
  let running = true;
  const ended = over.finally(() => (running = false));
  while (running) {
    const [live, ready] = await Promise.all([stack.api('GET', '/health/live'), stack.api('GET', '/health/ready')]);
    expect(live.status).toBe(200);
    if (ready.status === 503) {
      expect(ready.headers.get('content-type')).toContain('application/problem+json');
      refused += 1;
    }
    await Promise.race([sleep(50), ended]);
  }
  await ended;
  return refused;
}

it(
  'an immediate restart',
  () =>
    campaign('immediate restart', async () => {
      await postgres.endAtOnce();
      const down = await watchDown(sleep(500));
      await postgres.ensureRunning();
      return { restarts: 1, 'told 503 while down': down };
    }),
  LIMIT_MS,
);

it(
  'killed backends',
  () =>
    campaign('killed backends', async () => {
      let killed = 0;
      for (let n = 0; n < 30; n += 1) {
        const { rowCount } = await stack.database.query(
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
    campaign('swallowed COMMIT', async (load) => {
      const before = proxy.fired.swallow;
      await proxy.harm({ kind: 'swallow', ask: 'COMMIT', then: 'reset' });
      await proxy.untilFired('swallow', before + 5);
      // The intake is one statement: its commit is its own reply.
      await proxy.harm({ kind: 'swallow', ask: '"out_refund_no":"L', then: 'reset' });
      await proxy.untilFired('swallow', before + 10);
      await proxy.heal();
      const deadline = performance.now() + 5000;
      while (load.refused.length === 0 && performance.now() < deadline) await sleep(20);
      return { swallowed: proxy.fired.swallow - before, 'told 503': load.refused.length };
    }),
  LIMIT_MS,
);

/** Holds locks for a while, from a session of its own. */
async function holding(sql: string, during: () => Promise<void>): Promise<void> {
  const session = new pg.Client({ connectionString: stack.databaseUrl });
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
    campaign('lock held', async (load, orders) => {
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
    campaign('pool exhausted', async (load) => {
      const logged = service.log.length;
      let refused = 0;
      await holding('LOCK TABLE refund IN ACCESS EXCLUSIVE MODE', async () => {
        const crowd = Array.from({ length: 60 }, () => stack.api('GET', '/v1/refunds?limit=1'));
        refused = await watchDown(Promise.all(crowd));
        for (const { status } of await Promise.all(crowd)) expect(status).toBe(503);
      });
      const exhausted = service.log.slice(logged).split('timeout exceeded when trying to connect').length - 1;
      return { 'waited in vain for a connection': exhausted, 'told 503': load.refused.length + refused };
    }),
  LIMIT_MS,
);

it(
  'a database that is read-only',
  () =>
    campaign('read-only', async (load) => {
      const reload = (setting: string): Promise<void> =>
        postgres
          .sql(`ALTER SYSTEM SET default_transaction_read_only = ${setting}`)
          .then(() => postgres.sql('SELECT pg_reload_conf()'));
      await reload('on');
      await sleep(1500);
      const refused = load.refused.length;
      await postgres.sql('ALTER SYSTEM RESET default_transaction_read_only');
      await postgres.sql('SELECT pg_reload_conf()');
      return { 'told 503': refused };
    }),
  LIMIT_MS,
);

it(
  'a network that is down, and one that takes everything and answers nothing',
  () =>
    campaign('network', async () => {
      const before = { ...proxy.fired };
      await proxy.harm({ kind: 'down' });
      const down = await watchDown(sleep(1000));
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
