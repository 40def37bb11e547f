-- Lists are ordered by time and id: each filter has an index that gives its rows in that order, or few rows.
DROP INDEX refund_appid_idx;
CREATE INDEX refund_appid_idx ON refund (appid, created_at, id);
CREATE INDEX refund_mch_id_idx ON refund (mch_id, created_at, id);
CREATE INDEX refund_created_idx ON refund (created_at, id);
CREATE INDEX refund_amount_idx ON refund (amount_fen);
CREATE INDEX refund_refund_id_idx ON refund (refund_id) WHERE refund_id IS NOT NULL;
-- Succeeded ones are most of all; a list of them needs no other index than that of the time.
CREATE INDEX refund_state_idx ON refund (state, created_at, id) WHERE state <> 'succeeded';
-- A state that is frequent, but not in this app.
CREATE INDEX refund_appid_state_idx ON refund (appid, state, created_at, id) WHERE state <> 'succeeded';

DROP INDEX payment_order_appid_idx;
CREATE INDEX payment_order_appid_idx ON payment_order (appid, created_at, id);
CREATE INDEX payment_order_mch_id_idx ON payment_order (mch_id, created_at, id);
CREATE INDEX payment_order_created_idx ON payment_order (created_at, id);
CREATE INDEX payment_order_amount_idx ON payment_order (amount_fen);
CREATE INDEX payment_order_status_idx ON payment_order (status, created_at, id) WHERE status <> 'paid';

CREATE INDEX notification_received_idx ON notification (received_at, id);
CREATE INDEX notification_order_idx ON notification (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX notification_result_idx ON notification (result, received_at, id) WHERE result NOT IN ('applied', 'repeat');
