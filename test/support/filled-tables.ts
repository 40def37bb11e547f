import type pg from 'pg';

/** How a table of refunds looks after a year: a large, a middling and a tiny app and merchant, nearly all succeeded. */
const APPS = [
  { appid: 'wxlarge', mchId: '1900000001' },
  { appid: 'wxmiddle', mchId: '1900000002' },
  { appid: 'wxtiny', mchId: '1900000003' },
] as const;
/** Refunds of the tiny app, however many there are in all. */
const TINY = 10;

/** $1 how many, $2 the number of the first: every hundredth is closed, rejected or canceled, every 20,000th waits for a person. */
const FILL_SQL = `
  WITH numbered AS (
    SELECT n, uuid7(at) AS order_id, uuid7(at) AS id, at, (n::bigint * 7919) % 100000 + 1 AS fen,
      CASE WHEN n < ${TINY} THEN 3 WHEN n % 10 = 0 THEN 2 ELSE 1 END AS app,
      CASE WHEN n % 20000 = 7 THEN 'abnormal' WHEN n % 50000 = 9 THEN 'mismatch' WHEN n % 1000 = 5 THEN 'accepted'
        WHEN n % 300 = 1 THEN 'closed' WHEN n % 300 = 2 THEN 'rejected' WHEN n % 300 = 3 THEN 'canceled' ELSE 'succeeded' END AS state
    FROM (SELECT n, tuikuan_now() - interval '360 days' * (1 - n / $3::float8) AS at FROM generate_series($2::integer, $2::integer + $1::integer - 1) n) s),
  named AS (
    SELECT *, (ARRAY['${APPS.map(({ appid }) => appid).join("','")}'])[app] AS appid,
      (ARRAY['${APPS.map(({ mchId }) => mchId).join("','")}'])[app] AS mch_id, state IN ('accepted', 'abnormal', 'mismatch') AS open
    FROM numbered),
  orders AS (
    INSERT INTO payment_order (id, mch_id, appid, out_trade_no, transaction_id, status, amount_fen, paid_fen, paid_at, reserved_fen,
      refunded_fen, refund_count, verified, source, request_digest, created_by, created_at, updated_at)
    SELECT order_id, mch_id, appid, 'T-' || lpad(n::text, 8, '0'), '4200' || lpad(n::text, 24, '0'), 'paid', fen, fen, at, CASE WHEN open THEN fen ELSE 0 END,
      CASE state WHEN 'succeeded' THEN fen ELSE 0 END, 1, true, 'register', '', 'key_fill', at, at FROM named),
  refunds AS (
    INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, refund_id, amount_fen, state, state_since, source, reason, created_by,
      created_at, updated_at, succeeded_at, api_version, request_digest)
    SELECT id, order_id, mch_id, appid, 'R-' || lpad(n::text, 8, '0'), '5000' || lpad(n::text, 24, '0'), fen, state, at, 'api', '退货', 'key_fill', at, at,
      CASE state WHEN 'succeeded' THEN at END, 'v2', '' FROM named),
  notices AS (
    INSERT INTO notification (id, mch_id, appid, kind, version, dedupe_key, received_at, last_received_at, status, result, refund_id,
      order_id, kek_id, content)
    SELECT uuid7(at), mch_id, appid, 'refund', 'v2', 'n-' || n, at, at, 'succeeded', CASE WHEN n % 30000 = 11 THEN 'unmatched' ELSE 'applied' END,
      id, order_id, 'test', '' FROM named WHERE state = 'succeeded')
  INSERT INTO audit_log (id, at, actor, action, object, address, request_id)
  SELECT id, at, CASE WHEN n % 1000 = 0 THEN 'key_rare' ELSE 'key_fill' END, 'refund.create', 're_' || replace(id::text, '-', ''),
    '127.0.0.1', 'request-' || n FROM named`;

const CHUNK = 50_000;

/**
 * Fills the tables of a migrated database with `count` finished refunds over a year: an order, a notice and an audit row each. Without
 * checks of foreign keys, and analysed at the end.
 */
export async function fillTables(database: pg.Pool, count: number): Promise<void> {
  const client = await database.connect();
  try {
    await client.query(`SET session_replication_role = replica; SET statement_timeout = 0;
      INSERT INTO merchant (mch_id, name, api_version, sign_type, refund_notify, notify_token, created_at, updated_at) VALUES
        ${APPS.map(({ mchId }) => `('${mchId}', 'filled', 'v2', 'HMAC-SHA256', 'confirm', '${mchId}', now(), now())`).join()};
      INSERT INTO merchant_rate (mch_id, next_slot_at, rate_per_second, rate_changed_at, next_query_slot_at) VALUES
        ${APPS.map(({ mchId }) => `('${mchId}', now(), 30, now(), now())`).join()};
      INSERT INTO mini_program (appid, name, created_at, updated_at) VALUES
        ${APPS.map(({ appid }) => `('${appid}', 'filled', now(), now())`).join()};
      INSERT INTO mini_program_merchant (appid, mch_id) VALUES ${APPS.map(({ appid, mchId }) => `('${appid}', '${mchId}')`).join()}`);
    for (let first = 0; first < count; first += CHUNK)
      await client.query(FILL_SQL, [Math.min(CHUNK, count - first), first, count]);
    await client.query('VACUUM ANALYZE payment_order, refund, notification, audit_log');
    await client.query('RESET session_replication_role; RESET statement_timeout');
  } finally {
    client.release();
  }
}
