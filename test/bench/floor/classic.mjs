import { intakeRowOf } from './intake-row.mjs';
import { GET, ORDER_VIEW, VIEW } from './reads.mjs';
import { refundView } from './views.mjs';

/** The classic floor: each request its own BEGIN … COMMIT, one named statement per step and row. The same rows as the batched one. */

const STEPS = {
  lockOrder: `SELECT o.*, m.enabled, tuikuan_now() AS now FROM payment_order o JOIN merchant m ON m.mch_id = o.mch_id
    WHERE o.id = $1 FOR NO KEY UPDATE OF o`,
  lockOrderOfNumber: `SELECT *, tuikuan_now() AS now FROM payment_order WHERE mch_id = $1 AND out_trade_no = $2 FOR NO KEY UPDATE`,
  lockRefund: `SELECT * FROM refund WHERE mch_id = $1 AND out_refund_no = $2 FOR NO KEY UPDATE`,
  reserve: `UPDATE payment_order SET reserved_fen = reserved_fen + $2, refund_count = refund_count + 1, updated_at = $3 WHERE id = $1`,
  insertRefund: `INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, request_digest,
      reason, metadata, next_attempt_at, created_by, created_at, updated_at, event_sequence)
    VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7::timestamptz, 'api', decode($8, 'hex'), $9, '{}', greatest($7::timestamptz, $10::timestamptz), $11, $7, $7, 1) RETURNING *`,
  insertEvent: `INSERT INTO refund_event (refund_id, seq, from_state, to_state, cause, source_id, actor, detail, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
  audit: `INSERT INTO audit_log (id, at, actor, action, object, after, address, request_id)
    SELECT r.id, r.created_at, r.created_by, 'refund.create', 're_' || replace(r.id::text, '-', ''), jsonb_strip_nulls(jsonb_build_object('order',
        'ord_' || replace(r.order_id::text, '-', ''), 'amount', r.amount_fen, 'out_refund_no', r.out_refund_no, 'reason', r.reason)),
      $2, $3 FROM refund r WHERE r.id = $1`,
  tellRefund: `INSERT INTO outgoing_event (id, type, subject_id, refund_id, order_id, appid, sequence, previous_status, snapshot, at)
    SELECT uuid7($3::timestamptz), $2, r.id, r.id, o.id, o.appid, r.event_sequence, $4, to_jsonb((SELECT s FROM (SELECT ${VIEW}) s)), $3::timestamptz
    FROM refund r JOIN payment_order o ON o.id = r.order_id WHERE r.id = $1`,
  tellOrder: `INSERT INTO outgoing_event (id, type, subject_id, order_id, appid, sequence, previous_status, snapshot, at)
    SELECT uuid7($2::timestamptz + interval '1 millisecond'), CASE WHEN o.refunded_fen + o.outside_fen >= o.paid_fen THEN 'order.refunded'
      ELSE 'order.partially_refunded' END, o.id, o.id, o.appid, o.event_sequence, 'paid', to_jsonb((SELECT s FROM (SELECT ${ORDER_VIEW}) s)), $2::timestamptz
    FROM payment_order o WHERE o.id = $1`,
  findNotice: `SELECT 1 FROM notification WHERE mch_id = $1 AND kind = 'refund' AND dedupe_key = $2`,
  insertNotice: `INSERT INTO notification (id, mch_id, appid, kind, version, dedupe_key, received_at, last_received_at, status, result,
      refund_id, order_id, kek_id, content)
    VALUES ($1, $2, $3, 'refund', $4, $5, $6, $6, $7, $8, $9, $10, $11, decode($12, 'base64'))`,
  succeed: `UPDATE refund SET version = version + 1, state = $2, state_since = $3, updated_at = $3, next_attempt_at = NULL,
      lease_token = NULL, lease_until = NULL, next_query_at = NULL, query_step = 0, in_doubt_since = NULL, refund_id = $4,
      failure_code = NULL, failure_wechat_code = NULL, failure_message = NULL, user_received_account = $5, succeeded_at = $6,
      event_sequence = event_sequence + 1 WHERE id = $1`,
  giveBack: `UPDATE payment_order SET reserved_fen = reserved_fen - $2, refunded_fen = refunded_fen + $2,
      event_sequence = event_sequence + 1, updated_at = $3 WHERE id = $1`,
  wake: `UPDATE refund SET next_query_at = $2, query_step = 0, updated_at = $2 WHERE id = $1`,
};

/** `work` gets a function that runs a step by its name and gives its rows. */
async function transaction(pool, work) {
  const client = await pool.connect();
  const step = async (name, ...values) => (await client.query({ name, text: STEPS[name], values })).rows;
  try {
    await client.query('BEGIN');
    const result = await work(step);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

function check(condition) {
  if (!condition) throw new Error('not the good case');
}

const intake = (pool, item) =>
  transaction(pool, async (step) => {
    const row = intakeRowOf(item);
    const [order] = await step('lockOrder', row.orderId);
    check(order?.enabled && order.status === 'paid' && order.refund_count < 50);
    const { now, mch_id: mchId, appid, paid_fen, reserved_fen, refunded_fen, outside_fen } = order;
    check(row.amountFen <= paid_fen - reserved_fen - refunded_fen - outside_fen);
    await step('reserve', order.id, row.amountFen, now);
    const { id, outRefundNo, amountFen, digest, reason, createdBy, address, requestId } = row;
    const of = [id, order.id, mchId, appid, outRefundNo, amountFen];
    const [made] = await step('insertRefund', ...of, now, digest, reason, order.next_send_at, createdBy);
    await step('insertEvent', id, 1, null, 'queued', 'request', null, createdBy, {}, now);
    await step('audit', id, address, requestId);
    await step('tellRefund', id, 'refund.created', now, null);
    return refundView({ ...made, out_trade_no: order.out_trade_no, transaction_id: order.transaction_id });
  });

const notice = (pool, item) =>
  transaction(pool, async (step) => {
    const { mchId } = item;
    check((await step('findNotice', mchId, item.dedupeKey)).length === 0);
    const [order] = await step('lockOrderOfNumber', mchId, item.outTradeNo);
    const [refund] = await step('lockRefund', mchId, item.outRefundNo);
    check(refund?.state === 'accepted' && Number(refund.amount_fen) === item.refundFen);
    check(order.transaction_id === item.transactionId && Number(order.paid_fen) === item.totalFen);
    const { now } = order;
    if (item.applies) {
      const { wechatStatus, status } = item;
      await step('succeed', refund.id, status, now, item.refundId, item.account, item.succeededAt);
      await step('giveBack', order.id, item.refundFen, now);
      const detail = { wechat_status: wechatStatus };
      await step(
        'insertEvent',
        refund.id,
        refund.version + 1,
        'accepted',
        status,
        'notice',
        item.id,
        null,
        detail,
        now,
      );
      await step('tellRefund', refund.id, 'refund.succeeded', now, 'processing');
      await step('tellOrder', order.id, now);
    } else {
      await step('wake', refund.id, now);
    }
    const result = item.applies ? 'applied' : 'waiting_for_query';
    const of = [item.id, mchId, item.appid, item.version, item.dedupeKey, now, item.status, result];
    await step('insertNotice', ...of, refund.id, order.id, item.kekId, item.content);
    return true;
  });

const get = async (pool, id) => {
  const { rows } = await pool.query({ ...GET, values: [[id.slice(3)]] });
  check(rows[0]);
  return refundView(rows[0]);
};

export const CLASSIC = { intake, notice, get };
