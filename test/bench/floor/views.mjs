const STATUS = {
  queued: 'pending',
  insufficient_balance: 'pending',
  submitting: 'processing',
  outcome_unknown: 'processing',
  accepted: 'processing',
  abnormal: 'requires_action',
  blocked: 'requires_action',
  mismatch: 'requires_action',
  succeeded: 'succeeded',
  closed: 'failed',
  rejected: 'failed',
  canceled: 'canceled',
};

export const publicRefund = (uuid) => uuid && `re_${uuid.replaceAll('-', '')}`;

/** A refund as the API shows it; failures, which the floor never meets, stay null. */
export function refundView(row) {
  return {
    id: publicRefund(row.id),
    object: 'refund',
    status: STATUS[row.state],
    state: row.state,
    mch_id: row.mch_id,
    appid: row.appid,
    order: `ord_${row.order_id.replaceAll('-', '')}`,
    out_trade_no: row.out_trade_no,
    transaction_id: row.transaction_id,
    out_refund_no: row.out_refund_no,
    refund_id: row.refund_id,
    amount: Number(row.amount_fen),
    currency: 'CNY',
    reason: row.reason,
    items: row.items,
    funds_account: row.funds_account,
    failure: null,
    in_doubt: row.in_doubt_since !== null,
    user_received_account: row.user_received_account,
    attempts: row.attempts,
    next_attempt_at: row.next_attempt_at?.toISOString() ?? null,
    api_version: row.api_version,
    source: row.source,
    replaces: publicRefund(row.replaces),
    replaced_by: publicRefund(row.replaced_by),
    created_by: row.created_by,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
    succeeded_at: row.succeeded_at?.toISOString() ?? null,
    note: row.note,
    metadata: row.metadata,
  };
}

/** A page from one row more than asked for. */
export function pageView(rows, limit) {
  const shown = rows.slice(0, limit);
  const more = rows.length > limit;
  return {
    data: shown.map(refundView),
    next_cursor: more ? Buffer.from(publicRefund(shown.at(-1).id)).toString('base64url') : null,
  };
}
