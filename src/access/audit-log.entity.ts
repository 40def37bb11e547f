import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** One change by a caller. Append-only. */
@Entity('audit_log')
@Index('audit_log_at_idx', ['at', 'id'])
@Index('audit_log_object_idx', ['object', 'at'])
@Index('audit_log_actor_idx', ['actor', 'at', 'id'])
@Index('audit_log_action_idx', ['action', 'at', 'id'], {
  where: `action NOT IN ('refund.create', 'order.create', 'order.register')`,
})
export class AuditLog {
  /** UUIDv7; public as aud_…. That of a new refund is the refund's own. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'audit_log_pkey' })
  id: string;

  /** Database time of the change. */
  @Column({ name: 'at', type: 'timestamptz' })
  at: Date;

  /** `key_…`, `admin` for ADMIN_API_KEY, or `command_line`. */
  @Column({ name: 'actor', type: 'text' })
  actor: string;

  /** One of audit-log.ts. */
  @Column({ name: 'action', type: 'text' })
  action: string;

  /** The public id of what was changed. */
  @Column({ name: 'object', type: 'text' })
  object: string;

  /** What is no longer so; null of something new. */
  @Column({ name: 'before', type: 'jsonb', nullable: true })
  before: Record<string, unknown> | null;

  /** What is so instead; null of something deleted, and where WeChat's answer decides. */
  @Column({ name: 'after', type: 'jsonb', nullable: true })
  after: Record<string, unknown> | null;

  /** Where the request came from; null for the command line. */
  @Column({ name: 'address', type: 'text', nullable: true })
  address: string | null;

  /** The x-request-id of its answer; null for the command line. */
  @Column({ name: 'request_id', type: 'text', nullable: true })
  requestId: string | null;
}
