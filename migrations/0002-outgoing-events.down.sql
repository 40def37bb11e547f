DROP TABLE webhook_attempt, webhook_delivery, webhook_secret, webhook_endpoint, outgoing_event;
ALTER TABLE payment_order DROP COLUMN event_sequence;
ALTER TABLE refund DROP COLUMN event_sequence, DROP COLUMN told_once;
DROP FUNCTION uuid7(timestamptz);
