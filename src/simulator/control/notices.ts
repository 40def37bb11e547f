import { deliver, record } from '../notices.js';
import { FORGERIES, refundNotice, v2Letter } from '../v2/notices.js';
import { BadWish, type Wish } from '../wish.js';
import type { RefundState, SimulatedRefund, World } from '../world.js';

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
 * Sends copies of a notice at once, or after `delay_ms`, and says what each was answered. `url` sends them elsewhere,
 */
export async function sendNotices(world: World, wish: Wish, number: string): Promise<unknown> {
  const refund = refundOf(world, number, wish.optionalText('mch_id'));
  const forge = forgeryOf(wish);
  const url = wish.optionalText('url') ?? refund.notifyUrl;
  if (url === null) throw new BadWish('out_refund_no', 'has no notify_url');
  await new Promise((resolve) => setTimeout(resolve, wish.integer('delay_ms', 0)));
  const letter = v2Letter(refundNotice(world, refund, forge));
  const answers = await Promise.all(Array.from({ length: wish.integer('times', 1) }, () => deliver(url, letter)));
  if (forge === null) {
    for (const delivered of answers) {
      record(
        world,
        { kind: 'refund', order: refund.order, outRefundNo: number },
        { ...delivered, form: letter.form },
        1,
      );
    }
  }
  return { answers };
}

function forgeryOf(wish: Wish): string | null {
  const forge = wish.optionalText('forge');
  const words: readonly string[] = FORGERIES;
  if (forge !== null && !words.includes(forge) && !forge.startsWith('status:')) {
    throw new BadWish('forge', `must be one of ${words.join(', ')}, status:<STATUS>`);
  }
  return forge;
}
