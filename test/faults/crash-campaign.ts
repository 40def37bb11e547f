import { checkInvariants } from '../../src/commands/invariants/check-invariants.js';
import { readWechatLedger } from '../../src/commands/invariants/wechat-ledger.js';
import { CRASH_POINTS, type CrashPoint } from './crash-points.js';
import type { Fired } from './fired.js';
import { Random } from './random.js';
import type { Runner } from './runner.js';
import { SCENARIOS } from './scenarios.js';
import type { Shop } from './shop.js';

/** The number a point stands for: C08b is C08. */
export const POINT_IDS = CRASH_POINTS.map(({ id }) => id);
/** More than a lease, less than a doubt. */
const STEP_SECONDS = 61;

/**
 * One round: in an order that the seed decides the service ends at every point, and each new life finds what the last one has left while
 * the clock has gone on. Callers repeat what was not answered. Then the faults stop, the clock runs until nothing is under way, and
 * everything must hold, also beside the ledger of the simulated WeChat. Gives what does not; the numbers name the points.
 */
export async function crashRound(
  { shop, runner, fired }: { readonly shop: Shop; readonly runner: Runner; readonly fired: Fired },
  seed: number,
  points: readonly CrashPoint[] = CRASH_POINTS,
): Promise<readonly unknown[]> {
  const random = new Random(seed);
  let last = '';
  for (const point of random.shuffled(points)) {
    await shop.nextLife();
    await runner.start();
    await shop.repeat();
    await shop.stock();
    const at = { point, nth: random.integer(1, point.times) };
    if (await SCENARIOS[point.scenario]({ shop, runner, random, at })) fired.note(point.id);
    // What one life has left, the next one takes up, and ends on the way.
    if (last !== '') shop.pairs.add(`${last} ${point.id}`);
    last = point.id;
    await shop.forward(STEP_SECONDS);
  }
  await shop.nextLife();
  await runner.start();
  return broken(shop);
}

/** What does not hold once nothing is under way. */
async function broken(shop: Shop): Promise<readonly unknown[]> {
  const settled = await shop.settles();
  const ledger = await readWechatLedger(`http://127.0.0.1:${shop.stack.ports.control}`);
  const { findings } = await checkInvariants(shop.stack.databaseUrl, { ledger, settled: true, kids: ['a', 'b'] });
  return [...(settled ? [] : ['it does not come to rest']), ...findings, ...(await lost(shop)), ...told(shop)];
}

/** Refunds that were asked for and are not there, once and for that amount, or did not succeed as they all can. */
async function lost(shop: Shop): Promise<readonly unknown[]> {
  const { rows } = await shop.stack.database.query<{ out_refund_no: string; amount: number; state: string }>(
    'SELECT out_refund_no, amount_fen::integer AS amount, state FROM refund',
  );
  const here = new Map(rows.map((row) => [row.out_refund_no, row]));
  const missing = [...shop.asked].filter(([number, body]) => here.get(number)?.amount !== body['amount']);
  const open = rows.filter(({ state }) => state !== 'succeeded');
  return [...missing.map(([number]) => ({ lost: number })), ...open.map((row) => ({ not_succeeded: row }))];
}

/** Events that came under two ids, and endpoints that a life called though it was known before it began that they are gone. */
function told({ receiver, callsToGone }: Shop): readonly unknown[] {
  const ids = new Map<string, Set<unknown>>();
  for (const { path, headers, event } of receiver.received) {
    const key = `${path} ${event.id}`;
    ids.set(key, (ids.get(key) ?? new Set()).add(headers['webhook-id']));
  }
  return [
    ...[...ids].filter(([, { size }]) => size > 1).map(([event]) => ({ two_ids: event })),
    ...callsToGone.map((path) => ({ called_after_410: path })),
  ];
}
