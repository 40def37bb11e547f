import type { Version } from '../ledger.js';
import { deliver, type Letter, record } from '../notices.js';
import { FORGERIES, refundNotice, v2Letter } from '../v2/notices.js';
import { V3_FORGERIES, v3RefundNotice } from '../v3/forgeries.js';
import { BadWish, type Wish } from '../wish.js';
import type { RefundState, SimulatedRefund, World } from '../world.js';
import { merchantOf } from './merchants.js';

/** The states by V2's words and by v3's. */
export const STATE_WORDS: Readonly<Record<string, RefundState>> = {
  PROCESSING: 'PROCESSING',
  SUCCESS: 'SUCCESS',
  REFUNDCLOSE: 'REFUNDCLOSE',
  CLOSED: 'REFUNDCLOSE',
  CHANGE: 'CHANGE',
  ABNORMAL: 'CHANGE',
};

export function refundOf(world: World, number: string, mchId: string | null): SimulatedRefund {
  const found = world
    .allRefunds()
    .filter((refund) => refund.outRefundNo === number && (mchId ?? refund.order.mchId) === refund.order.mchId);
  const [refund] = found;
  if (!refund || found.length > 1) throw new BadWish('out_refund_no', refund ? 'needs mch_id' : 'names no refund');
  return refund;
}

/**
 * Sends copies of a notice at once, or after `delay_ms`, and says what each was answered. `url` sends them elsewhere, `version` in the
 * other protocol's form. The copies are one message over and over: a v3 event of its own with one signature.
 */
export async function sendNotices(world: World, wish: Wish, number: string): Promise<unknown> {
  const refund = refundOf(world, number, wish.optionalText('mch_id'));
  const form = wish.has('version') ? wish.oneOf('version', ['v2', 'v3'] as const) : refund.noticeForm;
  const forge = forgeryOf(wish, form);
  const url = wish.optionalText('url') ?? refund.notifyUrl;
  if (url === null) throw new BadWish('out_refund_no', 'has no notify_url');
  await new Promise((resolve) => setTimeout(resolve, wish.integer('delay_ms', 0)));
  const letter = letterOf(world, refund, form, forge);
  const answers = await Promise.all(Array.from({ length: wish.integer('times', 1) }, () => deliver(url, letter)));
  if (forge === null) {
    for (const delivered of answers) {
      record(world, { kind: 'refund', order: refund.order, outRefundNo: number }, { ...delivered, form }, 1);
    }
  }
  return { answers };
}

function forgeryOf(wish: Wish, form: Version): string | null {
  const forge = wish.optionalText('forge');
  const words: readonly string[] = form === 'v2' ? FORGERIES : V3_FORGERIES;
  if (forge !== null && !words.includes(forge) && !forge.startsWith('status:')) {
    throw new BadWish('forge', `must be one of ${words.join(', ')}, status:<STATUS>`);
  }
  return forge;
}

function letterOf(world: World, refund: SimulatedRefund, form: Version, forge: string | null): Letter {
  if (form === 'v2') return v2Letter(refundNotice(world, refund, forge));
  const letter = v3RefundNotice(world, merchantOf(world, refund.order.mchId), refund, forge);
  if (letter === null) throw new BadWish('out_refund_no', 'belongs to a merchant without an APIv3 key');
  return letter;
}
