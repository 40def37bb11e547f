import type { ShownPayment } from '../orders/order-gateway.port.js';
import type { ShownRefund } from '../refunds/refund-gateway.port.js';

interface Opened {
  readonly version: 'v2' | 'v3';
  /** What was inside: XML for V2, JSON for v3. */
  readonly text: string;
  /** Equal for every delivery of one notice. */
  readonly dedupeKey: string;
}

/** A refund notice that opened with one of the merchant's keys. A V2 one proves nothing by itself; a v3 one is signed. */
export interface OpenedRefundNotice extends Opened {
  readonly shown: ShownRefund;
}

/** A payment notice whose signature holds. */
export interface OpenedPaymentNotice extends Opened {
  readonly shown: ShownPayment;
}
