import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { int8 } from '../database/int8.js';
import { Merchant } from '../merchants/merchant.entity.js';
import { MiniProgram } from '../merchants/mini-program.entity.js';

/** One payment: what was paid, reserved for refunds, refunded, and moved outside of us. */
@Entity('payment_order')
@Check('payment_order_out_trade_no_check', `out_trade_no ~ '^[0-9A-Za-z_|*-]{6,32}$'`)
@Check('payment_order_status_check', `status IN ('created', 'paid', 'closed')`)
@Check('payment_order_source_check', `source IN ('prepay', 'register')`)
@Check('payment_order_amount_check', `amount_fen BETWEEN 1 AND 1000000000000`)
@Check(
  'payment_order_paid_check',
  `paid_fen >= 0 AND (status = 'paid') = (paid_at IS NOT NULL) AND (status = 'paid') = (paid_fen > 0)`,
)
@Check(
  'payment_order_money_check',
  `reserved_fen >= 0 AND refunded_fen >= 0 AND outside_fen >= 0 AND reserved_fen + refunded_fen <= paid_fen`,
)
@Check('payment_order_refund_count_check', `refund_count BETWEEN 0 AND 50`)
@Unique('payment_order_out_trade_no_key', ['mchId', 'outTradeNo'])
@Unique('payment_order_transaction_id_key', ['mchId', 'transactionId'])
@Index('payment_order_query_due_idx', ['nextQueryAt'], { where: 'next_query_at IS NOT NULL' })
@Index('payment_order_refunds_query_due_idx', ['refundsQueryAt'], { where: 'refunds_query_at IS NOT NULL' })
@Index('payment_order_transaction_idx', ['transactionId'])
@Index('payment_order_number_idx', ['outTradeNo'])
@Index('payment_order_appid_idx', ['appid', 'createdAt', 'id'])
@Index('payment_order_mch_id_idx', ['mchId', 'createdAt', 'id'])
@Index('payment_order_created_idx', ['createdAt', 'id'])
@Index('payment_order_amount_idx', ['amountFen'])
@Index('payment_order_status_idx', ['status', 'createdAt', 'id'], { where: `status <> 'paid'` })
@ForeignKey(() => Merchant, ['mchId'], ['mchId'], { name: 'payment_order_mch_id_fkey' })
@ForeignKey(() => MiniProgram, ['appid'], ['appid'], { name: 'payment_order_appid_fkey' })
export class PaymentOrder {
  /** UUIDv7; public as ord_…. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'payment_order_pkey' })
  id: string;

  /** The merchant that takes the payment; frozen. */
  @Column({ name: 'mch_id', type: 'text' })
  mchId: string;

  /** The mini-program that takes it; frozen. */
  @Column({ name: 'appid', type: 'text' })
  appid: string;

  /** Our number at WeChat; frozen. */
  @Column({ name: 'out_trade_no', type: 'text' })
  outTradeNo: string;

  /** WeChat's number, once paid. */
  @Column({ name: 'transaction_id', type: 'text', nullable: true })
  transactionId: string | null;

  /** created, paid or closed (design.md 7). */
  @Column({ name: 'status', type: 'text' })
  status: 'created' | 'paid' | 'closed';

  /** What the payer was asked for, in fen. */
  @Column({ name: 'amount_fen', type: 'bigint', transformer: int8 })
  amountFen: number;

  /** What the payer paid, in fen; 0 until paid. Frozen once the order has a refund. */
  @Column({ name: 'paid_fen', type: 'bigint', default: 0, transformer: int8 })
  paidFen: number;

  /** Fen held by refunds whose outcome is open. Never negative. */
  @Column({ name: 'reserved_fen', type: 'bigint', default: 0, transformer: int8 })
  reservedFen: number;

  /** Fen given back by refunds of ours. Never negative. */
  @Column({ name: 'refunded_fen', type: 'bigint', default: 0, transformer: int8 })
  refundedFen: number;

  /** Fen moved by WeChat without a reservation of ours; a fact, so it stands outside the money CHECK. */
  @Column({ name: 'outside_fen', type: 'bigint', default: 0, transformer: int8 })
  outsideFen: number;

  /** Refunds that hold or gave back money; WeChat allows 50. */
  @Column({ name: 'refund_count', type: 'integer', default: 0 })
  refundCount: number;

  /** WeChat proved the payment. */
  @Column({ name: 'verified', type: 'boolean', default: false })
  verified: boolean;

  /** How it came here. */
  @Column({ name: 'source', type: 'text' })
  source: 'prepay' | 'register';

  /** Over the request; tells an exact repeat from a conflict. */
  @Column({ name: 'request_digest', type: 'bytea' })
  requestDigest: Buffer;

  /** Shown to the payer. */
  @Column({ name: 'description', type: 'text', nullable: true })
  description: string | null;

  /** The payer’s id under the mini-program. */
  @Column({ name: 'openid', type: 'text', nullable: true })
  openid: string | null;

  /** The caller's own text. */
  @Column({ name: 'attach', type: 'text', nullable: true })
  attach: string | null;

  /** The payer's address. */
  @Column({ name: 'payer_client_ip', type: 'text', nullable: true })
  payerClientIp: string | null;

  /** WeChat's prepay id. */
  @Column({ name: 'prepay_id', type: 'text', nullable: true })
  prepayId: string | null;

  /** End of the prepay id’s life of 2 hours. */
  @Column({ name: 'prepay_until', type: 'timestamptz', nullable: true })
  prepayUntil: Date | null;

  /** The kind of signature the prepay id was asked for: MD5, HMAC-SHA256, or RSA for v3. */
  @Column({ name: 'prepay_sign_type', type: 'text', nullable: true })
  prepaySignType: string | null;

  /** No payment after it. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt: Date | null;

  /** When WeChat took the payment; the refund window runs from here. */
  @Column({ name: 'paid_at', type: 'timestamptz', nullable: true })
  paidAt: Date | null;

  /** The next refund of this order may go out then: 60 s after the last claim. */
  @Column({ name: 'next_send_at', type: 'timestamptz', nullable: true })
  nextSendAt: Date | null;

  /** When WeChat is asked about the payment; null when nothing is to be asked. */
  @Column({ name: 'next_query_at', type: 'timestamptz', nullable: true })
  nextQueryAt: Date | null;

  /** Place in the list of gaps between queries. */
  @Column({ name: 'query_step', type: 'integer', default: 0 })
  queryStep: number;

  /** When the order’s refunds are listed at WeChat; null when they need not be. */
  @Column({ name: 'refunds_query_at', type: 'timestamptz', nullable: true })
  refundsQueryAt: Date | null;

  /** The caller’s own; given back unchanged. */
  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata: Record<string, string>;

  /** The caller. */
  @Column({ name: 'created_by', type: 'text' })
  createdBy: string;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  /** Database time. */
  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt: Date;

  /** The number of its last outgoing event. */
  @Column({ name: 'event_sequence', type: 'integer', default: 0 })
  eventSequence: number;
}
