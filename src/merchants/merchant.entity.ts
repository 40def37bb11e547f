import { Check, Column, Entity, PrimaryColumn, Unique } from 'typeorm';

/** A WeChat merchant number. */
@Entity('merchant')
@Check('merchant_mch_id_check', `mch_id ~ '^[0-9]{8,32}$'`)
@Check('merchant_api_version_check', `api_version IN ('v2', 'v3')`)
@Check('merchant_sign_type_check', `sign_type IN ('HMAC-SHA256', 'MD5')`)
@Check('merchant_refund_notify_check', `refund_notify IN ('confirm', 'apply')`)
@Unique('merchant_notify_token_key', ['notifyToken'])
export class Merchant {
  /** The merchant number. */
  @PrimaryColumn({ name: 'mch_id', type: 'text', primaryKeyConstraintName: 'merchant_pkey' })
  mchId: string;

  /** For people. */
  @Column({ name: 'name', type: 'text' })
  name: string;

  /** Disabled: no new orders or refunds, nothing is sent; queries and notices go on. */
  @Column({ name: 'enabled', type: 'boolean', default: true })
  enabled: boolean;

  /** The protocol of new sends. */
  @Column({ name: 'api_version', type: 'text' })
  apiVersion: 'v2' | 'v3';

  /** The V2 signature. */
  @Column({ name: 'sign_type', type: 'text' })
  signType: 'HMAC-SHA256' | 'MD5';

  /** What a V2 refund notice does. */
  @Column({ name: 'refund_notify', type: 'text' })
  refundNotify: 'confirm' | 'apply';

  /** 128 random bits in the notify URLs, hex. */
  @Column({ name: 'notify_token', type: 'text' })
  notifyToken: string;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  /** Database time. */
  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt: Date;
}
