import { createHash } from 'node:crypto';
import type { Version } from './ledger.js';
import type { SimulatedOrder, World } from './world.js';

/** Why an order cannot be paid or closed, whichever protocol asked. */
export type OrderTrouble = 'unknown' | 'paid' | 'closed' | 'number_used';

/** A well-formed order. */
export interface OrderWish {
  readonly version: Version;
  readonly appid: string;
  readonly description: string;
  readonly outTradeNo: string;
  readonly totalFen: number;
  readonly openid: string;
  readonly attach: string;
  readonly notifyUrl: string;
}

/** Makes the order, or finds it: the same one again has the same prepay_id. */
export function prepay(
  world: World,
  mchId: string,
  wish: OrderWish,
): { readonly order: SimulatedOrder } | { readonly trouble: OrderTrouble } {
  const digest = digestOf(wish);
  const order = world.order(mchId, wish.outTradeNo) ?? newOrder(world, mchId, wish, digest);
  if (order.paidAtMs !== null) return { trouble: 'paid' };
  if (order.closed) return { trouble: 'closed' };
  return order.digest === digest ? { order } : { trouble: 'number_used' };
}

function digestOf(wish: OrderWish): string {
  const { appid, description, outTradeNo, totalFen, openid, attach } = wish;
  return createHash('sha256')
    .update(JSON.stringify([appid, description, outTradeNo, totalFen, openid, attach]))
    .digest('hex');
}

function newOrder(world: World, mchId: string, wish: OrderWish, digest: string): SimulatedOrder {
  const { version: noticeForm, appid, outTradeNo, totalFen, openid, attach, notifyUrl } = wish;
  const order: SimulatedOrder = {
    mchId,
    appid,
    outTradeNo,
    totalFen,
    openid,
    attach,
    notifyUrl,
    noticeForm,
    digest,
    prepayId: `wx${world.nextNumber('2026')}`,
    transactionId: null,
    paidAtMs: null,
    closed: false,
    lastRefundRequestMs: null,
  };
  world.addOrder(order);
  return order;
}

/** Closes an order that is not paid; says what hinders it. */
export function closeOrder(world: World, mchId: string, outTradeNo: string): OrderTrouble | null {
  const order = world.order(mchId, outTradeNo);
  if (!order) return 'unknown';
  if (order.paidAtMs !== null) return 'paid';
  if (order.closed) return 'closed';
  order.closed = true;
  return null;
}
