import { REFUND_STATE_NAMES, REFUND_STATES } from '../../refunds/states.js';
import { type Invariant, quoted } from './invariant.js';

const RELEASED = quoted(REFUND_STATE_NAMES.filter((state) => REFUND_STATES[state].money === 'released'));

/** What holds of every order's money at every moment. */
export const MONEY: readonly Invariant[] = [
  {
    name: 'I01 never more than paid, from the rows',
    sql: `
      SELECT o.id AS order_id, o.paid_fen, sum(r.amount_fen) AS held_fen FROM payment_order o JOIN refund r ON r.order_id = o.id
      WHERE r.state NOT IN (${RELEASED}) AND NOT r.booked_outside
      GROUP BY o.id HAVING sum(r.amount_fen) > o.paid_fen`,
  },
  {
    name: 'I02 the counters of an order equal its rows',
    sql: `
      SELECT o.id AS order_id, o.reserved_fen, o.refunded_fen, o.refund_count, count(r.id) AS rows_count
      FROM payment_order o LEFT JOIN refund r ON r.order_id = o.id AND r.state NOT IN (${RELEASED}) AND NOT r.booked_outside
      GROUP BY o.id
      HAVING o.reserved_fen <> coalesce(sum(r.amount_fen) FILTER (WHERE r.state <> 'succeeded'), 0)
        OR o.refunded_fen <> coalesce(sum(r.amount_fen) FILTER (WHERE r.state = 'succeeded'), 0)
        OR o.refund_count <> count(r.id)`,
  },
  {
    name: 'I02b outside_fen equals the refunds booked outside and what was shown under another amount',
    sql: `
      SELECT o.id AS order_id, o.outside_fen FROM payment_order o LEFT JOIN refund r ON r.order_id = o.id
      GROUP BY o.id
      HAVING o.outside_fen <> coalesce(sum(r.amount_fen) FILTER (WHERE r.booked_outside), 0) + coalesce(sum(r.outside_shown_fen), 0)`,
  },
  {
    name: 'I02c released money carries no mark',
    sql: `SELECT id AS refund_id, state FROM refund WHERE booked_outside AND state IN (${RELEASED})`,
  },
  {
    name: 'I03 at most 50 refunds of an order',
    sql: `
      SELECT order_id, count(*) AS refunds FROM refund WHERE state NOT IN (${RELEASED}) AND NOT booked_outside
      GROUP BY order_id HAVING count(*) > 50`,
  },
  {
    name: 'I04 amounts are positive, and ours lie within their order',
    sql: `
      SELECT r.id AS refund_id, r.amount_fen, o.paid_fen FROM refund r JOIN payment_order o ON o.id = r.order_id
      WHERE r.amount_fen < 1 OR (r.source = 'api' AND r.amount_fen > o.paid_fen)`,
  },
  {
    name: 'I05 nothing is sent for the first time a year after the payment',
    sql: `
      SELECT r.id AS refund_id, o.paid_at, c.first_at FROM refund r JOIN payment_order o ON o.id = r.order_id
        JOIN (SELECT refund_id, min(intent_at) AS first_at FROM gateway_call WHERE kind = 'refund' GROUP BY refund_id) c
          ON c.refund_id = r.id
      WHERE c.first_at >= o.paid_at + interval '365 days'`,
  },
];
