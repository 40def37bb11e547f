DROP INDEX refund_appid_idx, refund_mch_id_idx, refund_created_idx, refund_amount_idx, refund_refund_id_idx, refund_state_idx,
  refund_appid_state_idx;
CREATE INDEX refund_appid_idx ON refund (appid, id);
DROP INDEX payment_order_appid_idx, payment_order_mch_id_idx, payment_order_created_idx, payment_order_amount_idx, payment_order_status_idx;
CREATE INDEX payment_order_appid_idx ON payment_order (appid, id);
DROP INDEX notification_received_idx, notification_order_idx, notification_result_idx;
