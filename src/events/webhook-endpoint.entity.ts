import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** Where events are sent. */
@Entity('webhook_endpoint')
@Check('webhook_endpoint_events_check', `cardinality(events) >= 1`)
@Check('webhook_endpoint_appids_check', `cardinality(appids) >= 1`)
@Check('webhook_endpoint_disabled_check', `enabled = (disabled_reason IS NULL)`)
@Check('webhook_endpoint_reason_check', `disabled_reason IN ('caller', 'gone', 'failing', 'deleted')`)
@Check('webhook_endpoint_failing_check', `(failures_in_row = 0) = (failing_since IS NULL)`)
export class WebhookEndpoint {
  /** UUIDv7; public as we_…. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'webhook_endpoint_pkey' })
  id: string;

  /** Checked by webhook-url.ts at save, and its addresses again at every connect. */
  @Column({ name: 'url', type: 'text' })
  url: string;

  /** Event types, or the one word `*`. */
  @Column({ name: 'events', type: 'text', array: true })
  events: string[];

  /** Only events of these mini-programs; null for all. */
  @Column({ name: 'appids', type: 'text', nullable: true, array: true })
  appids: string[] | null;

  /** For people. */
  @Column({ name: 'description', type: 'text', nullable: true })
  description: string | null;

  /** False: nothing is sent and no delivery is made. */
  @Column({ name: 'enabled', type: 'boolean', default: true })
  enabled: boolean;

  /** caller: PATCH; gone: it answered 410; failing: five days without a success; deleted: DELETE. */
  @Column({ name: 'disabled_reason', type: 'text', nullable: true })
  disabledReason: 'caller' | 'gone' | 'failing' | 'deleted' | null;

  /** Tries since the last success. */
  @Column({ name: 'failures_in_row', type: 'integer', default: 0 })
  failuresInRow: number;

  /** The first of them. */
  @Column({ name: 'failing_since', type: 'timestamptz', nullable: true })
  failingSince: Date | null;

  /** Nothing is sent before it: the receiver asked for that, or failed too often in a row. */
  @Column({ name: 'held_until', type: 'timestamptz', nullable: true })
  heldUntil: Date | null;

  /** The caller. */
  @Column({ name: 'created_by', type: 'text' })
  createdBy: string;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  /** Database time. */
  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt: Date;
}
