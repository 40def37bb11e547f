import { ORDER_VIEW, VIEW, GET } from './reads.mjs';
import { intakeRowOf } from './intake-row.mjs';
import { refundView } from './views.mjs';

const snapshot = (columns) => `to_jsonb((SELECT s FROM (SELECT ${columns}) s))`;
const OUTBOX = 'id, type, subject_id, refund_id, order_id, appid, sequence, previous_status, snapshot, at';

/** As in the service: always true, and makes PostgreSQL expect one row of a list, not 100. */
const FEW = 'num_nulls(a.id) * 0 = 0';

const INTAKE = {
  name: 'intake',
  text: `
    WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
    asked AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
      $8::text[], $9::text[]) AS a(id, order_id, out_refund_no, amount_fen, request_digest, reason, created_by, address, request_id)
      WHERE ${FEW}),
    reserved AS (
      UPDATE payment_order o SET reserved_fen = o.reserved_fen + a.amount_fen, refund_count = o.refund_count + 1, updated_at = c.now
      FROM asked a, merchant m, clock c
      WHERE o.id = a.order_id AND m.mch_id = o.mch_id AND m.enabled AND o.status = 'paid' AND o.refund_count < 50
        AND c.now < o.paid_at + interval '365 days'
        AND a.amount_fen <= o.paid_fen - o.reserved_fen - o.refunded_fen - o.outside_fen
      RETURNING a.id, o.mch_id, o.appid, o.next_send_at, o.out_trade_no, o.transaction_id),
    made AS (
      INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, request_digest, reason,
        metadata, next_attempt_at, created_by, created_at, updated_at, event_sequence)
      SELECT a.id, a.order_id, o.mch_id, o.appid, a.out_refund_no, a.amount_fen, 'queued', c.now, 'api', decode(a.request_digest, 'hex'),
        a.reason, '{}', greatest(c.now, o.next_send_at), a.created_by, c.now, c.now, 1
      FROM asked a JOIN reserved o ON o.id = a.id, clock c RETURNING *),
    event AS (
      INSERT INTO refund_event (refund_id, seq, to_state, cause, actor, at)
      SELECT r.id, 1, r.state, 'request', r.created_by, r.created_at FROM made r),
    audited AS (
      INSERT INTO audit_log (id, at, actor, action, object, after, address, request_id)
      SELECT r.id, r.created_at, r.created_by, 'refund.create', 're_' || replace(r.id::text, '-', ''), jsonb_strip_nulls(jsonb_build_object('order',
        'ord_' || replace(r.order_id::text, '-', ''), 'amount', r.amount_fen, 'out_refund_no', r.out_refund_no, 'reason', r.reason)),
        a.address, a.request_id
      FROM made r JOIN asked a ON a.id = r.id),
    told AS (
      INSERT INTO outgoing_event (${OUTBOX})
      SELECT uuid7(r.created_at), 'refund.created', r.id, r.id, r.order_id, r.appid, 1, NULL, ${snapshot(VIEW)}, r.created_at
      FROM made r JOIN reserved o ON o.id = r.id)
    SELECT ${VIEW} FROM made r JOIN reserved o ON o.id = r.id`,
};

/** $1 the list; one refund per order. */
const APPLY = {
  name: 'apply',
  text: `
    WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
    asked AS MATERIALIZED (SELECT * FROM json_to_recordset($1::json) AS a(id uuid, "mchId" text, appid text, version text, "dedupeKey" text,
      status text, "outRefundNo" text, "outTradeNo" text, "transactionId" text, "refundId" text, "refundFen" bigint, "totalFen" bigint,
      account text, "succeededAt" text, "wechatStatus" text, "kekId" text, content text) WHERE ${FEW}),
    held AS MATERIALIZED (
      SELECT a.*, o.id AS order_id FROM asked a
        JOIN payment_order o ON o.mch_id = a."mchId" AND o.out_trade_no = a."outTradeNo"
      WHERE o.transaction_id = a."transactionId" AND o.paid_fen = a."totalFen"
        AND NOT EXISTS (SELECT 1 FROM notification n WHERE n.mch_id = a."mchId" AND n.kind = 'refund' AND n.dedupe_key = a."dedupeKey")
      ORDER BY o.id FOR NO KEY UPDATE OF o),
    changed AS (
      UPDATE refund r SET version = r.version + 1, state = h.status, state_since = c.now, updated_at = c.now, next_attempt_at = NULL,
        lease_token = NULL, lease_until = NULL, next_query_at = NULL, query_step = 0, in_doubt_since = NULL, refund_id = h."refundId",
        failure_code = NULL, failure_wechat_code = NULL, failure_message = NULL, user_received_account = h.account,
        succeeded_at = h."succeededAt"::timestamptz, event_sequence = r.event_sequence + 1
      FROM held h, clock c
      WHERE r.mch_id = h."mchId" AND r.out_refund_no = h."outRefundNo" AND r.order_id = h.order_id AND r.state = 'accepted'
        AND r.amount_fen = h."refundFen" AND coalesce(r.refund_id, h."refundId") = h."refundId" AND NOT r.booked_outside
      RETURNING r.*, h.id AS notification_id),
    counted AS (
      UPDATE payment_order o SET reserved_fen = o.reserved_fen - r.amount_fen, refunded_fen = o.refunded_fen + r.amount_fen,
        event_sequence = o.event_sequence + 1, updated_at = c.now
      FROM changed r, clock c WHERE o.id = r.order_id RETURNING o.*),
    event AS (
      INSERT INTO refund_event (refund_id, seq, from_state, to_state, cause, source_id, detail, at)
      SELECT r.id, r.version, 'accepted', r.state, 'notice', h.id, jsonb_build_object('wechat_status', h."wechatStatus"), c.now
      FROM changed r JOIN held h ON h.id = r.notification_id, clock c),
    told AS (
      INSERT INTO outgoing_event (${OUTBOX})
      SELECT uuid7(c.now), 'refund.succeeded', r.id, r.id, o.id, o.appid, r.event_sequence, 'processing', ${snapshot(VIEW)}, c.now
      FROM changed r JOIN counted o ON o.id = r.order_id, clock c
      UNION ALL
      SELECT uuid7(c.now + interval '1 millisecond'), CASE WHEN o.refunded_fen + o.outside_fen >= o.paid_fen THEN 'order.refunded'
        ELSE 'order.partially_refunded' END, o.id, NULL, o.id, o.appid, o.event_sequence, 'paid', ${snapshot(ORDER_VIEW)}, c.now
      FROM counted o, clock c)
    INSERT INTO notification (id, mch_id, appid, kind, version, dedupe_key, received_at, last_received_at, status, result, refund_id,
      order_id, kek_id, content)
    SELECT h.id, h."mchId", h.appid, 'refund', h.version, h."dedupeKey", c.now, c.now, h.status, 'applied', r.id, h.order_id, h."kekId",
      decode(h.content, 'base64')
    FROM held h JOIN changed r ON r.notification_id = h.id, clock c RETURNING id`,
};

/** A notice that proves nothing: the refund is asked about next. $1 the list. */
const CONFIRM = {
  name: 'confirm',
  text: `
    WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
    asked AS MATERIALIZED (SELECT * FROM json_to_recordset($1::json) AS a(id uuid, "mchId" text, appid text, version text, "dedupeKey" text,
      status text, "outRefundNo" text, "outTradeNo" text, "transactionId" text, "refundFen" bigint, "totalFen" bigint, "kekId" text,
      content text) WHERE ${FEW}),
    woken AS (
      UPDATE refund r SET next_query_at = c.now, query_step = 0, updated_at = c.now FROM asked a, payment_order o, clock c
      WHERE r.mch_id = a."mchId" AND r.out_refund_no = a."outRefundNo" AND o.id = r.order_id AND r.state = 'accepted'
        AND o.out_trade_no = a."outTradeNo" AND o.transaction_id = a."transactionId" AND o.paid_fen = a."totalFen"
        AND r.amount_fen = a."refundFen"
        AND NOT EXISTS (SELECT 1 FROM notification n WHERE n.mch_id = a."mchId" AND n.kind = 'refund' AND n.dedupe_key = a."dedupeKey")
      RETURNING r.id, r.order_id, a.id AS notification_id)
    INSERT INTO notification (id, mch_id, appid, kind, version, dedupe_key, received_at, last_received_at, status, result, refund_id,
      order_id, kek_id, content)
    SELECT a.id, a."mchId", a.appid, 'refund', a.version, a."dedupeKey", c.now, c.now, a.status, 'waiting_for_query', r.id, r.order_id,
      a."kekId", decode(a.content, 'base64')
    FROM asked a JOIN woken r ON r.notification_id = a.id, clock c RETURNING id`,
};

/** Each does a list and answers by place; undefined for what is not the good case. */
export const BATCHED = {
  intake: async (pool, items) => {
    const asked = items.map(intakeRowOf).sort((a, b) => (a.orderId < b.orderId ? -1 : 1));
    const columns = [
      'id',
      'orderId',
      'outRefundNo',
      'amountFen',
      'digest',
      'reason',
      'createdBy',
      'address',
      'requestId',
    ];
    const values = columns.map((name) => asked.map((row) => row[name]));
    const { rows } = await pool.query({ ...INTAKE, values });
    const made = new Map(rows.map((row) => [row.out_refund_no, row]));
    return items.map(({ body }) => made.get(body.out_refund_no)).map((row) => row && refundView(row));
  },
  notice: async (pool, items) => {
    const done = new Set();
    for (const [statement, list] of [
      [APPLY, items.filter(({ applies }) => applies)],
      [CONFIRM, items.filter(({ applies }) => !applies)],
    ]) {
      if (list.length === 0) continue;
      const { rows } = await pool.query({
        ...statement,
        values: [JSON.stringify(list.map(({ text: _text, ...row }) => row))],
      });
      for (const { id } of rows) done.add(id);
    }
    return items.map(({ id }) => (done.has(id) ? true : undefined));
  },
  get: async (pool, ids) => {
    const { rows } = await pool.query({ ...GET, values: [[...new Set(ids)].map((id) => id.slice(3))] });
    const found = new Map(rows.map((row) => [`re_${row.id.replaceAll('-', '')}`, row]));
    return ids.map((id) => found.get(id)).map((row) => row && refundView(row));
  },
};
