import { publicId } from '../common/ids.js';
import type { Settings } from '../config/settings.js';
import type { PaymentParameters } from './order-gateway.port.js';

/** The columns an order's view is made of; `o` is the order. */
export const ORDER_VIEW_COLUMNS = `o.id, o.status, o.mch_id, o.appid, o.out_trade_no, o.transaction_id, o.amount_fen::text,
  o.paid_fen::text, o.reserved_fen::text, o.refunded_fen::text, o.outside_fen::text, o.refund_count, o.verified, o.paid_at,
  o.created_at, o.metadata`;

/** These and what the orders service needs besides. */
export const ORDER_COLUMNS = `${ORDER_VIEW_COLUMNS}, o.request_digest, o.prepay_id,
  o.prepay_until > (SELECT tuikuan_now()) AS prepay_lives, o.description, o.openid, o.attach, o.payer_client_ip, o.expires_at,
  o.source, o.prepay_sign_type`;

/** A row of {@link ORDER_VIEW_COLUMNS}. */
export interface OrderViewRow {
  readonly id: string;
  readonly status: 'created' | 'paid' | 'closed';
  readonly mch_id: string;
  readonly appid: string;
  readonly out_trade_no: string;
  readonly transaction_id: string | null;
  readonly amount_fen: string;
  readonly paid_fen: string;
  readonly reserved_fen: string;
  readonly refunded_fen: string;
  readonly outside_fen: string;
  readonly refund_count: number;
  readonly verified: boolean;
  readonly paid_at: Date | null;
  readonly created_at: Date;
  readonly metadata: Record<string, string>;
}

/** A row of {@link ORDER_COLUMNS}. */
export interface OrderRow extends OrderViewRow {
  readonly request_digest: Buffer;
  readonly prepay_id: string | null;
  readonly prepay_lives: boolean | null;
  readonly description: string | null;
  readonly openid: string | null;
  readonly attach: string | null;
  readonly payer_client_ip: string | null;
  readonly expires_at: Date | null;
  readonly source: 'prepay' | 'register';
  readonly prepay_sign_type: 'MD5' | 'HMAC-SHA256' | 'RSA' | null;
}

/** What wx.requestPayment takes, under WeChat's own names. */
export class PaymentView implements PaymentParameters {
  timeStamp: string;
  nonceStr: string;
  package: string;
  signType: string;
  paySign: string;
}

/** An order as callers see it (design.md 8). Amounts are fen, times RFC 3339. */
export class OrderView {
  id: string;
  object: 'order';
  status: 'created' | 'paid' | 'closed';
  mch_id: string;
  appid: string;
  out_trade_no: string;
  transaction_id: string | null;
  amount: number;
  amount_paid: number;
  /** Includes refunds made in the merchant platform. */
  amount_refunded: number;
  amount_reserved: number;
  amount_refundable: number;
  refunds_remaining: number;
  refundable_until: string | null;
  refund_status: 'none' | 'partial' | 'full';
  verified: boolean;
  paid_at: string | null;
  created_at: string;
  metadata: Record<string, string>;
  /** Only in the answer to POST /v1/orders. */
  payment?: PaymentView;
}

const DAY_MS = 86_400_000;

/** The view of a row, with payment parameters where the answer carries them. */
export function orderView(row: OrderViewRow, settings: Settings, payment?: PaymentParameters): OrderView {
  const paid = Number(row.paid_fen);
  const reserved = Number(row.reserved_fen);
  const refunded = Number(row.refunded_fen) + Number(row.outside_fen);
  return {
    id: publicId('order', row.id),
    object: 'order',
    status: row.status,
    mch_id: row.mch_id,
    appid: row.appid,
    out_trade_no: row.out_trade_no,
    transaction_id: row.transaction_id,
    amount: Number(row.amount_fen),
    amount_paid: paid,
    amount_refunded: refunded,
    amount_reserved: reserved,
    amount_refundable: Math.max(0, paid - reserved - refunded),
    refunds_remaining: Math.max(0, settings.refundsPerOrderMax - row.refund_count),
    refundable_until: row.paid_at && new Date(row.paid_at.getTime() + settings.refundWindowDays * DAY_MS).toISOString(),
    refund_status: refunded === 0 ? 'none' : refunded >= paid ? 'full' : 'partial',
    verified: row.verified,
    paid_at: row.paid_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
    metadata: row.metadata,
    ...(payment && { payment: { ...payment } }),
  };
}
