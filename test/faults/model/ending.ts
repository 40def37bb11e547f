import { audit, disagreements, type Ledger } from './ledger.js';
import { deliver } from './notices.js';
import type { World } from './world.js';

/** From one question's gap to the next, up to what ends every doubt, every aftermath and every rhythm. */
const JUMPS_SECONDS = [11, 61, 1300, 3700, 22_000, 90_000] as const;
const JUMPS_MAX = 24;
/** One in so many of what WeChat still works on is closed by it. */
const CLOSED_EVERY = 4;

/**
 * Faults end, WeChat finishes what it works on, and time runs on until nothing changes any more; then the database and WeChat's ledger
 * must be the same, whatever was done before, and every invariant must hold.
 */
export async function settle(ledger: Ledger): Promise<void> {
  const { world } = ledger;
  for (const { life } of world.instances) life.endAfter(Infinity);
  world.wechat.calm();
  let facts = await world.quiet();
  // What lingered has arrived by now, before any question could mend what it met.
  report(audit(ledger, facts));
  for (let jump = 0; jump < JUMPS_MAX; jump += 1) {
    finishAll(world, jump);
    await deliverAll(ledger);
    await world.forward(JUMPS_SECONDS[jump % JUMPS_SECONDS.length] ?? 0);
    facts = await world.quiet();
    if (isStill(world) && disagreements(ledger, facts).length === 0) break;
  }
  report([...audit(ledger, facts), ...disagreements(ledger, facts)]);
  const broken = await world.lane.brokenOf(world.merchant.mchId);
  if (Object.keys(broken).length > 0) throw new Error(`after the end: ${JSON.stringify(broken)}`);
}

function report(wrong: readonly string[]): void {
  if (wrong.length > 0) throw new Error(`after the end: ${wrong.join('\n')}`);
}

const isStill = (world: World): boolean =>
  [...world.wechat.holds.values()].every(({ status }) => status !== 'accepted');

function finishAll({ wechat }: World, jump: number): void {
  for (const [place, { outRefundNo, status }] of [...wechat.holds.values()].entries())
    if (status === 'accepted') wechat.finish(outRefundNo, (place + jump) % CLOSED_EVERY === 3 ? 'closed' : 'succeeded');
}

/** The notices that are left, and the truth about every refund that WeChat has been untrue about or that is not ours. */
async function deliverAll({ world, contradicted }: Ledger): Promise<void> {
  const { wechat, setting } = world;
  const { byHand } = wechat;
  for (const notice of wechat.notices.splice(0)) {
    const { outRefundNo } = notice.shown;
    if (setting.mute && !byHand.has(outRefundNo) && !contradicted.has(outRefundNo))
      world.did('a notice was lost for good');
    else await deliver(world, { ...notice, shown: wechat.holds.get(outRefundNo) ?? notice.shown });
  }
  for (const number of [...byHand, ...contradicted]) {
    const shown = wechat.holds.get(number);
    if (shown) await deliver(world, { key: `truth-${number}-${shown.status}`, shown });
  }
}
