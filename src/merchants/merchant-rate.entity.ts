import { Check, Column, Entity, ForeignKey, PrimaryColumn } from 'typeorm';
import { Merchant } from './merchant.entity.js';

/** The hot row of a merchant: send slots and pause (design.md 5). */
@Entity('merchant_rate')
@Check('merchant_rate_pause_reason_check', `pause_reason IN ('configuration', 'too_many_requests')`)
@Check('merchant_rate_pause_check', `(paused_at IS NULL) = (pause_reason IS NULL)`)
@Check('merchant_rate_rate_check', `rate_per_second >= 1`)
@ForeignKey(() => Merchant, ['mchId'], ['mchId'], { name: 'merchant_rate_mch_id_fkey' })
export class MerchantRate {
  /** The merchant. */
  @PrimaryColumn({ name: 'mch_id', type: 'text', primaryKeyConstraintName: 'merchant_rate_pkey' })
  mchId: string;

  /** The first send slot not handed out. */
  @Column({ name: 'next_slot_at', type: 'timestamptz' })
  nextSlotAt: Date;

  /** Send slots per second in force. */
  @Column({ name: 'rate_per_second', type: 'integer' })
  ratePerSecond: number;

  /** When that rate began. */
  @Column({ name: 'rate_changed_at', type: 'timestamptz' })
  rateChangedAt: Date;

  /** Times of the last refusals and error answers, at most 5. */
  @Column({ name: 'recent_error_at', type: 'timestamptz', default: '{}', array: true })
  recentErrorAt: Date[];

  /** The first query slot not handed out. */
  @Column({ name: 'next_query_slot_at', type: 'timestamptz' })
  nextQuerySlotAt: Date;

  /** Configuration answers in a row. */
  @Column({ name: 'configuration_failures', type: 'integer', default: 0 })
  configurationFailures: number;

  /** When the pause began. */
  @Column({ name: 'paused_at', type: 'timestamptz', nullable: true })
  pausedAt: Date | null;

  /** Why nothing is sent. */
  @Column({ name: 'pause_reason', type: 'text', nullable: true })
  pauseReason: 'configuration' | 'too_many_requests' | null;

  /** When it ends by itself. */
  @Column({ name: 'paused_until', type: 'timestamptz', nullable: true })
  pausedUntil: Date | null;

  /** When one refund may be tried during a pause. */
  @Column({ name: 'next_probe_at', type: 'timestamptz', nullable: true })
  nextProbeAt: Date | null;

  /** The refund to try, where a person chose one. */
  @Column({ name: 'probe_refund_id', type: 'uuid', nullable: true })
  probeRefundId: string | null;

  /** Refunds blocked by configuration are to be queued again. */
  @Column({ name: 'release_at', type: 'timestamptz', nullable: true })
  releaseAt: Date | null;
}
