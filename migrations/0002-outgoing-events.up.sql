-- Outgoing events: the outbox, who hears of it, what each of them is sent, and every try (design.md 9).
-- Events are written by the statement that changes the refund or order; everything after that is the workers'.

-- A UUIDv7 of a database time: ids made by statements sort by time as the service's own do, with 74 random bits.
CREATE FUNCTION uuid7(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM at) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- The number of the last event of a row, and which events that are told once have been.
ALTER TABLE refund
  ADD COLUMN event_sequence integer NOT NULL DEFAULT 0,
  ADD COLUMN told_once text[] NOT NULL DEFAULT '{}';
ALTER TABLE payment_order
  ADD COLUMN event_sequence integer NOT NULL DEFAULT 0;

-- One event, with its object as it was after the change. subject_id is the refund or order whose events sequence counts.
CREATE TABLE outgoing_event (
  id              uuid PRIMARY KEY,
  type            text NOT NULL,
  subject_id      uuid NOT NULL,
  refund_id       uuid REFERENCES refund (id),
  order_id        uuid REFERENCES payment_order (id),
  appid           text,
  sequence        integer NOT NULL,
  previous_status text,
  snapshot        jsonb NOT NULL,
  at              timestamptz NOT NULL,
  fanned_out_at   timestamptz,
  CONSTRAINT outgoing_event_sequence_key UNIQUE (subject_id, sequence),
  CONSTRAINT outgoing_event_sequence_check CHECK (sequence >= 1),
  CONSTRAINT outgoing_event_subject_check CHECK (subject_id = coalesce(refund_id, order_id, id)),
  CONSTRAINT outgoing_event_kind_check CHECK ((type LIKE 'refund.%') = (refund_id IS NOT NULL)
    AND (type LIKE 'refund.%' OR type LIKE 'order.%') = (order_id IS NOT NULL) AND (order_id IS NULL) = (appid IS NULL)),
  CONSTRAINT outgoing_event_type_check CHECK (type IN ('refund.created', 'refund.processing', 'refund.succeeded', 'refund.failed',
    'refund.canceled', 'refund.requires_action', 'refund.insufficient_balance', 'refund.corrected', 'refund.external_detected',
    'order.paid', 'order.closed', 'order.partially_refunded', 'order.refunded', 'webhook_endpoint.test'))
);
-- What no worker has looked at yet; as small as what waits.
CREATE INDEX outgoing_event_waiting_idx ON outgoing_event (id) WHERE fanned_out_at IS NULL;
CREATE INDEX outgoing_event_appid_idx ON outgoing_event (appid, id);

-- An event never changes, but for the mark that its deliveries exist, which is set once.
CREATE TRIGGER outgoing_event_append_only BEFORE UPDATE ON outgoing_event FOR EACH ROW
  WHEN (OLD.fanned_out_at IS NOT NULL OR (NEW.id, NEW.type, NEW.subject_id, NEW.refund_id, NEW.order_id, NEW.appid, NEW.sequence,
      NEW.previous_status, NEW.snapshot, NEW.at)
    IS DISTINCT FROM (OLD.id, OLD.type, OLD.subject_id, OLD.refund_id, OLD.order_id, OLD.appid, OLD.sequence, OLD.previous_status,
      OLD.snapshot, OLD.at))
  EXECUTE FUNCTION append_only();
CREATE TRIGGER outgoing_event_no_delete BEFORE DELETE ON outgoing_event FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER outgoing_event_no_truncate BEFORE TRUNCATE ON outgoing_event FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Where events go. It is disabled for a reason or not at all; a deleted one stays for its log.
CREATE TABLE webhook_endpoint (
  id              uuid PRIMARY KEY,
  url             text NOT NULL,
  events          text[] NOT NULL,
  appids          text[],
  description     text,
  enabled         boolean NOT NULL DEFAULT true,
  disabled_reason text,
  failures_in_row integer NOT NULL DEFAULT 0,
  failing_since   timestamptz,
  held_until      timestamptz,
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  CONSTRAINT webhook_endpoint_events_check CHECK (cardinality(events) >= 1),
  CONSTRAINT webhook_endpoint_appids_check CHECK (cardinality(appids) >= 1),
  CONSTRAINT webhook_endpoint_disabled_check CHECK (enabled = (disabled_reason IS NULL)),
  CONSTRAINT webhook_endpoint_reason_check CHECK (disabled_reason IN ('caller', 'gone', 'failing', 'deleted')),
  CONSTRAINT webhook_endpoint_failing_check CHECK ((failures_in_row = 0) = (failing_since IS NULL))
) WITH (fillfactor = 80);

-- Sealed signing secrets. The current one has usable_until null; the one before signs beside it until its time is over.
CREATE TABLE webhook_secret (
  endpoint_id  uuid NOT NULL REFERENCES webhook_endpoint (id),
  version      integer NOT NULL,
  kek_id       text NOT NULL,
  sealed       bytea NOT NULL,
  created_at   timestamptz NOT NULL,
  usable_until timestamptz,
  CONSTRAINT webhook_secret_pkey PRIMARY KEY (endpoint_id, version)
);
CREATE UNIQUE INDEX webhook_secret_current_key ON webhook_secret (endpoint_id) WHERE usable_until IS NULL;

-- One event on its way to one endpoint. The row is the queue; subject_id and sequence keep its place behind earlier ones.
CREATE TABLE webhook_delivery (
  id              uuid PRIMARY KEY,
  event_id        uuid NOT NULL REFERENCES outgoing_event (id),
  endpoint_id     uuid NOT NULL REFERENCES webhook_endpoint (id),
  subject_id      uuid NOT NULL,
  sequence        integer NOT NULL,
  state           text NOT NULL,
  tries           integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz,
  lease_token     uuid,
  lease_until     timestamptz,
  delivered_at    timestamptz,
  created_at      timestamptz NOT NULL,
  CONSTRAINT webhook_delivery_event_key UNIQUE (event_id, endpoint_id),
  CONSTRAINT webhook_delivery_state_check CHECK (state IN ('pending', 'delivered', 'failed')),
  CONSTRAINT webhook_delivery_attempt_check CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
  CONSTRAINT webhook_delivery_lease_check CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
  CONSTRAINT webhook_delivery_delivered_check CHECK ((state = 'delivered') = (delivered_at IS NOT NULL))
) WITH (fillfactor = 70);
-- Due ones, the line of one subject, and leases; all as small as what is on its way.
CREATE INDEX webhook_delivery_due_idx ON webhook_delivery (endpoint_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX webhook_delivery_line_idx ON webhook_delivery (endpoint_id, subject_id, sequence) WHERE state = 'pending';
CREATE INDEX webhook_delivery_lease_idx ON webhook_delivery (endpoint_id, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX webhook_delivery_endpoint_idx ON webhook_delivery (endpoint_id, id);

-- One try. id is the lease it was made under. Nothing of the answer is kept but its class and how long it took, roughly.
CREATE TABLE webhook_attempt (
  id          uuid PRIMARY KEY,
  delivery_id uuid NOT NULL REFERENCES webhook_delivery (id),
  at          timestamptz NOT NULL,
  result      text NOT NULL,
  latency     text NOT NULL,
  CONSTRAINT webhook_attempt_result_check CHECK (result IN ('2xx', '3xx', '4xx', '5xx', 'no_answer', 'address_refused')),
  CONSTRAINT webhook_attempt_latency_check CHECK (latency IN ('under_100ms', 'under_1s', 'under_5s', 'under_15s', 'over_15s'))
);
CREATE INDEX webhook_attempt_delivery_idx ON webhook_attempt (delivery_id, at);
CREATE TRIGGER webhook_attempt_append_only BEFORE UPDATE OR DELETE ON webhook_attempt FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER webhook_attempt_no_truncate BEFORE TRUNCATE ON webhook_attempt FOR EACH STATEMENT EXECUTE FUNCTION append_only();
