-- The history of orders that came to rest long ago. `tuikuan archive` moves it here, so that the tables every request writes stay small.
-- Nothing is deleted: a row leaves its table only when the very same row stands here.
CREATE SCHEMA archive;
-- The same names over both, for whoever reads a whole history.
CREATE SCHEMA with_archive;

CREATE TABLE archive.refund_event (LIKE refund_event INCLUDING CONSTRAINTS, PRIMARY KEY (refund_id, seq));
CREATE TABLE archive.gateway_call (LIKE gateway_call INCLUDING CONSTRAINTS, PRIMARY KEY (id));
CREATE TABLE archive.notification (LIKE notification INCLUDING CONSTRAINTS, PRIMARY KEY (id), UNIQUE (mch_id, kind, dedupe_key));
CREATE TABLE archive.outgoing_event (LIKE outgoing_event INCLUDING CONSTRAINTS, PRIMARY KEY (id), UNIQUE (subject_id, sequence));
CREATE TABLE archive.webhook_delivery (LIKE webhook_delivery INCLUDING CONSTRAINTS, PRIMARY KEY (id), UNIQUE (event_id, endpoint_id));
CREATE TABLE archive.webhook_attempt (LIKE webhook_attempt INCLUDING CONSTRAINTS, PRIMARY KEY (id));
CREATE INDEX gateway_call_refund_idx ON archive.gateway_call (refund_id, intent_at);
CREATE INDEX notification_refund_idx ON archive.notification (refund_id, id);
CREATE INDEX webhook_attempt_delivery_idx ON archive.webhook_attempt (delivery_id, at);

CREATE VIEW with_archive.refund_event AS SELECT * FROM refund_event UNION ALL SELECT * FROM archive.refund_event;
CREATE VIEW with_archive.gateway_call AS SELECT * FROM gateway_call UNION ALL SELECT * FROM archive.gateway_call;
CREATE VIEW with_archive.notification AS SELECT * FROM notification UNION ALL SELECT * FROM archive.notification;
CREATE VIEW with_archive.outgoing_event AS SELECT * FROM outgoing_event UNION ALL SELECT * FROM archive.outgoing_event;
CREATE VIEW with_archive.webhook_delivery AS SELECT * FROM webhook_delivery UNION ALL SELECT * FROM archive.webhook_delivery;
CREATE VIEW with_archive.webhook_attempt AS SELECT * FROM webhook_attempt UNION ALL SELECT * FROM archive.webhook_attempt;

-- The calls of an order itself; those of its refunds have an index already.
CREATE INDEX gateway_call_order_idx ON gateway_call (order_id) WHERE refund_id IS NULL;

-- Refuses a DELETE while one of its rows does not stand in the archive as it is. The argument joins the two, `g` gone and `a` archived.
CREATE FUNCTION kept_in_archive() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  lost boolean;
BEGIN
  EXECUTE format('SELECT EXISTS (SELECT 1 FROM gone g LEFT JOIN archive.%I a ON %s WHERE to_jsonb(a) IS DISTINCT FROM to_jsonb(g))',
    TG_TABLE_NAME, TG_ARGV[0]) INTO lost;
  IF lost THEN
    RAISE EXCEPTION '% is append-only: a row leaves it only for the archive', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;

DROP TRIGGER refund_event_append_only ON refund_event;
CREATE TRIGGER refund_event_append_only BEFORE UPDATE ON refund_event FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER refund_event_kept AFTER DELETE ON refund_event REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION kept_in_archive('a.refund_id = g.refund_id AND a.seq = g.seq');
CREATE TRIGGER gateway_call_kept AFTER DELETE ON gateway_call REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION kept_in_archive('a.id = g.id');
CREATE TRIGGER notification_kept AFTER DELETE ON notification REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION kept_in_archive('a.id = g.id');
DROP TRIGGER outgoing_event_no_delete ON outgoing_event;
CREATE TRIGGER outgoing_event_kept AFTER DELETE ON outgoing_event REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION kept_in_archive('a.id = g.id');
CREATE TRIGGER webhook_delivery_kept AFTER DELETE ON webhook_delivery REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION kept_in_archive('a.id = g.id');
DROP TRIGGER webhook_attempt_append_only ON webhook_attempt;
CREATE TRIGGER webhook_attempt_append_only BEFORE UPDATE ON webhook_attempt FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER webhook_attempt_kept AFTER DELETE ON webhook_attempt REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION kept_in_archive('a.id = g.id');

-- What stands in the archive stays, but that sealed texts come under another master key, and that a notice that comes again is counted.
CREATE TRIGGER refund_event_append_only BEFORE UPDATE OR DELETE ON archive.refund_event FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER gateway_call_append_only BEFORE UPDATE OR DELETE ON archive.gateway_call FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER notification_no_delete BEFORE DELETE ON archive.notification FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER notification_append_only BEFORE UPDATE ON archive.notification FOR EACH ROW
  WHEN (to_jsonb(NEW) - '{kek_id,content,deliveries,last_received_at}'::text[]
    <> to_jsonb(OLD) - '{kek_id,content,deliveries,last_received_at}'::text[]) EXECUTE FUNCTION append_only();
CREATE TRIGGER outgoing_event_append_only BEFORE UPDATE OR DELETE ON archive.outgoing_event FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER webhook_delivery_append_only BEFORE UPDATE OR DELETE ON archive.webhook_delivery FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER webhook_attempt_append_only BEFORE UPDATE OR DELETE ON archive.webhook_attempt FOR EACH ROW EXECUTE FUNCTION append_only();

-- Roles that read and write the tables read the archive and keep its texts sealed; new ones are granted it as the README says.
DO $$
DECLARE
  other regrole;
BEGIN
  FOR other IN SELECT DISTINCT a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = 'notification'::regclass AND a.privilege_type = 'UPDATE' AND a.grantee NOT IN (c.relowner, 0)
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA archive, with_archive TO %s', other);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA archive, with_archive TO %s', other);
    EXECUTE format('GRANT UPDATE (kek_id, content, deliveries, last_received_at) ON archive.notification TO %s', other);
  END LOOP;
END $$;
