import type { Invariant } from './invariant.js';

/** Nothing is forgotten: whatever is open stands on a list that a worker reads. Holds at every moment, with workers or without. */
export const SCHEDULE: readonly Invariant[] = [
  {
    name: 'I13 every open refund has its next step, under a lease or at a time',
    sql: `
      SELECT id AS refund_id, state FROM refund WHERE CASE
        WHEN state IN ('queued', 'insufficient_balance') THEN next_attempt_at IS NULL
        WHEN state = 'submitting' THEN lease_until IS NULL
        WHEN state IN ('outcome_unknown', 'accepted', 'abnormal', 'mismatch') THEN next_query_at IS NULL
        ELSE false END`,
  },
  {
    name: 'I13b a refund that waits for a person says why',
    sql: `
      SELECT id AS refund_id, state FROM refund
      WHERE state IN ('blocked', 'mismatch', 'abnormal') AND source = 'api' AND failure_code IS NULL`,
  },
  {
    name: 'I15 a notice that waits for a query is asked for, itself or by its refund',
    sql: `
      SELECT n.id AS notification_id, n.refund_id FROM notification n LEFT JOIN refund r ON r.id = n.refund_id
      WHERE n.result = 'waiting_for_query' AND n.next_query_at IS NULL AND r.next_query_at IS NULL`,
  },
];

/** What a worker that runs never leaves lying for so long; with all workers stopped these find what waits for them. */
export const PUNCTUALITY: readonly Invariant[] = [
  {
    name: 'I14 no lease of a send is over for two minutes',
    sql: `
      SELECT id AS refund_id, lease_until FROM refund
      WHERE state = 'submitting' AND lease_until < tuikuan_now() - interval '2 minutes'`,
  },
  {
    name: 'I15b no event waits five minutes for its deliveries, and none due for a healthy endpoint that long for its turn',
    sql: `
      SELECT 'event' AS of, id FROM outgoing_event WHERE fanned_out_at IS NULL AND at < tuikuan_now() - interval '5 minutes'
      UNION ALL
      SELECT 'delivery', d.id FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id
      WHERE d.state = 'pending' AND e.enabled AND e.failures_in_row = 0 AND d.next_attempt_at < tuikuan_now() - interval '5 minutes'
        AND (d.lease_until IS NULL OR d.lease_until < tuikuan_now() - interval '5 minutes')`,
  },
];

/** Nothing is under way any more. In production something always is: only after a quiet period. */
export const SETTLED: readonly Invariant[] = [
  {
    name: 'I12 every refund has ended, or waits for a person or for money',
    sql: `
      SELECT id AS refund_id, out_refund_no, state FROM refund
      WHERE state IN ('queued', 'submitting', 'outcome_unknown', 'accepted')`,
  },
  {
    name: 'I15c no notice waits, and every event has reached the endpoints that are on',
    sql: `
      SELECT 'notice' AS of, id FROM notification WHERE result = 'waiting_for_query'
      UNION ALL
      SELECT 'event', id FROM outgoing_event WHERE fanned_out_at IS NULL
      UNION ALL
      SELECT 'delivery', d.id FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id
      WHERE d.state = 'pending' AND e.enabled`,
  },
];
