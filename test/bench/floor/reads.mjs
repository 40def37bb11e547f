/** The columns of a refund's view; `r` is the refund, `o` its order. */
export const VIEW = `r.id, r.order_id, r.mch_id, r.appid, r.out_refund_no, r.refund_id, r.amount_fen::text, r.state,
  r.reason, r.items, r.funds_account, r.failure_code, r.failure_wechat_code, r.failure_message, r.in_doubt_since,
  r.user_received_account, r.attempts, r.next_attempt_at, r.api_version, r.source, r.replaces, r.replaced_by, r.created_by,
  r.created_at, r.updated_at, r.succeeded_at, r.note, r.metadata, o.out_trade_no, o.transaction_id`;

/** The columns of an order's view. */
export const ORDER_VIEW = `o.id, o.status, o.mch_id, o.appid, o.out_trade_no, o.transaction_id, o.amount_fen::text,
  o.paid_fen::text, o.reserved_fen::text, o.refunded_fen::text, o.outside_fen::text, o.refund_count, o.verified, o.paid_at,
  o.created_at, o.metadata`;

export const GET = {
  name: 'get',
  text: `SELECT ${VIEW} FROM refund r JOIN payment_order o ON o.id = r.order_id WHERE r.id = ANY($1::uuid[])`,
};

export const LIST = {
  name: 'list',
  text: `SELECT ${VIEW} FROM refund r JOIN payment_order o ON o.id = r.order_id
    WHERE $1::uuid IS NULL OR (r.created_at, r.id) < (SELECT b.created_at, b.id FROM refund b WHERE b.id = $1)
    ORDER BY r.created_at DESC, r.id DESC LIMIT $2`,
};
