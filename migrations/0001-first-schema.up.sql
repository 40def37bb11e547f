-- The whole schema of Tuikuan. Every money rule of the code stands here a second time.
-- Times come from tuikuan_now() only; money is integer fen; rows of refund_event are never changed.

-- The one source of database time. Tests replace its body to shift the clock.
CREATE FUNCTION tuikuan_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
  AS $$ SELECT clock_timestamp() $$;

-- Merchants -----------------------------------------------------------------------------------------------

CREATE TABLE merchant (
  mch_id        text PRIMARY KEY,
  name          text NOT NULL,
  enabled       boolean NOT NULL DEFAULT true,
  api_version   text NOT NULL,
  sign_type     text NOT NULL,
  refund_notify text NOT NULL,
  notify_token  text NOT NULL,
  created_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL,
  CONSTRAINT merchant_mch_id_check CHECK (mch_id ~ '^[0-9]{8,32}$'),
  CONSTRAINT merchant_api_version_check CHECK (api_version IN ('v2', 'v3')),
  CONSTRAINT merchant_sign_type_check CHECK (sign_type IN ('HMAC-SHA256', 'MD5')),
  CONSTRAINT merchant_refund_notify_check CHECK (refund_notify IN ('confirm', 'apply')),
  CONSTRAINT merchant_notify_token_key UNIQUE (notify_token)
);

-- The hot row of a merchant: it hands out send slots and knows whether dispatch is paused (design.md 5).
CREATE TABLE merchant_rate (
  mch_id                 text PRIMARY KEY REFERENCES merchant (mch_id),
  next_slot_at           timestamptz NOT NULL,
  rate_per_second        integer NOT NULL,
  rate_changed_at        timestamptz NOT NULL,
  recent_error_at        timestamptz[] NOT NULL DEFAULT '{}',
  next_query_slot_at     timestamptz NOT NULL,
  configuration_failures integer NOT NULL DEFAULT 0,
  paused_at              timestamptz,
  pause_reason           text,
  paused_until           timestamptz,
  next_probe_at          timestamptz,
  probe_refund_id        uuid,
  release_at             timestamptz,
  CONSTRAINT merchant_rate_pause_reason_check CHECK (pause_reason IN ('configuration', 'too_many_requests')),
  CONSTRAINT merchant_rate_pause_check CHECK ((paused_at IS NULL) = (pause_reason IS NULL)),
  CONSTRAINT merchant_rate_rate_check CHECK (rate_per_second >= 1)
) WITH (fillfactor = 50);

CREATE TABLE mini_program (
  appid      text PRIMARY KEY,
  name       text NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CONSTRAINT mini_program_appid_check CHECK (appid ~ '^[0-9A-Za-z_-]{1,32}$')
);

CREATE TABLE mini_program_merchant (
  appid  text NOT NULL REFERENCES mini_program (appid),
  mch_id text NOT NULL REFERENCES merchant (mch_id),
  CONSTRAINT mini_program_merchant_pkey PRIMARY KEY (appid, mch_id)
);

-- Sealed secrets. One row per version; the newest has replaced_at null, the one before stays usable for notices until usable_until.
CREATE TABLE credential (
  id           uuid PRIMARY KEY,
  mch_id       text NOT NULL REFERENCES merchant (mch_id),
  kind         text NOT NULL,
  version      integer NOT NULL,
  kek_id       text NOT NULL,
  sealed       bytea NOT NULL,
  public_part  text,
  fingerprint  text NOT NULL,
  serial       text,
  valid_until  timestamptz,
  created_at   timestamptz NOT NULL,
  replaced_at  timestamptz,
  usable_until timestamptz,
  CONSTRAINT credential_version_key UNIQUE (mch_id, kind, version),
  CONSTRAINT credential_kind_check CHECK (kind IN ('api_v2_key', 'api_v3_key', 'client_certificate', 'wechatpay_public_key'))
);
CREATE UNIQUE INDEX credential_current_key ON credential (mch_id, kind) WHERE replaced_at IS NULL;

CREATE TABLE api_key (
  id          uuid PRIMARY KEY,
  name        text NOT NULL,
  role        text NOT NULL,
  appids      text[],
  secret_hash bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  created_by  text NOT NULL,
  expires_at  timestamptz,
  revoked_at  timestamptz,
  CONSTRAINT api_key_role_check CHECK (role IN ('viewer', 'operator', 'admin'))
);

-- Orders --------------------------------------------------------------------------------------------------

CREATE TABLE payment_order (
  id              uuid PRIMARY KEY,
  mch_id          text NOT NULL REFERENCES merchant (mch_id),
  appid           text NOT NULL REFERENCES mini_program (appid),
  out_trade_no    text NOT NULL,
  transaction_id  text,
  status          text NOT NULL,
  amount_fen      bigint NOT NULL,
  paid_fen        bigint NOT NULL DEFAULT 0,
  reserved_fen    bigint NOT NULL DEFAULT 0,
  refunded_fen    bigint NOT NULL DEFAULT 0,
  outside_fen     bigint NOT NULL DEFAULT 0,
  refund_count    integer NOT NULL DEFAULT 0,
  verified        boolean NOT NULL DEFAULT false,
  source          text NOT NULL,
  request_digest  bytea NOT NULL,
  description     text,
  openid          text,
  attach          text,
  payer_client_ip text,
  prepay_id       text,
  prepay_until    timestamptz,
  prepay_sign_type text,
  expires_at      timestamptz,
  paid_at         timestamptz,
  next_send_at    timestamptz,
  next_query_at   timestamptz,
  query_step      integer NOT NULL DEFAULT 0,
  refunds_query_at timestamptz,
  metadata        jsonb NOT NULL DEFAULT '{}',
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  CONSTRAINT payment_order_out_trade_no_key UNIQUE (mch_id, out_trade_no),
  CONSTRAINT payment_order_transaction_id_key UNIQUE (mch_id, transaction_id),
  CONSTRAINT payment_order_out_trade_no_check CHECK (out_trade_no ~ '^[0-9A-Za-z_|*-]{6,32}$'),
  CONSTRAINT payment_order_status_check CHECK (status IN ('created', 'paid', 'closed')),
  CONSTRAINT payment_order_source_check CHECK (source IN ('prepay', 'register')),
  CONSTRAINT payment_order_amount_check CHECK (amount_fen BETWEEN 1 AND 1000000000000),
  CONSTRAINT payment_order_paid_check CHECK (paid_fen >= 0 AND (status = 'paid') = (paid_at IS NOT NULL) AND (status = 'paid') = (paid_fen > 0)),
  CONSTRAINT payment_order_money_check CHECK (
    reserved_fen >= 0 AND refunded_fen >= 0 AND outside_fen >= 0 AND reserved_fen + refunded_fen <= paid_fen),
  CONSTRAINT payment_order_refund_count_check CHECK (refund_count BETWEEN 0 AND 50)
) WITH (fillfactor = 80);
CREATE INDEX payment_order_query_due_idx ON payment_order (next_query_at) WHERE next_query_at IS NOT NULL;
CREATE INDEX payment_order_refunds_query_due_idx ON payment_order (refunds_query_at) WHERE refunds_query_at IS NOT NULL;
CREATE INDEX payment_order_transaction_idx ON payment_order (transaction_id);
CREATE INDEX payment_order_number_idx ON payment_order (out_trade_no);
CREATE INDEX payment_order_appid_idx ON payment_order (appid, id);

-- An order's number and merchant never change; its paid amount not once it has a refund (below).
CREATE FUNCTION payment_order_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'payment_order % is frozen: out_trade_no, mch_id and appid do not change', OLD.id
    USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER payment_order_identity_frozen BEFORE UPDATE ON payment_order FOR EACH ROW
  WHEN (NEW.id <> OLD.id OR NEW.mch_id <> OLD.mch_id OR NEW.out_trade_no <> OLD.out_trade_no OR NEW.appid <> OLD.appid)
  EXECUTE FUNCTION payment_order_frozen();

-- Refunds -------------------------------------------------------------------------------------------------

CREATE TABLE refund (
  id                    uuid PRIMARY KEY,
  order_id              uuid NOT NULL REFERENCES payment_order (id),
  mch_id                text NOT NULL,
  appid                 text NOT NULL,
  out_refund_no         text NOT NULL,
  refund_id             text,
  amount_fen            bigint NOT NULL,
  state                 text NOT NULL,
  state_since           timestamptz NOT NULL,
  version               integer NOT NULL DEFAULT 1,
  source                text NOT NULL,
  booked_outside        boolean NOT NULL DEFAULT false,
  outside_shown_fen     bigint,
  idempotency_key       text,
  request_digest        bytea,
  api_version           text,
  reason                text,
  items                 jsonb,
  funds_account         text,
  note                  text,
  metadata              jsonb NOT NULL DEFAULT '{}',
  in_doubt_since        timestamptz,
  lease_token           uuid,
  lease_until           timestamptz,
  next_attempt_at       timestamptz,
  first_sent_at         timestamptz,
  attempts              integer NOT NULL DEFAULT 0,
  not_sent_count        integer NOT NULL DEFAULT 0,
  next_query_at         timestamptz,
  query_step            integer NOT NULL DEFAULT 0,
  last_query_at         timestamptz,
  failure_code          text,
  failure_wechat_code   text,
  failure_message       text,
  user_received_account text,
  succeeded_at          timestamptz,
  replaces              uuid REFERENCES refund (id),
  replaced_by           uuid REFERENCES refund (id),
  created_by            text NOT NULL,
  created_at            timestamptz NOT NULL,
  updated_at            timestamptz NOT NULL,
  CONSTRAINT refund_out_refund_no_key UNIQUE (mch_id, out_refund_no),
  CONSTRAINT refund_idempotency_key_key UNIQUE (mch_id, appid, idempotency_key),
  CONSTRAINT refund_replaces_key UNIQUE (replaces),
  CONSTRAINT refund_out_refund_no_check CHECK (out_refund_no ~ '^[0-9A-Za-z_|*@-]{1,64}$'),
  CONSTRAINT refund_amount_check CHECK (amount_fen BETWEEN 1 AND 1000000000000),
  CONSTRAINT refund_state_check CHECK (state IN ('queued', 'insufficient_balance', 'submitting', 'outcome_unknown', 'accepted',
    'abnormal', 'blocked', 'mismatch', 'succeeded', 'closed', 'rejected', 'canceled')),
  CONSTRAINT refund_source_check CHECK (source IN ('api', 'external')),
  CONSTRAINT refund_doubt_check CHECK (in_doubt_since IS NULL OR state NOT IN ('closed', 'rejected', 'canceled')),
  CONSTRAINT refund_lease_check CHECK ((lease_token IS NULL) = (lease_until IS NULL)),
  CONSTRAINT refund_attempt_check CHECK (next_attempt_at IS NULL OR state IN ('queued', 'insufficient_balance')),
  CONSTRAINT refund_api_version_check CHECK (api_version IN ('v2', 'v3'))
) WITH (fillfactor = 70);
-- The queue of sends and the list of queries; both stay as small as what waits.
CREATE INDEX refund_due_idx ON refund (mch_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX refund_query_due_idx ON refund (mch_id, next_query_at) WHERE next_query_at IS NOT NULL;
CREATE INDEX refund_lease_idx ON refund (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX refund_blocked_idx ON refund (mch_id, id) WHERE state = 'blocked';
CREATE INDEX refund_order_idx ON refund (order_id, id);
CREATE INDEX refund_appid_idx ON refund (appid, id);

-- A refund's number, amount, order and request never change; its protocol not once it is set.
CREATE FUNCTION refund_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'refund % is frozen: number, amount, order, request digest and api_version do not change', OLD.id
    USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER refund_identity_frozen BEFORE UPDATE ON refund FOR EACH ROW
  WHEN (NEW.id <> OLD.id OR NEW.order_id <> OLD.order_id OR NEW.mch_id <> OLD.mch_id OR NEW.appid <> OLD.appid
    OR NEW.out_refund_no <> OLD.out_refund_no OR NEW.amount_fen <> OLD.amount_fen
    OR NEW.request_digest IS DISTINCT FROM OLD.request_digest
    OR (OLD.api_version IS NOT NULL AND NEW.api_version IS DISTINCT FROM OLD.api_version))
  EXECUTE FUNCTION refund_frozen();

CREATE FUNCTION payment_order_paid_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM refund WHERE order_id = OLD.id) THEN
    RAISE EXCEPTION 'payment_order % is frozen: with refunds paid_fen does not change', OLD.id
      USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER payment_order_paid_frozen BEFORE UPDATE OF paid_fen ON payment_order FOR EACH ROW
  WHEN (NEW.paid_fen <> OLD.paid_fen AND OLD.paid_fen > 0) EXECUTE FUNCTION payment_order_paid_frozen();

-- One row per change of state, and one with from = to per incident. Never updated, never deleted.
CREATE TABLE refund_event (
  refund_id  uuid NOT NULL REFERENCES refund (id),
  seq        integer NOT NULL,
  from_state text,
  to_state   text NOT NULL,
  cause      text NOT NULL,
  source_id  uuid,
  actor      text,
  incident   text,
  detail     jsonb NOT NULL DEFAULT '{}',
  at         timestamptz NOT NULL,
  CONSTRAINT refund_event_pkey PRIMARY KEY (refund_id, seq),
  CONSTRAINT refund_event_cause_check CHECK (cause IN ('request', 'claim', 'answer', 'query', 'notice', 'operator', 'lease', 'window', 'configuration'))
);
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER refund_event_append_only BEFORE UPDATE OR DELETE ON refund_event FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER refund_event_no_truncate BEFORE TRUNCATE ON refund_event FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- One request to WeChat. The row is committed before the first byte goes out; id is the request's nonce_str.
CREATE TABLE gateway_call (
  id              uuid PRIMARY KEY,
  mch_id          text NOT NULL,
  refund_id       uuid REFERENCES refund (id),
  order_id        uuid REFERENCES payment_order (id),
  kind            text NOT NULL,
  api_version     text NOT NULL,
  in_doubt_before timestamptz,
  intent_at       timestamptz NOT NULL,
  done_at         timestamptz,
  duration_ms     integer,
  outcome         text,
  code            text,
  message         text,
  answer          jsonb,
  CONSTRAINT gateway_call_kind_check CHECK (kind IN ('refund', 'refund_query', 'prepay', 'order_query', 'order_close', 'abnormal_refund'))
) WITH (fillfactor = 80);
CREATE INDEX gateway_call_refund_idx ON gateway_call (refund_id, intent_at) WHERE refund_id IS NOT NULL;

-- Notifications -------------------------------------------------------------------------------------------

CREATE TABLE notification (
  id               uuid PRIMARY KEY,
  mch_id           text NOT NULL REFERENCES merchant (mch_id),
  appid            text,
  kind             text NOT NULL,
  version          text NOT NULL,
  dedupe_key       text NOT NULL,
  received_at      timestamptz NOT NULL,
  last_received_at timestamptz NOT NULL,
  deliveries       integer NOT NULL DEFAULT 1,
  status           text NOT NULL,
  result           text NOT NULL,
  reason           text,
  refund_id        uuid REFERENCES refund (id),
  order_id         uuid REFERENCES payment_order (id),
  next_query_at    timestamptz,
  query_step       integer NOT NULL DEFAULT 0,
  kek_id           text NOT NULL,
  content          bytea NOT NULL,
  CONSTRAINT notification_dedupe_key UNIQUE (mch_id, kind, dedupe_key),
  CONSTRAINT notification_kind_check CHECK (kind IN ('refund', 'payment')),
  CONSTRAINT notification_version_check CHECK (version IN ('v2', 'v3')),
  CONSTRAINT notification_result_check CHECK (result IN ('applied', 'repeat', 'waiting_for_query', 'unmatched', 'refused'))
);
CREATE INDEX notification_refund_idx ON notification (refund_id, id) WHERE refund_id IS NOT NULL;
CREATE INDEX notification_query_due_idx ON notification (next_query_at) WHERE next_query_at IS NOT NULL;
CREATE INDEX notification_waiting_idx ON notification (refund_id) WHERE result = 'waiting_for_query';
