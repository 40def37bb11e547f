import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

/** An API key; only the hash of its secret is kept. */
@Entity('api_key')
@Check('api_key_role_check', `role IN ('viewer', 'operator', 'admin')`)
export class ApiKey {
  /** UUIDv7; public as key_…. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'api_key_pkey' })
  id: string;

  /** For people. */
  @Column({ name: 'name', type: 'text' })
  name: string;

  /** What it may do. */
  @Column({ name: 'role', type: 'text' })
  role: 'viewer' | 'operator' | 'admin';

  /** The apps it is bound to; null for all. */
  @Column({ name: 'appids', type: 'text', nullable: true, array: true })
  appids: string[] | null;

  /** SHA-256 of the secret. */
  @Column({ name: 'secret_hash', type: 'bytea' })
  secretHash: Buffer;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  /** The caller that made it. */
  @Column({ name: 'created_by', type: 'text' })
  createdBy: string;

  /** When it dies by itself. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt: Date | null;

  /** When it was deleted. */
  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true })
  revokedAt: Date | null;
}
