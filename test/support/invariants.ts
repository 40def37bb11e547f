import {
  type Evidence,
  isOurMove,
  judgeEvidence,
  REFUND_STATE_NAMES,
  REFUND_STATES,
} from '../../src/refunds/states.js';

type Query = (sql: string) => Promise<readonly unknown[]>;

const PROOFS: readonly Evidence[] = ['accepted', 'abnormal', 'succeeded', 'closed', 'mismatch'];
const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(', ');

const RELEASED = quoted(REFUND_STATE_NAMES.filter((state) => REFUND_STATES[state].money === 'released'));
const EDGES = REFUND_STATE_NAMES.flatMap((from) =>
  REFUND_STATE_NAMES.filter(
    (to) => isOurMove(from, to) || PROOFS.some((proof) => proof === to && judgeEvidence(proof, from, true) === 'apply'),
  ).map((to) => `('${from}', '${to}')`),
).join(', ');

/** What holds after every run, as queries that must give no row. The numbers are those of the fault catalogue. */
const INVARIANTS: Readonly<Record<string, string>> = {
  'I01 never more than paid, from the rows': `
    SELECT o.id FROM payment_order o JOIN refund r ON r.order_id = o.id
    WHERE r.state NOT IN (${RELEASED}) AND NOT r.booked_outside
    GROUP BY o.id HAVING sum(r.amount_fen) > o.paid_fen`,
  'I02 the counters of an order equal its rows': `
    SELECT o.id FROM payment_order o LEFT JOIN refund r ON r.order_id = o.id AND r.state NOT IN (${RELEASED}) AND NOT r.booked_outside
    GROUP BY o.id
    HAVING o.reserved_fen <> coalesce(sum(r.amount_fen) FILTER (WHERE r.state <> 'succeeded'), 0)
      OR o.refunded_fen <> coalesce(sum(r.amount_fen) FILTER (WHERE r.state = 'succeeded'), 0)
      OR o.refund_count <> count(r.id)`,
  'I02b outside_fen equals the refunds booked outside and what was shown under another amount': `
    SELECT o.id FROM payment_order o LEFT JOIN refund r ON r.order_id = o.id
    GROUP BY o.id
    HAVING o.outside_fen <> coalesce(sum(r.amount_fen) FILTER (WHERE r.booked_outside), 0) + coalesce(sum(r.outside_shown_fen), 0)`,
  'I02c released money carries no mark': `SELECT id FROM refund WHERE booked_outside AND state IN (${RELEASED})`,
  'I03 at most 50 refunds of an order': `
    SELECT order_id FROM refund WHERE state NOT IN (${RELEASED}) AND NOT booked_outside GROUP BY order_id HAVING count(*) > 50`,
  'I04 amounts are positive, and ours lie within their order': `
    SELECT r.id FROM refund r JOIN payment_order o ON o.id = r.order_id
    WHERE r.amount_fen < 1 OR (r.source = 'api' AND r.amount_fen > o.paid_fen)`,
  'I16 events count from one without a gap': `
    SELECT refund_id FROM refund_event GROUP BY refund_id HAVING max(seq) <> count(*) OR min(seq) <> 1`,
  'I16b the last event is the state, and the version counts them': `
    SELECT r.id FROM refund r LEFT JOIN LATERAL (
      SELECT seq, to_state FROM refund_event e WHERE e.refund_id = r.id ORDER BY seq DESC LIMIT 1) e ON true
    WHERE r.state IS DISTINCT FROM e.to_state OR r.version IS DISTINCT FROM e.seq`,
  'I17 each event starts where the one before ended': `
    SELECT e.refund_id FROM refund_event e JOIN refund_event p ON p.refund_id = e.refund_id AND p.seq = e.seq - 1
    WHERE e.from_state IS DISTINCT FROM p.to_state`,
  'I18 every change goes along an edge, and what does not change is an incident': `
    SELECT e.refund_id, e.from_state, e.to_state FROM refund_event e
    WHERE e.seq > 1 AND (e.from_state, e.to_state) NOT IN (${EDGES}) AND (e.from_state <> e.to_state OR e.incident IS NULL)`,
};

/** The invariants that do not hold, each with some of its rows; empty when all is well. */
export async function brokenInvariants(query: Query): Promise<Record<string, readonly unknown[]>> {
  const broken: Record<string, readonly unknown[]> = {};
  for (const [name, sql] of Object.entries(INVARIANTS)) {
    const rows = await query(`${sql} LIMIT 3`);
    if (rows.length > 0) broken[name] = rows;
  }
  return broken;
}
