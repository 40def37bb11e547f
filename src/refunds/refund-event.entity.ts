import { Check, Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import { Refund } from './refund.entity.js';

/** One change of a refund, or one incident (from = to). Append-only. */
@Entity('refund_event')
@Check(
  'refund_event_cause_check',
  `cause IN ('request', 'claim', 'answer', 'query', 'notice', 'operator', 'lease', 'window', 'configuration')`,
)
@ForeignKey(() => Refund, ['refundId'], ['id'], { name: 'refund_event_refund_id_fkey' })
export class RefundEvent {
  /** The refund. */
  @PrimaryColumn({ name: 'refund_id', type: 'uuid', primaryKeyConstraintName: 'refund_event_pkey' })
  refundId: string;

  /** Counts from 1 per refund. */
  @PrimaryColumn({ name: 'seq', type: 'integer', primaryKeyConstraintName: 'refund_event_pkey' })
  seq: number;

  /** Null for the first. */
  @Column({ name: 'from_state', type: 'text', nullable: true })
  fromState: string | null;

  /** The state after it. */
  @Column({ name: 'to_state', type: 'text' })
  toState: string;

  /** What taught us. */
  @Column({ name: 'cause', type: 'text' })
  cause: string;

  /** The gateway call or notification. */
  @Column({ name: 'source_id', type: 'uuid', nullable: true })
  sourceId: string | null;

  /** The caller. */
  @Column({ name: 'actor', type: 'text', nullable: true })
  actor: string | null;

  /** A code a person must hear of. */
  @Column({ name: 'incident', type: 'text', nullable: true })
  incident: string | null;

  /** Codes and words, no secrets. */
  @Column({ name: 'detail', type: 'jsonb', default: {} })
  detail: Record<string, unknown>;

  /** Database time. */
  @Column({ name: 'at', type: 'timestamptz' })
  at: Date;
}
