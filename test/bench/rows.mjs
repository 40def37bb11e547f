/** Rows of the load, numbered: everything about order `n` and its refund follows from n, in SQL and here alike. */

export const PAID_FEN = 1000;
export const REFUND_FEN = 100;

const hex = (n) => n.toString(16).padStart(12, '0');
/** As the public ids carry it; the ids sort by n and lie before every id of today. */
export const orderHex = (n) => `0190000000007000a000${hex(n)}`;
export const refundHex = (n) => `0190000000007000b000${hex(n)}`;
export const outTradeNo = (n) => `bench-${String(n).padStart(9, '0')}`;
export const outRefundNo = (n) => `R${outTradeNo(n)}`;
export const transactionId = (n) => `4200${String(n).padStart(12, '0')}`;

const ID = (letter) => `('0190000000007000${letter}000' || lpad(to_hex(n), 12, '0'))::uuid`;
const NUMBER = `'bench-' || lpad(n::text, 9, '0')`;
const TRANSACTION = `'4200' || lpad(n::text, 12, '0')`;
const CREATED = `now() - interval '1 day' + n * interval '1 millisecond'`;

/** Paid orders $3 … $4 - 1 of merchant $1 and mini-program $2; with $5 each holds the money of one refund, or has given it back. */
const ORDERS_SQL = `
  INSERT INTO payment_order (id, mch_id, appid, out_trade_no, transaction_id, status, amount_fen, paid_fen, reserved_fen, refunded_fen,
    refund_count, paid_at, verified, source, request_digest, created_by, created_at, updated_at, event_sequence)
  SELECT ${ID('a')}, $1, $2, ${NUMBER}, ${TRANSACTION}, 'paid', ${PAID_FEN}, ${PAID_FEN},
    CASE WHEN $5::text = 'accepted' THEN ${REFUND_FEN} ELSE 0 END, CASE WHEN $5::text = 'succeeded' THEN ${REFUND_FEN} ELSE 0 END,
    CASE WHEN $5::text IS NULL THEN 0 ELSE 1 END, ${CREATED}, true, 'prepay', '', 'key_bench', ${CREATED}, ${CREATED},
    CASE WHEN $5::text = 'succeeded' THEN 1 ELSE 0 END
  FROM generate_series($3::bigint, $4::bigint - 1) n`;

/** One refund of each in state $5, accepted or succeeded, sent over protocol $6. */
const REFUNDS_SQL = `
  INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, refund_id, amount_fen, state, state_since, version, source,
    request_digest, api_version, reason, next_query_at, first_sent_at, attempts, succeeded_at, created_by, created_at, updated_at,
    event_sequence, told_once)
  SELECT ${ID('b')}, ${ID('a')}, $1, $2, 'R' || ${NUMBER}, CASE WHEN $5::text = 'succeeded' THEN '50' || ${TRANSACTION} END, ${REFUND_FEN},
    $5, ${CREATED}, CASE WHEN $5::text = 'succeeded' THEN 4 ELSE 3 END, 'api', sha256('bench'), $6, '商品缺货',
    CASE WHEN $5::text = 'accepted' THEN now() + interval '1 hour' END, ${CREATED}, 1,
    CASE WHEN $5::text = 'succeeded' THEN ${CREATED} END, 'key_bench', ${CREATED}, ${CREATED},
    CASE WHEN $5::text = 'succeeded' THEN 3 ELSE 2 END, '{refund.processing}'
  FROM generate_series($3::bigint, $4::bigint - 1) n`;

const EVENTS_SQL = `
  INSERT INTO refund_event (refund_id, seq, from_state, to_state, cause, source_id, actor, at)
  SELECT ${ID('b')}, e.seq, e.from_state, e.to_state, e.cause, NULL, NULL, ${CREATED}
  FROM generate_series($1::bigint, $2::bigint - 1) n, (VALUES (1, NULL, 'queued', 'request'), (2, 'queued', 'submitting', 'claim'),
    (3, 'submitting', 'accepted', 'answer'), (4, 'accepted', 'succeeded', 'notice')) e(seq, from_state, to_state, cause)
  WHERE e.seq <= CASE WHEN $3::text = 'succeeded' THEN 4 ELSE 3 END`;

const CALLS_SQL = `
  INSERT INTO gateway_call (id, mch_id, refund_id, kind, api_version, intent_at, done_at, duration_ms, outcome, answer)
  SELECT ${ID('c')}, $1, ${ID('b')}, 'refund', $4, ${CREATED}, ${CREATED}, 300, 'shown', '{"result_code": "SUCCESS", "return_code": "SUCCESS"}'
  FROM generate_series($2::bigint, $3::bigint - 1) n`;

const TOLD_SQL = `
  INSERT INTO outgoing_event (id, type, subject_id, refund_id, order_id, appid, sequence, previous_status, snapshot, at, fanned_out_at)
  SELECT uuid7(${CREATED}), e.type, ${ID('b')}, ${ID('b')}, ${ID('a')}, $1, e.sequence, e.previous, to_jsonb(r), ${CREATED}, now()
  FROM generate_series($2::bigint, $3::bigint - 1) n JOIN refund r ON r.id = ${ID('b')},
    (VALUES (1, 'refund.created', NULL), (2, 'refund.processing', 'processing'), (3, 'refund.succeeded', 'processing')) e(sequence, type, previous)
  WHERE e.sequence <= CASE WHEN $4::text = 'succeeded' THEN 3 ELSE 2 END`;

const NOTICES_SQL = `
  INSERT INTO notification (id, mch_id, appid, kind, version, dedupe_key, received_at, last_received_at, status, result, refund_id,
    order_id, kek_id, content)
  SELECT ${ID('d')}, $1, $2, 'refund', $5, encode(sha256(n::text::bytea), 'hex'), ${CREATED}, ${CREATED}, 'succeeded', 'applied',
    ${ID('b')}, ${ID('a')}, 'bench', decode(repeat('00', 600), 'hex')
  FROM generate_series($3::bigint, $4::bigint - 1) n`;

/** Paid orders without a refund. */
export async function fillOrders(client, { mchId, appid, from, to }) {
  await client.query(ORDERS_SQL, [mchId, appid, from, to, null]);
}

/** Orders with one refund each, sent and `accepted` or, with its notice, `succeeded`. */
export async function fillRefunds(client, { mchId, appid, from, to, state, apiVersion }) {
  await client.query(ORDERS_SQL, [mchId, appid, from, to, state]);
  await client.query(REFUNDS_SQL, [mchId, appid, from, to, state, apiVersion]);
  await client.query(EVENTS_SQL, [from, to, state]);
  await client.query(CALLS_SQL, [mchId, from, to, apiVersion]);
  await client.query(TOLD_SQL, [appid, from, to, state]);
  if (state === 'succeeded') await client.query(NOTICES_SQL, [mchId, appid, from, to, apiVersion]);
}
