import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { PaymentOrder } from '../orders/payment-order.entity.js';
import { Refund } from '../refunds/refund.entity.js';

/** One event for the outside: the outbox, and what GET /v1/events reads. Frozen but for `fanned_out_at`. */
@Entity('outgoing_event')
@Check('outgoing_event_sequence_check', `sequence >= 1`)
@Check('outgoing_event_subject_check', `subject_id = coalesce(refund_id, order_id, id)`)
@Check(
  'outgoing_event_kind_check',
  `(type LIKE 'refund.%') = (refund_id IS NOT NULL) AND (type LIKE 'refund.%' OR type LIKE 'order.%') = (order_id IS NOT NULL) AND (order_id IS NULL) = (appid IS NULL)`,
)
@Check(
  'outgoing_event_type_check',
  `type IN ('refund.created', 'refund.processing', 'refund.succeeded', 'refund.failed', 'refund.canceled', 'refund.requires_action', 'refund.insufficient_balance', 'refund.corrected', 'refund.external_detected', 'order.paid', 'order.closed', 'order.partially_refunded', 'order.refunded', 'webhook_endpoint.test')`,
)
@Unique('outgoing_event_sequence_key', ['subjectId', 'sequence'])
@Index('outgoing_event_waiting_idx', ['id'], { where: 'fanned_out_at IS NULL' })
@Index('outgoing_event_appid_idx', ['appid', 'id'])
@ForeignKey(() => Refund, ['refundId'], ['id'], { name: 'outgoing_event_refund_id_fkey' })
@ForeignKey(() => PaymentOrder, ['orderId'], ['id'], { name: 'outgoing_event_order_id_fkey' })
export class OutgoingEvent {
  /** UUIDv7; public as evt_…, and the webhook-id of every delivery. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'outgoing_event_pkey' })
  id: string;

  /** One of event-types.ts. */
  @Column({ name: 'type', type: 'text' })
  type: string;

  /** The refund or order whose events `sequence` counts; of a test event itself. */
  @Column({ name: 'subject_id', type: 'uuid' })
  subjectId: string;

  /** The refund of a refund.… event. */
  @Column({ name: 'refund_id', type: 'uuid', nullable: true })
  refundId: string | null;

  /** The order, of refund events too; null for a test. */
  @Column({ name: 'order_id', type: 'uuid', nullable: true })
  orderId: string | null;

  /** The mini-program it belongs to; null for a test. */
  @Column({ name: 'appid', type: 'text', nullable: true })
  appid: string | null;

  /** Counts from 1 per subject, without a gap. */
  @Column({ name: 'sequence', type: 'integer' })
  sequence: number;

  /** The object's status before; null when it is new. */
  @Column({ name: 'previous_status', type: 'text', nullable: true })
  previousStatus: string | null;

  /** The row of the object's view right after the change. */
  @Column({ name: 'snapshot', type: 'jsonb' })
  snapshot: Record<string, unknown>;

  /** Database time of the change. */
  @Column({ name: 'at', type: 'timestamptz' })
  at: Date;

  /** When its deliveries were made; null while it waits for a worker. */
  @Column({ name: 'fanned_out_at', type: 'timestamptz', nullable: true })
  fannedOutAt: Date | null;
}
