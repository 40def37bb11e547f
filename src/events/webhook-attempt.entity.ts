import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { WebhookDelivery } from './webhook-delivery.entity.js';

/** One try of a delivery. Append-only; nothing of the receiver's answer is kept but its class (S19). */
@Entity('webhook_attempt')
@Check('webhook_attempt_result_check', `result IN ('2xx', '3xx', '4xx', '5xx', 'no_answer', 'address_refused')`)
@Check('webhook_attempt_latency_check', `latency IN ('under_100ms', 'under_1s', 'under_5s', 'under_15s', 'over_15s')`)
@Index('webhook_attempt_delivery_idx', ['deliveryId', 'at'])
@ForeignKey(() => WebhookDelivery, ['deliveryId'], ['id'], { name: 'webhook_attempt_delivery_id_fkey' })
export class WebhookAttempt {
  /** The lease token it was made under, so that it is booked once. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'webhook_attempt_pkey' })
  id: string;

  /** The delivery. */
  @Column({ name: 'delivery_id', type: 'uuid' })
  deliveryId: string;

  /** Database time of the claim. */
  @Column({ name: 'at', type: 'timestamptz' })
  at: Date;

  /** The class of the status, or why there was none. */
  @Column({ name: 'result', type: 'text' })
  result: string;

  /** How long it took, roughly. */
  @Column({ name: 'latency', type: 'text' })
  latency: string;
}
