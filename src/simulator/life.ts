import { type Letter, notify } from './notices.js';
import { paymentNotice, refundNotice, v2Letter } from './v2/notices.js';
import { newEvent, paymentContent, refundContent, v3Letter } from './v3/notices.js';
import type { RefundState, SimulatedMerchant, SimulatedOrder, SimulatedRefund, World } from './world.js';

/** Moves a refund to a state and tells the merchant, as WeChat does when a refund ends. A closed one gives the money back. */
export function moveRefund(world: World, refund: SimulatedRefund, state: RefundState): void {
  const merchant = world.merchants.get(refund.order.mchId);
  if (!merchant || refund.state === state) return;
  if (state === 'REFUNDCLOSE') merchant.balanceFen += refund.amountFen;
  if (refund.state === 'REFUNDCLOSE') merchant.balanceFen -= refund.amountFen;
  world.setRefundState(refund, state);
  if (state === 'PROCESSING' || merchant.muteNotices || refund.notifyUrl === null) return;
  notify(world, {
    kind: 'refund',
    url: refund.notifyUrl,
    order: refund.order,
    outRefundNo: refund.outRefundNo,
    letter: refundLetters(world, merchant, refund),
  });
}

/** The deliveries of a refund's notice, in the form it was made with. */
function refundLetters(
  world: World,
  merchant: SimulatedMerchant,
  refund: SimulatedRefund,
): (attempt: number) => Letter | null {
  if (refund.noticeForm === 'v2') return () => v2Letter(refundNotice(world, refund));
  const notice = { event: newEvent(world), content: refundContent(refund) };
  return (attempt) => v3Letter(world, merchant, notice, attempt);
}

/** Lets accepted refunds succeed by themselves after the merchant's settling time. */
export function settleAccepted(world: World): void {
  for (const { mchId, settleAfterMs } of world.merchants.values()) {
    if (settleAfterMs === null) continue;
    for (const refund of world.processingOf(mchId)) {
      if (world.clock.nowMs() - refund.processingSinceMs < settleAfterMs) break;
      moveRefund(world, refund, 'SUCCESS');
    }
  }
}

/** The user pays: the order is paid now and its merchant is told. */
export function payOrder(world: World, order: SimulatedOrder): void {
  const merchant = world.merchants.get(order.mchId);
  if (!merchant) return;
  world.pay(order);
  merchant.balanceFen += order.totalFen;
  if (order.notifyUrl === null || merchant.muteNotices) return;
  const notice = { event: newEvent(world), content: paymentContent(world, order) };
  const letter = (attempt: number): Letter | null =>
    order.noticeForm === 'v2' ? v2Letter(paymentNotice(merchant, order)) : v3Letter(world, merchant, notice, attempt);
  notify(world, { kind: 'payment', url: order.notifyUrl, order, outRefundNo: null, letter });
}
