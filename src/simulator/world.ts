import { type KeyObject, randomBytes } from 'node:crypto';
import { CertificateAuthority } from './certificates.js';
import { SimulatedClock } from './clock.js';
import { Ledger, type Version } from './ledger.js';
import { PlatformAuthority, type PlatformKeys } from './platform-keys.js';

export const REFUND_STATES = ['PROCESSING', 'SUCCESS', 'REFUNDCLOSE', 'CHANGE'] as const;
export type RefundState = (typeof REFUND_STATES)[number];

export interface SimulatedMerchant {
  readonly mchId: string;
  apiV2Key: string;
  /** Opens v3 notices and platform certificates; null: not set, so no v3 notice is sent. */
  apiV3Key: string | null;
  readonly appids: Set<string>;
  balanceFen: number;
  /** Serials of certificates that are revoked. */
  readonly revoked: Set<string>;
  /** The certificate in force. */
  serial: string;
  /** What the certificate in force is good for in v3: its key, until its end. */
  apiCertificate: { readonly publicKey: KeyObject; readonly endMs: number } | null;
  /** The keys that WeChat signs with towards this merchant. */
  readonly platform: PlatformKeys;
  /** Where notices of refunds made in the merchant platform go; null: none are sent. */
  vendorNotifyUrl: string | null;
  /** A new refund is not found by queries for this long. */
  visibilityLagMs: number;
  /** How long a refund stays PROCESSING; null: until told. */
  settleAfterMs: number | null;
  muteNotices: boolean;
  /** The caller's address is not on the allow-list: every refund answers NOAUTH. */
  noAuth: boolean;
}

export interface SimulatedOrder {
  readonly mchId: string;
  readonly appid: string;
  readonly outTradeNo: string;
  readonly totalFen: number;
  readonly openid: string;
  readonly attach: string;
  readonly notifyUrl: string | null;
  /** The form of its payment notice: that of the call that made it. */
  readonly noticeForm: Version;
  readonly prepayId: string;
  /** Tells the same order from another one. */
  readonly digest: string;
  transactionId: string | null;
  paidAtMs: number | null;
  closed: boolean;
  lastRefundRequestMs: number | null;
}

export interface SimulatedRefund {
  readonly order: SimulatedOrder;
  readonly outRefundNo: string;
  readonly refundId: string;
  readonly amountFen: number;
  readonly notifyUrl: string | null;
  readonly noticeForm: Version;
  readonly source: 'API' | 'VENDOR_PLATFORM';
  readonly createdMs: number;
  /** Since when WeChat works on it: a repair begins anew. */
  processingSinceMs: number;
  state: RefundState;
  succeededMs: number | null;
}

/** What WeChat enforces (protocol.md 5); tests may loosen it. */
export interface Limits {
  spacingSeconds: number;
  requestsPerSecond: number;
  failuresPerSecond: number;
  refundsPerOrder: number;
  windowDays: number;
  /** Added to every answer. */
  latencyMs: number;
}

/** Everything the simulated WeChat knows. */
export class World {
  readonly clock = new SimulatedClock();
  readonly ledger = new Ledger();
  readonly limits: Limits = {
    spacingSeconds: 60,
    requestsPerSecond: 150,
    failuresPerSecond: 6,
    refundsPerOrder: 50,
    windowDays: 365,
    latencyMs: 0,
  };
  readonly merchants = new Map<string, SimulatedMerchant>();
  readonly platformAuthority = new PlatformAuthority();
  /** What v3 signatures take their time from; `machine` while the simulated time runs away from what callers can know. */
  signatureClock: 'simulated' | 'machine' = 'simulated';
  private readonly orders = new Map<string, SimulatedOrder>();
  private readonly paidOrders = new Map<string, SimulatedOrder>();
  private readonly refunds = new Map<string, SimulatedRefund>();
  private readonly refundsById = new Map<string, SimulatedRefund>();
  private readonly refundsByOrder = new Map<SimulatedOrder, SimulatedRefund[]>();
  private readonly processing = new Map<string, Set<SimulatedRefund>>();
  private numbers = 0;

  constructor(readonly authority: CertificateAuthority) {}

  /** The time v3 signatures carry and are judged by. */
  signatureMs(): number {
    return this.signatureClock === 'machine' ? Date.now() : this.clock.nowMs();
  }

  order(mchId: string, outTradeNo: string): SimulatedOrder | undefined {
    return this.orders.get(`${mchId}/${outTradeNo}`);
  }

  orderByTransaction(mchId: string, transactionId: string): SimulatedOrder | undefined {
    return this.paidOrders.get(`${mchId}/${transactionId}`);
  }

  addOrder(order: SimulatedOrder): void {
    this.orders.set(`${order.mchId}/${order.outTradeNo}`, order);
  }

  /** The order is paid now, under a number of WeChat's own. */
  pay(order: SimulatedOrder): void {
    order.paidAtMs = this.clock.nowMs();
    order.transactionId = this.nextNumber('4200');
    this.paidOrders.set(`${order.mchId}/${order.transactionId}`, order);
  }

  allOrders(): SimulatedOrder[] {
    return [...this.orders.values()];
  }

  refund(mchId: string, outRefundNo: string): SimulatedRefund | undefined {
    return this.refunds.get(`${mchId}/${outRefundNo}`);
  }

  refundById(mchId: string, refundId: string): SimulatedRefund | undefined {
    return this.refundsById.get(`${mchId}/${refundId}`);
  }

  addRefund(refund: SimulatedRefund): void {
    const { mchId } = refund.order;
    this.refunds.set(`${mchId}/${refund.outRefundNo}`, refund);
    this.refundsById.set(`${mchId}/${refund.refundId}`, refund);
    this.refundsByOrder.set(refund.order, [...this.refundsOf(refund.order), refund]);
    this.processingOf(mchId).add(refund);
    this.ledger.accepted.push({
      mch_id: mchId,
      out_refund_no: refund.outRefundNo,
      out_trade_no: refund.order.outTradeNo,
      amount_fen: refund.amountFen,
      at: new Date().toISOString(),
    });
  }

  allRefunds(): SimulatedRefund[] {
    return [...this.refunds.values()];
  }

  /** Oldest first. */
  refundsOf(order: SimulatedOrder): readonly SimulatedRefund[] {
    return this.refundsByOrder.get(order) ?? [];
  }

  /** The merchant's refunds that WeChat works on, in the order in which it began to. */
  processingOf(mchId: string): Set<SimulatedRefund> {
    const found = this.processing.get(mchId) ?? new Set();
    this.processing.set(mchId, found);
    return found;
  }

  setRefundState(refund: SimulatedRefund, state: RefundState): void {
    const nowMs = this.clock.nowMs();
    refund.state = state;
    refund.succeededMs = state === 'SUCCESS' ? nowMs : null;
    const processing = this.processingOf(refund.order.mchId);
    processing.delete(refund);
    if (state !== 'PROCESSING') return;
    refund.processingSinceMs = nowMs;
    processing.add(refund);
  }

  /** What refunds of an order hold or have moved; closed ones gave it back. */
  refundedFen(order: SimulatedOrder): number {
    return this.refundsOf(order)
      .filter((refund) => refund.state !== 'REFUNDCLOSE')
      .reduce((sum, refund) => sum + refund.amountFen, 0);
  }

  /** A number of WeChat's own, 28 digits. */
  nextNumber(prefix: string): string {
    this.numbers += 1;
    return `${prefix}${String(this.numbers).padStart(8, '0')}${BigInt(`0x${randomBytes(7).toString('hex')}`)}`.slice(
      0,
      28,
    );
  }
}
