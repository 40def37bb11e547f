import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { Merchant } from './merchant.entity.js';

/** One version of a sealed credential. */
@Entity('credential')
@Check('credential_kind_check', `kind IN ('api_v2_key', 'api_v3_key', 'client_certificate', 'wechatpay_public_key')`)
@Unique('credential_version_key', ['mchId', 'kind', 'version'])
@Index('credential_current_key', ['mchId', 'kind'], { unique: true, where: 'replaced_at IS NULL' })
@ForeignKey(() => Merchant, ['mchId'], ['mchId'], { name: 'credential_mch_id_fkey' })
export class Credential {
  /** UUIDv7. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'credential_pkey' })
  id: string;

  /** The merchant. */
  @Column({ name: 'mch_id', type: 'text' })
  mchId: string;

  /** One of the four of the CHECK. */
  @Column({ name: 'kind', type: 'text' })
  kind: string;

  /** Counts from 1 per merchant and kind; part of what is authenticated. */
  @Column({ name: 'version', type: 'integer' })
  version: number;

  /** The master key that wraps it. */
  @Column({ name: 'kek_id', type: 'text' })
  kekId: string;

  /** The secret, sealed under the master key (merchants/sealing.ts). */
  @Column({ name: 'sealed', type: 'bytea' })
  sealed: Buffer;

  /** The certificate in PEM, where there is one. */
  @Column({ name: 'public_part', type: 'text', nullable: true })
  publicPart: string | null;

  /** SHA-256 in hex: names the credential without showing it. */
  @Column({ name: 'fingerprint', type: 'text' })
  fingerprint: string;

  /** Certificate serial or public key id. */
  @Column({ name: 'serial', type: 'text', nullable: true })
  serial: string | null;

  /** End of the certificate. */
  @Column({ name: 'valid_until', type: 'timestamptz', nullable: true })
  validUntil: Date | null;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  /** Null for the current version. */
  @Column({ name: 'replaced_at', type: 'timestamptz', nullable: true })
  replacedAt: Date | null;

  /** A replaced version still opens notices until then: 48 h. */
  @Column({ name: 'usable_until', type: 'timestamptz', nullable: true })
  usableUntil: Date | null;
}
