import { setTimeout as sleep } from 'node:timers/promises';
import { type Order, Stack } from '../e2e/support/stack.js';
import { FaultProxy, type Toxic } from '../support/fault-proxy.js';
import { faultsOfBooks, settle } from './support/books.js';
import { assertFired, Dice, LIMIT_MS, SEED, sizeOf, summary } from './support/campaign.js';
import { Load } from './support/load.js';

/** The network between the built service and WeChat is broken, under TLS, while refunds are sent and asked about. */
const ROUNDS = sizeOf({ ci: 1, long: 3 });
const PER_SECOND = 40;
const ORDERS = sizeOf({ ci: 25, long: 100 });
/** The longest ends after the deadline of a call, 15 s. */
const HARM_MS = sizeOf({ ci: 1500, long: 17_000 });
const STEP_SECONDS = 400;
const dice = new Dice(SEED);

/** What the network does; bytes are those of an encrypted answer, from nothing to the whole of it. */
const toxics = (): Toxic[] => [
  { kind: 'latency', ms: 200 + dice.below(800) },
  { kind: 'down' },
  { kind: 'reset' },
  { kind: 'cut', afterBytes: dice.below(600) },
  { kind: 'black_hole' },
];

it(
  'a network to WeChat that is slow, down, reset, cut or swallowed up loses no refund and makes none twice',
  async () => {
    const stack = await Stack.withoutService();
    const proxy = await FaultProxy.before({ host: '127.0.0.1', port: stack.ports.simulator });
    try {
      await stack.addInstance({ WECHATPAY_BASE_URL: `https://localhost:${proxy.port}` });
      const merchant = await stack.merchant({
        simulator: { settle_after_ms: 100 },
        service: { refund_notify: 'apply' },
      });
      const total = { asked: 0, 'in doubt at the worst': 0 };
      for (let round = 0; round < ROUNDS; round += 1) {
        const orders: Order[] = await Promise.all(
          Array.from({ length: ORDERS }, () => stack.paidOrder(merchant, 1_000_000)),
        );
        const load = new Load(stack, orders, PER_SECOND);
        try {
          await load.untilTaken(10);
          for (const toxic of toxics()) {
            await proxy.harm(toxic);
            await sleep(HARM_MS);
            const { rowCount } = await stack.database.query(`SELECT 1 FROM refund WHERE in_doubt_since IS NOT NULL`);
            total['in doubt at the worst'] = Math.max(total['in doubt at the worst'], rowCount ?? 0);
            await proxy.heal();
            await sleep(300);
          }
        } finally {
          await load.stop();
        }
        expect(load.taken).toHaveLength(load.asked.length);
        await settle(stack, STEP_SECONDS);
        // What a mended network delivers at once it was given one after the other; the rate itself is shown in instances.spec.
        expect(await faultsOfBooks(stack, load.taken, ['requests_per_second'])).toEqual({});
        total.asked += load.asked.length;
      }
      // Under TLS no reply can be told from another, so none is swallowed; and both sides end a connection by reset, never by half.
      const { swallow: _, slow_close: __, ...fired } = proxy.fired;
      summary('network to WeChat', { rounds: ROUNDS, ...total, ...fired });
      assertFired({ ...total, ...fired }, 1);
    } finally {
      proxy.close();
      await stack.close();
    }
  },
  LIMIT_MS,
);
