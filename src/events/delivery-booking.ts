import { webhookTries } from '../common/instruments.js';
import { incident } from '../common/log.js';
import { publicId } from '../common/ids.js';
import { fewRows } from '../database/filters.js';
import type { UnitOfWork } from '../database/unit-of-work.js';
import { FAILING_DAYS_MAX, HOLD_FIRST_SECONDS, HOLD_FROM_FAILURES, HOLD_MAX_SECONDS } from './schedule.js';

/** Deliveries of one subject that are given another time together; more never wait in earnest, and a claim keeps their order anyway. */
const LINE_MAX = 100;

/** How a claimed delivery ended. `released`: nothing was sent, or nobody knows; it is free again at once. */
export interface EndedTry {
  readonly delivery_id: string;
  readonly endpoint_id: string;
  readonly lease_token: string;
  readonly at: Date;
  readonly verdict: 'delivered' | 'retry' | 'failed' | 'gone' | 'released';
  readonly wait_seconds: number | null;
  readonly hold_seconds: number;
  readonly result: string | null;
  readonly latency: string | null;
}

/**
 * Books ended tries: the log, each delivery, those behind it in the line of its subject, and its endpoint. Lock order: endpoints by
 * id, then deliveries. Only the lease holder is heard, except for a 2xx, which is a fact. One that is pending has a next_attempt_at; by
 * its state PostgreSQL would read the index of all that are pending. $1 the list.
 */
const BOOK_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  ended AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS v(delivery_id uuid, endpoint_id uuid, lease_token uuid, at timestamptz, verdict text,
      wait_seconds float8, hold_seconds float8, result text, latency text) WHERE ${fewRows('v.delivery_id')}),
  locked AS MATERIALIZED (
    SELECT id, enabled, disabled_reason, failures_in_row, failing_since FROM webhook_endpoint
    WHERE id IN (SELECT endpoint_id FROM ended) ORDER BY id FOR NO KEY UPDATE),
  logged AS (
    INSERT INTO webhook_attempt (id, delivery_id, at, result, latency)
    SELECT lease_token, delivery_id, at, result, latency FROM ended WHERE verdict <> 'released' ON CONFLICT (id) DO NOTHING),
  moved AS (
    UPDATE webhook_delivery d SET lease_token = NULL, lease_until = NULL,
      state = CASE v.verdict WHEN 'delivered' THEN 'delivered' WHEN 'failed' THEN 'failed' WHEN 'gone' THEN 'failed' ELSE 'pending' END,
      tries = d.tries + CASE v.verdict WHEN 'released' THEN 0 ELSE 1 END,
      next_attempt_at = CASE v.verdict WHEN 'retry' THEN c.now + make_interval(secs => v.wait_seconds)
        WHEN 'released' THEN d.next_attempt_at END,
      delivered_at = CASE v.verdict WHEN 'delivered' THEN c.now END
    FROM ended v, clock c
    WHERE (SELECT count(*) FROM locked) > 0 AND d.id = v.delivery_id AND d.next_attempt_at IS NOT NULL
      AND (d.lease_token = v.lease_token OR v.verdict = 'delivered')
    RETURNING d.endpoint_id, d.subject_id, d.sequence, d.next_attempt_at),
  behind AS (
    UPDATE webhook_delivery w SET next_attempt_at = coalesce(m.next_attempt_at, c.now)
    FROM moved m, clock c, LATERAL (
      SELECT p.id FROM webhook_delivery p
      WHERE p.endpoint_id = m.endpoint_id AND p.subject_id = m.subject_id AND p.state = 'pending' AND p.sequence > m.sequence
      ORDER BY p.sequence LIMIT ${LINE_MAX}) b
    WHERE w.id = b.id AND w.id NOT IN (SELECT delivery_id FROM ended)),
  heard AS (
    SELECT endpoint_id, count(*)::integer AS tries, bool_or(verdict = 'delivered') AS delivered, bool_or(verdict = 'gone') AS gone,
      max(hold_seconds) AS hold_seconds
    FROM ended WHERE verdict <> 'released' GROUP BY endpoint_id),
  judged AS (
    SELECT h.*, CASE WHEN h.delivered THEN 0 ELSE e.failures_in_row + h.tries END AS failures,
      CASE WHEN NOT e.enabled THEN e.disabled_reason WHEN h.gone THEN 'gone'
        WHEN NOT h.delivered AND e.failing_since <= c.now - interval '${FAILING_DAYS_MAX} days' THEN 'failing' END AS reason,
      e.enabled AS was_enabled
    FROM heard h JOIN locked e ON e.id = h.endpoint_id, clock c)
  UPDATE webhook_endpoint e SET failures_in_row = j.failures,
    updated_at = CASE WHEN j.was_enabled = (j.reason IS NULL) THEN e.updated_at ELSE c.now END,
    failing_since = CASE WHEN j.failures = 0 THEN NULL ELSE coalesce(e.failing_since, c.now) END,
    held_until = CASE WHEN j.failures = 0 AND j.hold_seconds = 0 THEN NULL ELSE c.now + make_interval(secs => greatest(j.hold_seconds,
      CASE WHEN j.failures < ${HOLD_FROM_FAILURES} THEN 0
        ELSE least(${HOLD_MAX_SECONDS}, ${HOLD_FIRST_SECONDS} * 2 ^ least(j.failures - ${HOLD_FROM_FAILURES}, 30)) END)) END,
    enabled = j.reason IS NULL, disabled_reason = j.reason
  FROM judged j, clock c
  WHERE e.id = j.endpoint_id AND (j.failures > 0 OR e.failures_in_row > 0 OR j.reason IS NOT NULL)
  RETURNING e.id, e.url, e.disabled_reason, e.failing_since, j.was_enabled`;

interface Judged {
  readonly id: string;
  readonly url: string;
  readonly disabled_reason: string | null;
  readonly failing_since: Date | null;
  readonly was_enabled: boolean;
}

/** Books what became of claimed deliveries in one statement, and reports an endpoint that is disabled by it. */
export async function bookTries(uow: UnitOfWork, ended: readonly EndedTry[]): Promise<void> {
  if (ended.length === 0) return;
  const judged = await uow.query<Judged>(BOOK_SQL, [JSON.stringify(ended)]);
  for (const { verdict } of ended) webhookTries.inc({ verdict });
  for (const { id, url, disabled_reason: reason, failing_since: failingSince, was_enabled: was } of judged) {
    if (!was || reason === null) continue;
    const { host } = new URL(url);
    incident('webhook_endpoint_disabled', { endpoint: publicId('webhookEndpoint', id), host, reason, failingSince });
  }
}
