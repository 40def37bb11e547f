import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { WebhookEndpoint } from './webhook-endpoint.entity.js';

/** One version of an endpoint's sealed signing secret. */
@Entity('webhook_secret')
@Index('webhook_secret_current_key', ['endpointId'], { unique: true, where: 'usable_until IS NULL' })
@ForeignKey(() => WebhookEndpoint, ['endpointId'], ['id'], { name: 'webhook_secret_endpoint_id_fkey' })
export class WebhookSecret {
  /** The endpoint; part of what is authenticated. */
  @PrimaryColumn({ name: 'endpoint_id', type: 'uuid', primaryKeyConstraintName: 'webhook_secret_pkey' })
  endpointId: string;

  /** Counts from 1 per endpoint; part of what is authenticated. */
  @PrimaryColumn({ name: 'version', type: 'integer', primaryKeyConstraintName: 'webhook_secret_pkey' })
  version: number;

  /** The master key that wraps it. */
  @Column({ name: 'kek_id', type: 'text' })
  kekId: string;

  /** The sealed text; empty once the endpoint is deleted. */
  @Column({ name: 'sealed', type: 'bytea' })
  sealed: Buffer;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  /** Null for the current one; the one before signs beside it until then. */
  @Column({ name: 'usable_until', type: 'timestamptz', nullable: true })
  usableUntil: Date | null;
}
