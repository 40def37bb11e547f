import { setTimeout as sleep } from 'node:timers/promises';
import { migrationStatus } from '../../src/database/migrations.js';
import { endpointFor } from '../e2e/support/receiver.js';
import { type Json, unique } from '../e2e/support/stack.js';
import { createEmptyDatabase } from '../support/database.js';
import type { Scenario } from './crash-points.js';
import type { Random } from './random.js';
import type { CrashAt, Runner } from './runner.js';
import type { Shop } from './shop.js';

/** What a scenario works with: a shop on a running service, and where that is to end. */
export interface Scene {
  readonly shop: Shop;
  readonly runner: Runner;
  readonly random: Random;
  readonly at: CrashAt;
}

const LIMIT_MS = 20_000;
const ASK_EVERY_MS = 80;

/** Works until the point is reached; true when it was. What is left to do for those who work here they do in the next life. */
export const SCENARIOS: Readonly<Record<Scenario, (scene: Scene) => Promise<boolean>>> = {
  refunds: async (scene) => {
    scene.runner.arm(scene.at);
    return askUntilEnd(scene);
  },

  events: async (scene) => {
    scene.runner.arm(scene.at);
    return askUntilEnd(scene);
  },

  gone_endpoint: async (scene) => {
    const { shop, runner, random, at } = scene;
    const path = `/gone-${unique()}`;
    const wish = { events: ['refund.created'], appids: [shop.own.appid] };
    await endpointFor(shop.stack, `${shop.receiver.url}${path}`, wish);
    runner.arm(at);
    await shop.ask(random, at.point.id, shop.own);
    return ended(runner);
  },

  key_rotation: async ({ shop, runner, at }) => {
    const { rows } = await shop.stack.database.query<{ kek_id: string }>('SELECT kek_id FROM webhook_secret LIMIT 1');
    const env = { MASTER_KEY_ACTIVE: rows[0]?.kek_id === 'a' ? 'b' : 'a' };
    const broken = await runner.command(['master-key', 'rotate'], env, at);
    // It ends with 1 where the service, which runs on under the key before, has sealed another notice meanwhile.
    await runner.command(['master-key', 'rotate'], env, null);
    const left = await shop.stack.database.query(
      'SELECT 1 FROM webhook_secret WHERE kek_id <> $1 UNION ALL SELECT 1 FROM credential WHERE kek_id <> $1',
      [env.MASTER_KEY_ACTIVE],
    );
    if (left.rows.length > 0)
      throw new Error('a broken rotation, begun again, has left something under the key before');
    return broken === null;
  },

  new_key: async ({ shop, runner, at }) => {
    const { mchId } = shop.own;
    const { api_v2_key: key } = await shop.stack.control('POST', `/merchants/${mchId}/key`, { kind: 'v2' });
    const path = `/v1/merchants/${mchId}/credentials`;
    runner.arm(at);
    const answer = await shop.stack.api('PUT', path, { api_v2_key: key }).catch(() => null);
    if (answer !== null || !(await ended(runner))) return false;
    await runner.start();
    await shop.stack.ok('PUT', path, { api_v2_key: key });
    return true;
  },

  migration: async ({ runner, at }) => {
    const { url, drop } = await createEmptyDatabase();
    const broken = await runner.command(['migrate', 'up'], { DATABASE_URL: url }, at);
    const left = await migrationStatus(url);
    const again = await runner.command(['migrate', 'up'], { DATABASE_URL: url }, null);
    const done = await migrationStatus(url);
    await drop();
    const applied = (states: typeof left): number => states.filter(({ state }) => state === 'applied').length;
    if (broken === null && applied(left) !== at.nth - 1)
      throw new Error(`${applied(left)} migrations stand after ${at.nth - 1}`);
    if (again !== 0 || applied(done) !== done.length) throw new Error('a broken migration, begun again, is not whole');
    return broken === null;
  },

  shutdown: async (scene) => {
    const { shop, runner, random, at } = scene;
    const [merchant] = shop.merchants;
    if (!merchant) return false;
    await shop.stack.fault({ mch_id: merchant.mchId, fault: 'slow', delay_ms: 2000, times: 1000 });
    const known = await requestsOf(shop);
    await shop.ask(random, at.point.id, merchant);
    await sending(shop, known);
    runner.arm(at);
    runner.shutDown();
    const done = await ended(runner);
    await shop.stack.control('DELETE', '/faults');
    return done;
  },
};

/** Refund after refund until the service has ended. */
async function askUntilEnd({ shop, runner, random, at }: Scene): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < LIMIT_MS && !runner.hasEnded; waitedMs += ASK_EVERY_MS) {
    await Promise.all([shop.ask(random, at.point.id), sleep(ASK_EVERY_MS)]);
  }
  return runner.hasEnded;
}

async function ended(runner: Runner): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < LIMIT_MS && !runner.hasEnded; waitedMs += 20) await sleep(20);
  return runner.hasEnded;
}

/** Waits until WeChat, which is slow, has the request of a refund of this point: one that is only claimed would be given back. */
async function sending(shop: Shop, known: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < LIMIT_MS && (await requestsOf(shop)) === known; waitedMs += 20) await sleep(20);
}

async function requestsOf(shop: Shop): Promise<number> {
  const { requests } = (await shop.stack.control('GET', '/ledger')) as { requests: Json[] };
  return requests.filter((row) => row['call'] === 'refund' && String(row['out_refund_no']).startsWith('C36-')).length;
}
