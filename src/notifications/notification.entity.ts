import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { Merchant } from '../merchants/merchant.entity.js';
import { PaymentOrder } from '../orders/payment-order.entity.js';
import { Refund } from '../refunds/refund.entity.js';

/** One callback from WeChat, kept: the inbox. */
@Entity('notification')
@Check('notification_kind_check', `kind IN ('refund', 'payment')`)
@Check('notification_version_check', `version IN ('v2', 'v3')`)
@Check('notification_result_check', `result IN ('applied', 'repeat', 'waiting_for_query', 'unmatched', 'refused')`)
@Unique('notification_dedupe_key', ['mchId', 'kind', 'dedupeKey'])
@Index('notification_received_idx', ['receivedAt', 'id'])
@Index('notification_order_idx', ['orderId'], { where: 'order_id IS NOT NULL' })
@Index('notification_result_idx', ['result', 'receivedAt', 'id'], { where: `result NOT IN ('applied', 'repeat')` })
@Index('notification_refund_idx', ['refundId', 'id'], { where: 'refund_id IS NOT NULL' })
@Index('notification_query_due_idx', ['nextQueryAt'], { where: 'next_query_at IS NOT NULL' })
@Index('notification_waiting_idx', ['refundId'], { where: "result = 'waiting_for_query'" })
@ForeignKey(() => Merchant, ['mchId'], ['mchId'], { name: 'notification_mch_id_fkey' })
@ForeignKey(() => Refund, ['refundId'], ['id'], { name: 'notification_refund_id_fkey' })
@ForeignKey(() => PaymentOrder, ['orderId'], ['id'], { name: 'notification_order_id_fkey' })
export class Notification {
  /** UUIDv7; public as ntf_…. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'notification_pkey' })
  id: string;

  /** The merchant. */
  @Column({ name: 'mch_id', type: 'text' })
  mchId: string;

  /** From the message. */
  @Column({ name: 'appid', type: 'text', nullable: true })
  appid: string | null;

  /** What it is about. */
  @Column({ name: 'kind', type: 'text' })
  kind: 'refund' | 'payment';

  /** Its protocol. */
  @Column({ name: 'version', type: 'text' })
  version: 'v2' | 'v3';

  /** v3: the envelope id; V2: SHA-256 of the decrypted text. */
  @Column({ name: 'dedupe_key', type: 'text' })
  dedupeKey: string;

  /** First delivery. */
  @Column({ name: 'received_at', type: 'timestamptz' })
  receivedAt: Date;

  /** Last delivery. */
  @Column({ name: 'last_received_at', type: 'timestamptz' })
  lastReceivedAt: Date;

  /** How often it came; repeats change nothing else. */
  @Column({ name: 'deliveries', type: 'integer', default: 1 })
  deliveries: number;

  /** What it says, in our words. */
  @Column({ name: 'status', type: 'text' })
  status: string;

  /** What became of it. */
  @Column({ name: 'result', type: 'text' })
  result: string;

  /** Why it was refused or waits. */
  @Column({ name: 'reason', type: 'text', nullable: true })
  reason: string | null;

  /** The refund it is about. */
  @Column({ name: 'refund_id', type: 'uuid', nullable: true })
  refundId: string | null;

  /** The order it is about. */
  @Column({ name: 'order_id', type: 'uuid', nullable: true })
  orderId: string | null;

  /** When WeChat is asked about a number we do not know; null when nothing is to be asked. */
  @Column({ name: 'next_query_at', type: 'timestamptz', nullable: true })
  nextQueryAt: Date | null;

  /** Place in the list of gaps between queries. */
  @Column({ name: 'query_step', type: 'integer', default: 0 })
  queryStep: number;

  /** The master key of content. */
  @Column({ name: 'kek_id', type: 'text' })
  kekId: string;

  /** The decrypted text, sealed. */
  @Column({ name: 'content', type: 'bytea' })
  content: Buffer;
}
