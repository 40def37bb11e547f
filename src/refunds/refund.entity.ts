import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { int8 } from '../database/int8.js';
import { PaymentOrder } from '../orders/payment-order.entity.js';

/** One refund, with one number for its whole life. */
@Entity('refund')
@Check('refund_out_refund_no_check', `out_refund_no ~ '^[0-9A-Za-z_|*@-]{1,64}$'`)
@Check('refund_amount_check', `amount_fen BETWEEN 1 AND 1000000000000`)
@Check(
  'refund_state_check',
  `state IN ('queued', 'insufficient_balance', 'submitting', 'outcome_unknown', 'accepted', 'abnormal', 'blocked', 'mismatch', 'succeeded', 'closed', 'rejected', 'canceled')`,
)
@Check('refund_source_check', `source IN ('api', 'external')`)
@Check('refund_doubt_check', `in_doubt_since IS NULL OR state NOT IN ('closed', 'rejected', 'canceled')`)
@Check('refund_lease_check', `(lease_token IS NULL) = (lease_until IS NULL)`)
@Check('refund_attempt_check', `next_attempt_at IS NULL OR state IN ('queued', 'insufficient_balance')`)
@Check('refund_api_version_check', `api_version IN ('v2', 'v3')`)
@Unique('refund_out_refund_no_key', ['mchId', 'outRefundNo'])
@Unique('refund_idempotency_key_key', ['mchId', 'appid', 'idempotencyKey'])
@Unique('refund_replaces_key', ['replaces'])
@Index('refund_due_idx', ['mchId', 'nextAttemptAt'], { where: 'next_attempt_at IS NOT NULL' })
@Index('refund_query_due_idx', ['mchId', 'nextQueryAt'], { where: 'next_query_at IS NOT NULL' })
@Index('refund_lease_idx', ['leaseUntil'], { where: 'lease_until IS NOT NULL' })
@Index('refund_blocked_idx', ['mchId', 'id'], { where: "state = 'blocked'" })
@Index('refund_order_idx', ['orderId', 'id'])
@Index('refund_appid_idx', ['appid', 'createdAt', 'id'])
@Index('refund_mch_id_idx', ['mchId', 'createdAt', 'id'])
@Index('refund_created_idx', ['createdAt', 'id'])
@Index('refund_amount_idx', ['amountFen'])
@Index('refund_refund_id_idx', ['refundId'], { where: 'refund_id IS NOT NULL' })
@Index('refund_state_idx', ['state', 'createdAt', 'id'], { where: `state <> 'succeeded'` })
@Index('refund_appid_state_idx', ['appid', 'state', 'createdAt', 'id'], { where: `state <> 'succeeded'` })
@ForeignKey(() => PaymentOrder, ['orderId'], ['id'], { name: 'refund_order_id_fkey' })
@ForeignKey(() => Refund, ['replaces'], ['id'], { name: 'refund_replaces_fkey' })
@ForeignKey(() => Refund, ['replacedBy'], ['id'], { name: 'refund_replaced_by_fkey' })
export class Refund {
  /** UUIDv7; public as re_…. */
  @PrimaryColumn({ name: 'id', type: 'uuid', primaryKeyConstraintName: 'refund_pkey' })
  id: string;

  /** The order it gives money back for; frozen. */
  @Column({ name: 'order_id', type: 'uuid' })
  orderId: string;

  /** The order's merchant. */
  @Column({ name: 'mch_id', type: 'text' })
  mchId: string;

  /** The order's mini-program. */
  @Column({ name: 'appid', type: 'text' })
  appid: string;

  /** Our number at WeChat; frozen. */
  @Column({ name: 'out_refund_no', type: 'text' })
  outRefundNo: string;

  /** WeChat's number. */
  @Column({ name: 'refund_id', type: 'text', nullable: true })
  refundId: string | null;

  /** What is to be given back, in fen; frozen. */
  @Column({ name: 'amount_fen', type: 'bigint', transformer: int8 })
  amountFen: number;

  /** One of the twelve of refunds/states.ts. */
  @Column({ name: 'state', type: 'text' })
  state: string;

  /** When that state was booked. */
  @Column({ name: 'state_since', type: 'timestamptz' })
  stateSince: Date;

  /** Counts its changes: the seq of its last event. */
  @Column({ name: 'version', type: 'integer', default: 1 })
  version: number;

  /** external: made in the merchant platform. */
  @Column({ name: 'source', type: 'text' })
  source: 'api' | 'external';

  /** Its money stands in the order's outside_fen. */
  @Column({ name: 'booked_outside', type: 'boolean', default: false })
  bookedOutside: boolean;

  /** Fen that WeChat showed under our number where ours is another amount; counted in the order’s outside_fen. */
  @Column({ name: 'outside_shown_fen', type: 'bigint', nullable: true, transformer: int8 })
  outsideShownFen: number | null;

  /** The caller's key. */
  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey: string | null;

  /** Tells an exact repeat from a conflict; frozen. */
  @Column({ name: 'request_digest', type: 'bytea', nullable: true })
  requestDigest: Buffer | null;

  /** The protocol of its first send; frozen then. */
  @Column({ name: 'api_version', type: 'text', nullable: true })
  apiVersion: 'v2' | 'v3' | null;

  /** The payer sees it. */
  @Column({ name: 'reason', type: 'text', nullable: true })
  reason: string | null;

  /** The caller’s own order lines; never sent to WeChat. */
  @Column({ name: 'items', type: 'jsonb', nullable: true })
  items: unknown;

  /** AVAILABLE or null. */
  @Column({ name: 'funds_account', type: 'text', nullable: true })
  fundsAccount: string | null;

  /** For operators; never sent to WeChat. */
  @Column({ name: 'note', type: 'text', nullable: true })
  note: string | null;

  /** The caller's own. */
  @Column({ name: 'metadata', type: 'jsonb', default: {} })
  metadata: Record<string, string>;

  /** Claim time of a send whose fate is open; while it is set nothing is released. */
  @Column({ name: 'in_doubt_since', type: 'timestamptz', nullable: true })
  inDoubtSince: Date | null;

  /** The gateway call that may move it; null when free. */
  @Column({ name: 'lease_token', type: 'uuid', nullable: true })
  leaseToken: string | null;

  /** End of the lease, 60 s after the claim; null with the token. */
  @Column({ name: 'lease_until', type: 'timestamptz', nullable: true })
  leaseUntil: Date | null;

  /** When it is sent; null when it is not to be sent. */
  @Column({ name: 'next_attempt_at', type: 'timestamptz', nullable: true })
  nextAttemptAt: Date | null;

  /** The first claim that may have reached WeChat. */
  @Column({ name: 'first_sent_at', type: 'timestamptz', nullable: true })
  firstSentAt: Date | null;

  /** Sends that ended later or unknown, since creation or the last retry. */
  @Column({ name: 'attempts', type: 'integer', default: 0 })
  attempts: number;

  /** Sends in a row that wrote nothing. */
  @Column({ name: 'not_sent_count', type: 'integer', default: 0 })
  notSentCount: number;

  /** When WeChat is asked about it; null when nothing is to be asked. */
  @Column({ name: 'next_query_at', type: 'timestamptz', nullable: true })
  nextQueryAt: Date | null;

  /** Place in the list of gaps between queries. */
  @Column({ name: 'query_step', type: 'integer', default: 0 })
  queryStep: number;

  /** The last query; at most one in 10 s. */
  @Column({ name: 'last_query_at', type: 'timestamptz', nullable: true })
  lastQueryAt: Date | null;

  /** See refunds/failures.ts. */
  @Column({ name: 'failure_code', type: 'text', nullable: true })
  failureCode: string | null;

  /** WeChat's own code. */
  @Column({ name: 'failure_wechat_code', type: 'text', nullable: true })
  failureWechatCode: string | null;

  /** WeChat's text or ours. */
  @Column({ name: 'failure_message', type: 'text', nullable: true })
  failureMessage: string | null;

  /** Where the money went, in WeChat’s words. */
  @Column({ name: 'user_received_account', type: 'text', nullable: true })
  userReceivedAccount: string | null;

  /** WeChat’s time of success, not ours. */
  @Column({ name: 'succeeded_at', type: 'timestamptz', nullable: true })
  succeededAt: Date | null;

  /** The closed refund it stands for. */
  @Column({ name: 'replaces', type: 'uuid', nullable: true })
  replaces: string | null;

  /** The refund that stands for it. */
  @Column({ name: 'replaced_by', type: 'uuid', nullable: true })
  replacedBy: string | null;

  /** The caller, or wechat for external ones. */
  @Column({ name: 'created_by', type: 'text' })
  createdBy: string;

  /** Database time. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  /** Database time. */
  @Column({ name: 'updated_at', type: 'timestamptz' })
  updatedAt: Date;

  /** The number of its last outgoing event. */
  @Column({ name: 'event_sequence', type: 'integer', default: 0 })
  eventSequence: number;

  /** Outgoing events that are told once and have been. */
  @Column({ name: 'told_once', type: 'text', default: '{}', array: true })
  toldOnce: string[];
}
