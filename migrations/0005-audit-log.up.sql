-- Every change a caller has made or asked WeChat for, written by the transaction of the change. Never updated, never deleted.
CREATE TABLE audit_log (
  id         uuid PRIMARY KEY,
  at         timestamptz NOT NULL,
  actor      text NOT NULL,
  action     text NOT NULL,
  object     text NOT NULL,
  before     jsonb,
  after      jsonb,
  address    text,
  request_id text
);
CREATE INDEX audit_log_at_idx ON audit_log (at, id);
CREATE INDEX audit_log_object_idx ON audit_log (object, at);
CREATE INDEX audit_log_actor_idx ON audit_log (actor, at, id);
-- Actions that are rare beside the creations.
CREATE INDEX audit_log_action_idx ON audit_log (action, at, id) WHERE action NOT IN ('refund.create', 'order.create', 'order.register');
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION append_only();
