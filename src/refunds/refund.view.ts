import type { Language } from '../common/http/language.js';
import { publicId } from '../common/ids.js';
import { explainFailure } from './explain.js';
import { failureOf } from './failures.js';
import { REFUND_STATES, type RefundState, type RefundStatus } from './states.js';

/** The columns a refund's view is made of; `r` is the refund, `o` its order. Money as text: int8 has no exact JSON number. */
export const REFUND_VIEW_COLUMNS = `r.id, r.order_id, r.mch_id, r.appid, r.out_refund_no, r.refund_id, r.amount_fen::text, r.state,
  r.reason, r.items, r.funds_account, r.failure_code, r.failure_wechat_code, r.failure_message, r.in_doubt_since,
  r.user_received_account, r.attempts, r.next_attempt_at, r.api_version, r.source, r.replaces, r.replaced_by, r.created_by,
  r.created_at, r.updated_at, r.succeeded_at, r.note, r.metadata, o.out_trade_no, o.transaction_id`;

/** These and what tells a repeat from a conflict. */
export const REFUND_COLUMNS = `${REFUND_VIEW_COLUMNS}, r.idempotency_key, r.request_digest`;

/** A row of {@link REFUND_VIEW_COLUMNS}. */
export interface RefundViewRow {
  readonly id: string;
  readonly order_id: string;
  readonly mch_id: string;
  readonly appid: string;
  readonly out_refund_no: string;
  readonly refund_id: string | null;
  readonly amount_fen: string;
  readonly state: RefundState;
  readonly reason: string | null;
  readonly items: RefundItemView[] | null;
  readonly funds_account: string | null;
  readonly failure_code: string | null;
  readonly failure_wechat_code: string | null;
  readonly failure_message: string | null;
  readonly in_doubt_since: Date | null;
  readonly user_received_account: string | null;
  readonly attempts: number;
  readonly next_attempt_at: Date | null;
  readonly api_version: 'v2' | 'v3' | null;
  readonly source: 'api' | 'external';
  readonly replaces: string | null;
  readonly replaced_by: string | null;
  readonly created_by: string;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly succeeded_at: Date | null;
  readonly note: string | null;
  readonly metadata: Record<string, string>;
  readonly out_trade_no: string;
  readonly transaction_id: string | null;
}

/** A row of {@link REFUND_COLUMNS}. */
export interface RefundRow extends RefundViewRow {
  readonly idempotency_key: string | null;
  readonly request_digest: Buffer | null;
}

export class RefundItemView {
  ref: string;
  amount: number;
  quantity?: number;
}

export class RefundFailureView {
  code: string;
  wechat_code: string | null;
  message: string | null;
  retryable: boolean;
  /** What happened, why, what to do next and who does it, in the language of Accept-Language: Chinese or English. */
  what: string | null;
  why: string | null;
  next_step: string | null;
  who: string | null;
}

/** A refund as callers see it (design.md 8). Amounts are fen, times RFC 3339. */
export class RefundView {
  id: string;
  object: 'refund';
  status: RefundStatus;
  state: RefundState;
  mch_id: string;
  appid: string;
  order: string;
  out_trade_no: string;
  transaction_id: string | null;
  out_refund_no: string;
  refund_id: string | null;
  amount: number;
  currency: 'CNY';
  reason: string | null;
  items: RefundItemView[] | null;
  funds_account: string | null;
  failure: RefundFailureView | null;
  in_doubt: boolean;
  user_received_account: string | null;
  attempts: number;
  next_attempt_at: string | null;
  api_version: 'v2' | 'v3' | null;
  source: 'api' | 'external';
  replaces: string | null;
  replaced_by: string | null;
  created_by: string;
  created_at: string;
  updated_at: string;
  succeeded_at: string | null;
  note: string | null;
  metadata: Record<string, string>;
}

/** The view of a row; its texts for people in `language`. */
export function refundView(row: RefundViewRow, language: Language = 'en'): RefundView {
  const refundIdOf = (uuid: string | null): string | null => uuid && publicId('refund', uuid);
  return {
    id: publicId('refund', row.id),
    object: 'refund',
    status: REFUND_STATES[row.state].status,
    state: row.state,
    mch_id: row.mch_id,
    appid: row.appid,
    order: publicId('order', row.order_id),
    out_trade_no: row.out_trade_no,
    transaction_id: row.transaction_id,
    out_refund_no: row.out_refund_no,
    refund_id: row.refund_id,
    amount: Number(row.amount_fen),
    currency: 'CNY',
    reason: row.reason,
    items: row.items,
    funds_account: row.funds_account,
    failure: failureView(row, language),
    in_doubt: row.in_doubt_since !== null,
    user_received_account: row.user_received_account,
    attempts: row.attempts,
    next_attempt_at: row.next_attempt_at?.toISOString() ?? null,
    api_version: row.api_version,
    source: row.source,
    replaces: refundIdOf(row.replaces),
    replaced_by: refundIdOf(row.replaced_by),
    created_by: row.created_by,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
    succeeded_at: row.succeeded_at?.toISOString() ?? null,
    note: row.note,
    metadata: row.metadata,
  };
}

const UNEXPLAINED = { what: null, why: null, next_step: null, who: null } as const;

function failureView(row: RefundViewRow, language: Language): RefundFailureView | null {
  const { failure_code: code, failure_wechat_code: wechatCode, api_version: version } = row;
  if (code === null) return null;
  return {
    code,
    wechat_code: wechatCode,
    message: row.failure_message,
    retryable: failureOf(code)?.retryable ?? false,
    ...(explainFailure({ code, wechatCode, version }, language) ?? UNEXPLAINED),
  };
}
