import type { Version } from './ledger.js';
import type { SimulatedMerchant, SimulatedOrder, SimulatedRefund, World } from './world.js';

/**
 * What WeChat asks of a refund, whichever protocol brought it (protocol.md 5). Each protocol says a broken rule in words of its own; the
 * same number with the same amounts is the same refund and moves no more money.
 */
export type BrokenRule =
  | 'order_unknown'
  | 'other_appid'
  | 'spacing'
  | 'amounts_differ'
  | 'number_used'
  | 'overdue'
  | 'too_many'
  | 'sum_exceeded'
  | 'balance';

/** A well-formed refund request. */
export interface RefundWish {
  readonly version: Version;
  readonly order: SimulatedOrder | undefined;
  /** The appid the request names; null where the protocol names none. */
  readonly appid: string | null;
  readonly outRefundNo: string;
  readonly totalFen: number;
  readonly amountFen: number;
  readonly notifyUrl: string | null;
}

export type Judged = { readonly refund: SimulatedRefund } | { readonly broken: BrokenRule };

const REFUND_NUMBER = /^[0-9A-Za-z_\-|*@]{1,64}$/;
const TRADE_NUMBER = /^[0-9A-Za-z_\-|*]{6,32}$/;
const URL_LENGTH_MAX = 256;
const DAY_MS = 86_400_000;

export const isRefundNumber = (text: string): boolean => REFUND_NUMBER.test(text);
export const isTradeNumber = (text: string): boolean => TRADE_NUMBER.test(text);
export const isNotifyUrl = (url: string): boolean =>
  URL.canParse(url) && new URL(url).search === '' && url.length <= URL_LENGTH_MAX;

/** Judges a refund request and carries it out when no rule is broken. */
export function requestRefund(world: World, merchant: SimulatedMerchant, wish: RefundWish): Judged {
  const { order } = wish;
  if (!order || order.paidAtMs === null) return { broken: 'order_unknown' };
  if ((wish.appid ?? order.appid) !== order.appid) return { broken: 'other_appid' };
  if (spacingBroken(world, order)) return { broken: 'spacing' };
  const known = world.refund(merchant.mchId, wish.outRefundNo);
  if (amountsDiffer(wish, order, known)) return { broken: 'amounts_differ' };
  return known ? repeated(known, order) : firstTime(world, merchant, order, wish);
}

function amountsDiffer(wish: RefundWish, order: SimulatedOrder, known: SimulatedRefund | undefined): boolean {
  return wish.totalFen !== order.totalFen || (known !== undefined && known.amountFen !== wish.amountFen);
}

/** The same number again: the same refund, and no more money. */
function repeated(known: SimulatedRefund, order: SimulatedOrder): Judged {
  return known.order === order ? { refund: known } : { broken: 'number_used' };
}

function spacingBroken(world: World, order: SimulatedOrder): boolean {
  const nowMs = world.clock.nowMs();
  const gapMs = nowMs - (order.lastRefundRequestMs ?? -Infinity);
  order.lastRefundRequestMs = nowMs;
  // One millisecond of grace: both ends measure in whole milliseconds.
  if (gapMs >= world.limits.spacingSeconds * 1000 - 1) return false;
  world.ledger.violate('spacing', order.mchId, order.outTradeNo);
  return true;
}

/** The rule that a number not seen before breaks. */
function brokenByFirst(
  world: World,
  merchant: SimulatedMerchant,
  order: SimulatedOrder,
  amountFen: number,
): BrokenRule | null {
  const { limits, clock } = world;
  if (clock.nowMs() >= (order.paidAtMs ?? 0) + limits.windowDays * DAY_MS) return 'overdue';
  const live = world.refundsOf(order).filter((entry) => entry.state !== 'REFUNDCLOSE');
  if (live.length >= limits.refundsPerOrder) return 'too_many';
  if (world.refundedFen(order) + amountFen > order.totalFen) return 'sum_exceeded';
  return merchant.balanceFen < amountFen ? 'balance' : null;
}

/** A v3 refund without notify_url is told of in V2's form, to the URL of the merchant platform. Source: protocol.md 4.5. */
function firstTime(world: World, merchant: SimulatedMerchant, order: SimulatedOrder, wish: RefundWish): Judged {
  const broken = brokenByFirst(world, merchant, order, wish.amountFen);
  if (broken !== null) return { broken };
  const refund = acceptRefund(world, order, {
    outRefundNo: wish.outRefundNo,
    amountFen: wish.amountFen,
    notifyUrl: wish.notifyUrl ?? merchant.vendorNotifyUrl,
    noticeForm: wish.notifyUrl === null ? 'v2' : wish.version,
    source: 'API',
  });
  return { refund };
}

/** Books a refund and takes its money from the merchant's balance. */
export function acceptRefund(
  world: World,
  order: SimulatedOrder,
  wish: Pick<SimulatedRefund, 'outRefundNo' | 'amountFen' | 'notifyUrl' | 'noticeForm' | 'source'>,
): SimulatedRefund {
  const merchant = world.merchants.get(order.mchId);
  if (merchant) merchant.balanceFen -= wish.amountFen;
  const nowMs = world.clock.nowMs();
  const made: SimulatedRefund = {
    ...wish,
    order,
    refundId: world.nextNumber('5030'),
    createdMs: nowMs,
    processingSinceMs: nowMs,
    state: 'PROCESSING',
    succeededMs: null,
  };
  world.addRefund(made);
  return made;
}

/** What may name an order. */
interface OrderNames {
  readonly transactionId?: string | undefined;
  readonly outTradeNo?: string | undefined;
}

/** The order a refund or query names; transaction_id wins over out_trade_no. */
export function orderNamed(world: World, mchId: string, names: OrderNames): SimulatedOrder | undefined {
  if (names.transactionId !== undefined) return world.orderByTransaction(mchId, names.transactionId);
  return names.outTradeNo === undefined ? undefined : world.order(mchId, names.outTradeNo);
}

/** What may name a refund, or all of an order. */
type RefundNames = OrderNames & {
  readonly refundId?: string | undefined;
  readonly outRefundNo?: string | undefined;
};

/** The merchant's refunds that a query names and shows by now, oldest first; refund_id wins over out_refund_no, that over the order's. */
export function visibleRefunds(world: World, merchant: SimulatedMerchant, names: RefundNames): SimulatedRefund[] {
  return refundsNamed(world, merchant.mchId, names).filter(
    (entry) => world.clock.nowMs() - entry.createdMs >= merchant.visibilityLagMs,
  );
}

function refundsNamed(world: World, mchId: string, names: RefundNames): readonly SimulatedRefund[] {
  const { refundId, outRefundNo } = names;
  if (refundId === undefined && outRefundNo === undefined) {
    const order = orderNamed(world, mchId, names);
    return order ? world.refundsOf(order) : [];
  }
  const one = refundId === undefined ? world.refund(mchId, outRefundNo ?? '') : world.refundById(mchId, refundId);
  return one ? [one] : [];
}
