import { setTimeout as sleep } from 'node:timers/promises';
import { setRoleSettingsOf } from '../../../src/database/migrations.js';
import type { Instance } from '../../e2e/support/instance.js';
import { type Merchant, type Order, Stack } from '../../e2e/support/stack.js';
import { faultsOfBooks, settle } from './books.js';
import { assertFired, sizeOf, summary } from './campaign.js';
import { Load } from './load.js';
import { OwnPostgres, type OwnPostgresOptions } from './own-postgres.js';

const PER_SECOND = sizeOf({ ci: 20, long: 40 });
const ROUNDS = sizeOf({ ci: 1, long: 2 });
/** No idle connection, whose end a request could meet: whatever is cut off, the service has cut off. */
const ONE_REQUEST = { connection: 'close' };
const HEALTHY_MS = 5000;
const HEALTHY_LIMIT_MS = 30_000;
const ORDERS = sizeOf({ ci: 25, long: 100 });

/** What a harm did, by name; none may be zero. */
export type Fired = Readonly<Record<string, number>>;
type Harm = (load: Load, orders: readonly Order[]) => Promise<Fired>;

/** The built service on a PostgreSQL of its own that is broken while callers ask for refunds. */
export class BrokenDatabase {
  private mendedMs: number | null = null;

  private constructor(
    readonly postgres: OwnPostgres,
    readonly stack: Stack,
    private instance: Instance,
    private readonly merchant: Merchant,
  ) {}

  /** The service goes to the address that `reachedBy` makes of the database's own. */
  static async start(
    options: OwnPostgresOptions = {},
    reachedBy: (url: string) => Promise<string> = (url) => Promise.resolve(url),
  ): Promise<BrokenDatabase> {
    const postgres = await OwnPostgres.start(options);
    const stack = await Stack.withoutService({}, postgres.url);
    await setRoleSettingsOf(stack.databaseUrl);
    const service = await stack.addInstance({ DATABASE_URL: named(await reachedBy(stack.databaseUrl)) });
    const merchant = await stack.merchant({
      simulator: { settle_after_ms: 100 },
      service: { refund_notify: 'apply' },
    });
    return new BrokenDatabase(postgres, stack, service, merchant);
  }

  async close(): Promise<void> {
    await this.stack.close();
    await this.postgres.close();
  }

  get service(): Instance {
    return this.instance;
  }

  /** Another process of the service takes the place of the one that runs, at the same address. */
  async replaceService(env: Readonly<Record<string, string>>): Promise<void> {
    const { url } = this.instance;
    await this.instance.kill();
    this.instance = await this.stack.addInstance({ ...env, PORT: new URL(url).port, PUBLIC_URL: url });
  }

  async paidOrders(count: number): Promise<Order[]> {
    const orders: Order[] = [];
    for (let n = 0; n < count; n += 1) orders.push(await this.stack.paidOrder(this.merchant, 1_000_000));
    return orders;
  }

  /** One campaign: callers ask all the while, `harm` breaks the database and mends it again, and then nothing may be missing. */
  async campaign(name: string, harm: Harm): Promise<void> {
    const fired: Record<string, number> = {};
    let healthyMs = 0;
    let asked = 0;
    let refused = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const load = new Load(this.stack, await this.paidOrders(ORDERS), PER_SECOND, ONE_REQUEST);
      healthyMs = Math.max(healthyMs, await this.underLoad(load, harm, fired));
      asked += load.asked.length;
      refused += load.refused.length;
      await this.expectNothingLost(load);
    }
    summary(name, { rounds: ROUNDS, asked, refused, 'healthy after ms': healthyMs, ...fired });
    assertFired(fired, 1);
    expect(healthyMs).toBeLessThanOrEqual(HEALTHY_MS);
  }

  /** Looks at the service every 50 ms until `over`: it must live. Gives how often it was not ready. */
  async watchDown(over: Promise<unknown>): Promise<number> {
    let refused = 0;
    let running = true;
    const ended = over.finally(() => (running = false));
    while (running) {
      const [live, ready] = await Promise.all(
        ['live', 'ready'].map((probe) => this.stack.api('GET', `/health/${probe}`)),
      );
      expect(live?.status).toBe(200);
      if (ready?.status === 503) {
        expect(ready.headers.get('content-type')).toContain('application/problem+json');
        refused += 1;
      }
      await Promise.race([sleep(50), ended]);
    }
    await ended;
    return refused;
  }

  /** What a harm calls when its cause is gone and more is to do: health is measured from here, and else from the end of the harm. */
  mendingBegins(): void {
    this.mendedMs = performance.now();
  }

  /** One round of harm, added to `fired`; gives the milliseconds until the service was healthy after it. */
  private async underLoad(load: Load, harm: Harm, fired: Record<string, number>): Promise<number> {
    this.mendedMs = null;
    try {
      await load.untilTaken(10);
      for (const [what, count] of Object.entries(await harm(load, load.orders)))
        fired[what] = (fired[what] ?? 0) + count;
      const sinceMs = this.mendedMs ?? performance.now();
      const [order] = await this.paidOrders(1).catch(() => load.orders);
      return await this.healthyAfterMs(order?.id ?? '', sinceMs);
    } finally {
      await load.stop();
      const { child, log } = this.service;
      if (child.exitCode !== null) process.stdout.write(`THE SERVICE ENDED: ${log.slice(-2000)}\n`);
    }
  }

  /** Milliseconds since `sinceMs` when the service takes a refund and says that it is ready. */
  private async healthyAfterMs(order: string, sinceMs: number): Promise<number> {
    for (;;) {
      const ready = await this.stack.api('GET', '/health/ready');
      const key = { 'idempotency-key': `${sinceMs}` };
      const { status } = await this.stack.api('POST', '/v1/refunds', { order, amount: 1 }, key);
      const tookMs = performance.now() - sinceMs;
      if (ready.status === 200 && status < 300) return Math.round(tookMs);
      if (tookMs > HEALTHY_LIMIT_MS) throw new Error('the service does not become healthy');
      await sleep(20);
    }
  }

  private async expectNothingLost(load: Load): Promise<void> {
    expect([this.service.child.exitCode, this.service.child.signalCode]).toEqual([null, null]);
    expect(load.strange).toEqual([]);
    await load.askAgain();
    expect(load.taken).toHaveLength(load.asked.length);
    await settle(this.stack);
    expect(await faultsOfBooks(this.stack, load.taken)).toEqual({});
  }
}

/** The address under which the connections of the service are known from those of the campaign. */
export function named(url: string): string {
  const changed = new URL(url);
  changed.searchParams.set('application_name', 'service');
  return changed.href;
}
