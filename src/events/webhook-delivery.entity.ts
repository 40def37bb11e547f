import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { OutgoingEvent } from './outgoing-event.entity.js';
import { WebhookEndpoint } from './webhook-endpoint.entity.js';

/** One event on its way to one endpoint. */
@Entity('webhook_delivery')
@Check('webhook_delivery_state_check', `state IN ('pending', 'delivered', 'failed')`)
@Check('webhook_delivery_attempt_check', `(state = 'pending') = (next_attempt_at IS NOT NULL)`)
@Check('webhook_delivery_lease_check', `(lease_token IS NULL) = (lease_until IS NULL)`)
@Check('webhook_delivery_delivered_check', `(state = 'delivered') = (delivered_at IS NOT NULL)`)
@Unique('webhook_delivery_event_key', ['eventId', 'endpointId'])
@Index('webhook_delivery_due_idx', ['endpointId', 'nextAttemptAt'], { where: "state = 'pending'" })
@Index('webhook_delivery_line_idx', ['endpointId', 'subjectId', 'sequence'], { where: "state = 'pending'" })
@Index('webhook_delivery_lease_idx', ['endpointId', 'leaseUntil'], { where: 'lease_until IS NOT NULL' })
@Index('webhook_delivery_endpoint_idx', ['endpointId', 'id'])
@ForeignKey(() => OutgoingEvent, ['eventId'], ['id'], { name: 'webhook_delivery_event_id_fkey' })
@ForeignKey(() => WebhookEndpoint, ['endpointId'], ['id'], { name: 'webhook_delivery_endpoint_id_fkey' })
export class WebhookDelivery {
  /** UUIDv7; public as wd_…. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'webhook_delivery_pkey' })
  id: string;

  /** What is sent. */
  @Column({ name: 'event_id', type: 'uuid' })
  eventId: string;

  /** Where to. */
  @Column({ name: 'endpoint_id', type: 'uuid' })
  endpointId: string;

  /** The event's; earlier ones of the same subject go first. */
  @Column({ name: 'subject_id', type: 'uuid' })
  subjectId: string;

  /** The event's. */
  @Column({ name: 'sequence', type: 'integer' })
  sequence: number;

  /** pending, delivered (the receiver answered 2xx), or failed (no more tries by itself). */
  @Column({ name: 'state', type: 'text' })
  state: 'pending' | 'delivered' | 'failed';

  /** Tries since it was made or sent again. */
  @Column({ name: 'tries', type: 'integer', default: 0 })
  tries: number;

  /** When it is sent; null unless pending. */
  @Column({ name: 'next_attempt_at', type: 'timestamptz', nullable: true })
  nextAttemptAt: Date | null;

  /** The try that is under way; null when free. */
  @Column({ name: 'lease_token', type: 'uuid', nullable: true })
  leaseToken: string | null;

  /** After it another worker may try. */
  @Column({ name: 'lease_until', type: 'timestamptz', nullable: true })
  leaseUntil: Date | null;

  /** When the 2xx was booked. */
  @Column({ name: 'delivered_at', type: 'timestamptz', nullable: true })
  deliveredAt: Date | null;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;
}
