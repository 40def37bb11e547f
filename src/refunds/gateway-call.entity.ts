import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { PaymentOrder } from '../orders/payment-order.entity.js';
import { Refund } from './refund.entity.js';

/** One request to WeChat, committed before its first byte. */
@Entity('gateway_call')
@Check(
  'gateway_call_kind_check',
  `kind IN ('refund', 'refund_query', 'prepay', 'order_query', 'order_close', 'abnormal_refund')`,
)
@Index('gateway_call_refund_idx', ['refundId', 'intentAt'], { where: 'refund_id IS NOT NULL' })
@Index('gateway_call_order_idx', ['orderId'], { where: 'refund_id IS NULL' })
@ForeignKey(() => Refund, ['refundId'], ['id'], { name: 'gateway_call_refund_id_fkey' })
@ForeignKey(() => PaymentOrder, ['orderId'], ['id'], { name: 'gateway_call_order_id_fkey' })
export class GatewayCall {
  /** UUID; its 32 hex digits are the request’s nonce_str. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'gateway_call_pkey' })
  id: string;

  /** The merchant it is made for. */
  @Column({ name: 'mch_id', type: 'text' })
  mchId: string;

  /** The refund it is about. */
  @Column({ name: 'refund_id', type: 'uuid', nullable: true })
  refundId: string | null;

  /** The order it is about. */
  @Column({ name: 'order_id', type: 'uuid', nullable: true })
  orderId: string | null;

  /** What is asked. */
  @Column({ name: 'kind', type: 'text' })
  kind: string;

  /** The protocol. */
  @Column({ name: 'api_version', type: 'text' })
  apiVersion: string;

  /** The refund’s doubt before this send; put back when nothing was sent. */
  @Column({ name: 'in_doubt_before', type: 'timestamptz', nullable: true })
  inDoubtBefore: Date | null;

  /** Database time of the intent. */
  @Column({ name: 'intent_at', type: 'timestamptz' })
  intentAt: Date;

  /** Database time of the booking; null while it is open. */
  @Column({ name: 'done_at', type: 'timestamptz', nullable: true })
  doneAt: Date | null;

  /** From the first byte to the judged answer, in milliseconds; null while it is open. */
  @Column({ name: 'duration_ms', type: 'integer', nullable: true })
  durationMs: number | null;

  /** By the outcome table (design.md 5); null while it is open. */
  @Column({ name: 'outcome', type: 'text', nullable: true })
  outcome: string | null;

  /** WeChat's code. */
  @Column({ name: 'code', type: 'text', nullable: true })
  code: string | null;

  /** WeChat's text or the cause. */
  @Column({ name: 'message', type: 'text', nullable: true })
  message: string | null;

  /** The parsed answer without sign. */
  @Column({ name: 'answer', type: 'jsonb', nullable: true })
  answer: Record<string, string> | null;
}
