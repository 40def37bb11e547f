DROP TABLE notification, gateway_call, refund_event, refund, payment_order, api_key, credential,
  mini_program_merchant, mini_program, merchant_rate, merchant;
DROP FUNCTION append_only(), refund_frozen(), payment_order_frozen(), payment_order_paid_frozen(), tuikuan_now();
