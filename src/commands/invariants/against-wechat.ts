import type { Invariant } from './invariant.js';

/**
 * The database beside the simulator's own ledger, loaded as sim_accepted, sim_request, sim_refund, sim_ack and sim_violation
 * (wechat-ledger.ts). They hold while work is under way when the ledger was read first.
 */
export const AGAINST_WECHAT: readonly Invariant[] = [
  {
    name: 'I06 WeChat accepted every number once',
    sql: `
      SELECT mch_id, out_refund_no, count(*) AS times FROM sim_accepted GROUP BY mch_id, out_refund_no
      HAVING count(*) > 1 OR count(DISTINCT amount_fen) > 1`,
  },
  {
    name: 'I07 WeChat never saw a number with two sets of parameters',
    sql: `
      SELECT mch_id, out_refund_no FROM sim_request WHERE call = 'refund'
      GROUP BY mch_id, out_refund_no HAVING count(DISTINCT param_digest) > 1`,
  },
  {
    name: 'I08 what WeChat accepted from us is known here, for the same order and amount, and not as rejected',
    sql: `
      SELECT s.mch_id, s.out_refund_no, s.amount_fen, r.amount_fen AS ours_fen, r.state FROM sim_refund s
        LEFT JOIN refund r ON r.mch_id = s.mch_id AND r.out_refund_no = s.out_refund_no
        LEFT JOIN payment_order o ON o.id = r.order_id
      WHERE s.source = 'API' AND (r.id IS NULL OR r.amount_fen <> s.amount_fen OR o.out_trade_no <> s.out_trade_no
        OR (r.state = 'rejected' AND s.state <> 'REFUNDCLOSE'))`,
  },
  {
    name: 'I10 WeChat paid out no more than an order',
    sql: `
      SELECT s.mch_id, s.out_trade_no, sum(s.amount_fen) AS out_fen, o.total FROM sim_refund s
        JOIN sim_order o ON o.mch_id = s.mch_id AND o.out_trade_no = s.out_trade_no
      WHERE s.state <> 'REFUNDCLOSE' GROUP BY s.mch_id, s.out_trade_no, o.total HAVING sum(s.amount_fen) > o.total`,
  },
  {
    // A test's clock runs ahead of the simulator's; both machines may differ by a moment.
    name: 'I11 the intent was committed before the request came',
    sql: `
      SELECT s.mch_id, s.out_refund_no, s.attempt_id, s.received_at, c.intent_at FROM sim_request s
        LEFT JOIN gateway_call c ON replace(c.id::text, '-', '') = s.attempt_id,
        LATERAL (SELECT tuikuan_now() - clock_timestamp() AS ahead) t
      WHERE s.call IN ('refund', 'abnormal_refund')
        AND (c.id IS NULL OR c.intent_at - t.ahead > s.received_at + interval '1 second')`,
  },
  {
    name: 'I23 a delivery that was answered with success is stored',
    sql: `
      SELECT a.mch_id, a.out_refund_no, a.acked, coalesce(n.deliveries, 0) AS stored FROM (
        SELECT mch_id, out_refund_no, count(*) AS acked FROM sim_ack WHERE ok AND kind = 'refund' GROUP BY mch_id, out_refund_no) a
        JOIN refund r ON r.mch_id = a.mch_id AND r.out_refund_no = a.out_refund_no AND r.source = 'api'
        LEFT JOIN (SELECT refund_id, sum(deliveries) AS deliveries FROM notification WHERE kind = 'refund' GROUP BY refund_id) n
          ON n.refund_id = r.id
      WHERE a.acked > coalesce(n.deliveries, 0)`,
  },
  {
    name: 'I28 every request came under the certificate of its own merchant',
    sql: `
      SELECT id, mch_id, cert_mch_id, call FROM sim_request WHERE cert_mch_id <> mch_id
      UNION ALL
      SELECT NULL, mch_id, NULL, rule FROM sim_violation WHERE rule = 'certificate'`,
  },
  {
    name: 'I30 no rolling second holds more than 150 refund requests of a merchant',
    sql: `
      SELECT mch_id, received_at, within FROM (
        SELECT mch_id, received_at, count(*) OVER (
          PARTITION BY mch_id ORDER BY received_ms RANGE BETWEEN 999.999 PRECEDING AND CURRENT ROW) AS within
        FROM sim_request WHERE call = 'refund') w
      WHERE within > 150`,
  },
  {
    // A burst ends with five seconds without a failing request; its first second is what was in flight already.
    name: 'I30b after the first second of a burst no rolling second holds more than 6 failing ones',
    sql: `
      SELECT mch_id, received_at, within FROM (
        SELECT mch_id, received_at, within, received_ms - min(received_ms) OVER (PARTITION BY mch_id, burst) AS into_ms FROM (
          SELECT mch_id, received_at, received_ms, sum(starts) OVER (PARTITION BY mch_id ORDER BY received_ms) AS burst, count(*) OVER (
            PARTITION BY mch_id ORDER BY received_ms RANGE BETWEEN 999.999 PRECEDING AND CURRENT ROW) AS within
          FROM (
            SELECT *, CASE WHEN received_ms - lag(received_ms) OVER (PARTITION BY mch_id ORDER BY received_ms) <= 5000 THEN 0 ELSE 1 END AS starts
            FROM sim_request WHERE call = 'refund' AND failing) f) b) w
      WHERE within > 6 AND into_ms >= 2000`,
  },
  {
    name: 'I31 two sends of one order lie apart as WeChat wants it',
    sql: `SELECT mch_id, out_trade_no, at FROM sim_violation WHERE rule = 'spacing'`,
  },
];

/** Nothing is under way any more, here and there. */
export const SETTLED_WITH_WECHAT: readonly Invariant[] = [
  {
    name: 'I09 succeeded here if and only if it succeeded there',
    sql: `
      SELECT r.id AS refund_id, r.out_refund_no, r.state, s.state AS wechat FROM refund r
        JOIN sim_refund s ON s.mch_id = r.mch_id AND s.out_refund_no = r.out_refund_no
      WHERE (r.state = 'succeeded') IS DISTINCT FROM (s.state = 'SUCCESS')
      UNION ALL
      SELECT r.id, r.out_refund_no, r.state, NULL FROM refund r
      WHERE r.state = 'succeeded' AND r.source = 'api' AND NOT EXISTS (
        SELECT 1 FROM sim_refund s WHERE s.mch_id = r.mch_id AND s.out_refund_no = r.out_refund_no)`,
  },
];
