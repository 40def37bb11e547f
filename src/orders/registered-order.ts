import { ORDER_COLUMNS } from './order.view.js';
import { tellOrderStatus } from './outgoing-events.js';

/** Inserts a paid order that was taken elsewhere, with its event; no row when its number exists. */
export const INSERT_REGISTERED_SQL = `
  WITH made AS (
    INSERT INTO payment_order (id, mch_id, appid, out_trade_no, transaction_id, status, amount_fen, paid_fen, paid_at, verified, source,
      request_digest, refunds_query_at, metadata, created_by, created_at, updated_at, event_sequence)
    SELECT $1, $2, $3, $4, $5, 'paid', $6::bigint, $6::bigint, $7::timestamptz, $8::boolean, 'register', $9,
      CASE WHEN $10::boolean THEN c.now END, $11::jsonb, $12, c.now, c.now, 1
    FROM (SELECT tuikuan_now() AS now) c
    ON CONFLICT (mch_id, out_trade_no) DO NOTHING
    RETURNING *),
  told AS (
    ${tellOrderStatus('made', 'NULL::text')})
  SELECT ${ORDER_COLUMNS} FROM made o`;
