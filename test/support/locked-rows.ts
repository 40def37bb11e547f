import type { AnyBooking, LockedOrder, LockedRefund, RefundFields, SendBooking } from '../../src/refunds/bookings.js';
import type { ShownRefund } from '../../src/refunds/refund-gateway.port.js';
import type { RefundState } from '../../src/refunds/states.js';

/** Rows as they are under their locks, and bookings about them: what the pure decisions take. */
export const NOW = new Date('2026-06-01T00:00:00Z');
export const before = (seconds: number): Date => new Date(NOW.getTime() - seconds * 1000);
export const at = (seconds: number): Date => before(-seconds);

export const order = (change: Partial<LockedOrder> = {}): LockedOrder => ({
  id: 'o1',
  outTradeNo: 'T000001',
  transactionId: '42',
  paidFen: 1000,
  paidAt: before(3600),
  nextSendAt: null,
  reservedFen: 300,
  refundedFen: 0,
  outsideFen: 0,
  refundCount: 1,
  eventSequence: 0,
  ...change,
});

export const refund = (state: RefundState, change: Partial<LockedRefund> = {}): LockedRefund => ({
  id: 'r1',
  orderId: 'o1',
  mchId: '1900000001',
  appid: 'wx1',
  outRefundNo: 'R1',
  amountFen: 300,
  source: 'api',
  apiVersion: 'v2',
  version: 3,
  state,
  stateSince: before(60),
  bookedOutside: false,
  outsideShownFen: null,
  refundId: null,
  inDoubtSince: state === 'submitting' ? before(1) : null,
  leaseToken: state === 'submitting' ? 'call' : null,
  leaseUntil: state === 'submitting' ? at(59) : null,
  nextAttemptAt: null,
  firstSentAt: before(60),
  attempts: 0,
  notSentCount: 0,
  nextQueryAt: null,
  queryStep: 0,
  failureCode: null,
  failureWechatCode: null,
  failureMessage: null,
  userReceivedAccount: null,
  succeededAt: null,
  eventSequence: 1,
  toldOnce: [],
  ...change,
});

export const shown = (change: Partial<ShownRefund> = {}): ShownRefund => ({
  status: 'accepted',
  mchId: '1900000001',
  appid: 'wx1',
  outTradeNo: 'T000001',
  transactionId: '42',
  outRefundNo: 'R1',
  refundId: '50',
  refundFen: 300,
  totalFen: 1000,
  userReceivedAccount: null,
  succeededAt: null,
  wechatStatus: 'SUCCESS',
  ...change,
});

export const booking = { orderId: 'o1', refundId: 'r1', cause: 'answer', sourceId: 'call' } as const;
export const sent = (outcome: SendBooking['outcome'], change: Partial<SendBooking> = {}): AnyBooking => ({
  ...booking,
  kind: 'send',
  outcome,
  code: 'CODE',
  message: null,
  leaseToken: 'call',
  written: true,
  inDoubtBefore: null,
  firstSend: true,
  dueAt: before(30),
  ...change,
});
export const notFound = (askedAt = NOW): AnyBooking => ({
  ...booking,
  kind: 'not_shown',
  found: false,
  leaseToken: 'call',
  askedAt,
  planned: true,
});

export const NO_LEASE = { leaseToken: null, leaseUntil: null };
export const NO_FAILURE = { failureCode: null, failureWechatCode: null, failureMessage: null };

/** The fields that a change of state sets: what every one sets, and `more`. */
export const moved = (state: RefundState, more: Partial<RefundFields>): Partial<RefundFields> => ({
  state,
  stateSince: NOW,
  nextAttemptAt: null,
  ...NO_LEASE,
  nextQueryAt: null,
  queryStep: 0,
  ...more,
});
