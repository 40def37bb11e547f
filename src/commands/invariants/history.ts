import { TOLD_ON_ENTERING } from '../../refunds/outgoing-events.js';
import { type Evidence, isOurMove, judgeEvidence, REFUND_STATE_NAMES, type RefundState } from '../../refunds/states.js';
import type { Invariant } from './invariant.js';

const PROOFS: readonly Evidence[] = ['accepted', 'abnormal', 'succeeded', 'closed', 'mismatch'];

const isEdge = (from: RefundState, to: RefundState): boolean =>
  isOurMove(from, to) || PROOFS.some((proof) => proof === to && judgeEvidence(proof, from, true) === 'apply');

const EDGES = REFUND_STATE_NAMES.flatMap((from) =>
  REFUND_STATE_NAMES.filter((to) => isEdge(from, to)).map((to) => `('${from}', '${to}')`),
).join(', ');

/** `(state, type of its outgoing event, told once)`. */
const TOLD = Object.entries(TOLD_ON_ENTERING)
  .flatMap(([state, told]) => (told === null ? [] : [`('${state}', '${told.type}', ${told.once})`]))
  .join(', ');

/** What holds of every refund's history at every moment. */
export const HISTORY: readonly Invariant[] = [
  {
    name: 'I16 events count from one without a gap',
    sql: `SELECT refund_id FROM refund_event GROUP BY refund_id HAVING max(seq) <> count(*) OR min(seq) <> 1`,
  },
  {
    name: 'I16b the last event is the state, and the version counts them',
    sql: `
      SELECT r.id AS refund_id, r.state, r.version, e.seq, e.to_state FROM refund r
        LEFT JOIN (SELECT DISTINCT ON (refund_id) refund_id, seq, to_state FROM refund_event ORDER BY refund_id, seq DESC) e
          ON e.refund_id = r.id
      WHERE r.state IS DISTINCT FROM e.to_state OR r.version IS DISTINCT FROM e.seq`,
  },
  {
    name: 'I17 each event starts where the one before ended',
    sql: `
      SELECT e.refund_id, e.seq, p.to_state AS before, e.from_state
      FROM refund_event e JOIN refund_event p ON p.refund_id = e.refund_id AND p.seq = e.seq - 1
      WHERE e.from_state IS DISTINCT FROM p.to_state`,
  },
  {
    name: 'I18 every change goes along an edge, and what does not change is an incident',
    sql: `
      SELECT e.refund_id, e.seq, e.from_state, e.to_state FROM refund_event e
      WHERE e.seq > 1 AND (e.from_state, e.to_state) NOT IN (${EDGES}) AND (e.from_state <> e.to_state OR e.incident IS NULL)`,
  },
  {
    name: 'I19 a final state is left only by late truth, which is an incident, or by an operator’s retry',
    sql: `
      SELECT refund_id, seq, from_state, to_state, cause FROM refund_event
      WHERE from_state <> to_state AND (from_state = 'succeeded' OR (from_state IN ('closed', 'rejected', 'canceled')
        AND incident IS NULL AND NOT (from_state = 'rejected' AND to_state = 'queued' AND cause = 'operator')))`,
  },
  {
    name: 'I20 every change names a cause that exists',
    sql: `
      SELECT e.refund_id, e.seq, e.cause, e.source_id FROM refund_event e
        LEFT JOIN gateway_call c ON c.id = e.source_id LEFT JOIN notification n ON n.id = e.source_id
      WHERE CASE WHEN e.cause IN ('claim', 'answer', 'query', 'lease') THEN c.id IS NULL
        WHEN e.cause = 'notice' THEN n.id IS NULL WHEN e.cause IN ('request', 'operator') THEN e.actor IS NULL ELSE false END`,
  },
  {
    name: 'I24 a notice is stored once',
    sql: `
      SELECT mch_id, kind, dedupe_key FROM notification GROUP BY mch_id, kind, dedupe_key HAVING count(*) > 1`,
  },
  {
    name: 'I24b a notice changes a refund once',
    sql: `
      SELECT source_id AS notification_id FROM refund_event WHERE cause = 'notice' AND from_state <> to_state
      GROUP BY source_id HAVING count(*) > 1`,
  },
  {
    // A merchant changed a moment ago may have been read before: instances keep what they know for some seconds.
    name: 'I25 an unsigned notice moves no refund of a confirming merchant, of another protocol or of the merchant platform',
    sql: `
      SELECT e.refund_id, e.seq, n.id AS notification_id FROM refund_event e JOIN notification n ON n.id = e.source_id
        JOIN refund r ON r.id = e.refund_id JOIN merchant m ON m.mch_id = r.mch_id
      WHERE e.cause = 'notice' AND n.version = 'v2' AND e.from_state <> e.to_state
        AND (r.source <> 'api' OR r.api_version IS DISTINCT FROM 'v2'
          OR (m.refund_notify = 'confirm' AND m.updated_at < e.at - interval '5 seconds'))`,
  },
  {
    name: 'I26 every change that shows outside has its outgoing event',
    sql: `
      SELECT e.refund_id, e.seq, e.to_state, t.type FROM refund_event e
        JOIN (VALUES ${TOLD}) AS t(state, type, once) ON t.state = e.to_state
      WHERE e.seq > 1 AND e.from_state <> e.to_state AND NOT EXISTS (
        SELECT 1 FROM outgoing_event v WHERE v.refund_id = e.refund_id AND v.type = t.type AND (t.once OR v.at = e.at))`,
  },
  {
    name: 'I26b every refund is told of once as new, and its events count from one without a gap',
    sql: `
      SELECT r.id AS refund_id, r.event_sequence, v.events, v.made FROM refund r LEFT JOIN (
        SELECT refund_id, count(*) AS events, max(sequence) AS last,
          count(*) FILTER (WHERE type IN ('refund.created', 'refund.external_detected') AND sequence = 1) AS made
        FROM outgoing_event WHERE refund_id IS NOT NULL GROUP BY refund_id) v ON v.refund_id = r.id
      WHERE (v.events, v.last, v.made) IS DISTINCT FROM (r.event_sequence::bigint, r.event_sequence, 1::bigint)`,
  },
  {
    name: 'I27 refund, order, call, notice and event agree on merchant and app',
    sql: `
      SELECT 'order' AS of, r.id AS refund_id FROM refund r JOIN payment_order o ON o.id = r.order_id
      WHERE (r.mch_id, r.appid) <> (o.mch_id, o.appid)
      UNION ALL
      SELECT 'call', r.id FROM refund r JOIN gateway_call c ON c.refund_id = r.id WHERE (c.mch_id, c.order_id) <> (r.mch_id, r.order_id)
      UNION ALL
      SELECT 'notice', r.id FROM refund r JOIN notification n ON n.refund_id = r.id WHERE (n.mch_id, n.order_id) <> (r.mch_id, r.order_id)
      UNION ALL
      SELECT 'event', r.id FROM refund r JOIN outgoing_event v ON v.refund_id = r.id WHERE (v.appid, v.order_id) <> (r.appid, r.order_id)`,
  },
];
