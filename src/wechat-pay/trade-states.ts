import type { ShownPayment } from '../orders/order-gateway.port.js';

/** trade_state → what it means for us; equal in V2 and v3. Source: WeChat Pay, "查询订单". A word that is not here proves nothing. */
export const TRADE_STATES: Readonly<Record<string, { status: ShownPayment['status']; refunded: boolean }>> = {
  SUCCESS: { status: 'paid', refunded: false },
  REFUND: { status: 'paid', refunded: true },
  NOTPAY: { status: 'unpaid', refunded: false },
  USERPAYING: { status: 'unpaid', refunded: false },
  PAYERROR: { status: 'unpaid', refunded: false },
  ACCEPT: { status: 'unpaid', refunded: false },
  CLOSED: { status: 'closed', refunded: false },
  REVOKED: { status: 'closed', refunded: false },
};
