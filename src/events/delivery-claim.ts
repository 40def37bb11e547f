import type { UnitOfWork } from '../database/unit-of-work.js';
import { type PayloadRow, PAYLOAD_COLUMNS } from './payload.js';
import { IN_FLIGHT_FAILING, IN_FLIGHT_HEALTHY, LEASE_SECONDS } from './schedule.js';

/** A sealed secret as the claim reads it. */
export interface SealedSecret {
  readonly version: number;
  readonly kek_id: string;
  /** Base64. */
  readonly sealed: string;
}

/** A delivery under a fresh lease, with all that its POST needs. */
export interface ClaimedDelivery extends PayloadRow {
  readonly delivery_id: string;
  readonly endpoint_id: string;
  readonly lease_token: string;
  readonly claimed_at: Date;
  readonly tries: number;
  readonly url: string;
  /** Current first. */
  readonly secrets: readonly SealedSecret[];
}

/**
 * Claims due deliveries under a lease. Endpoints are looked at one by one and each has few tries under way, so that a dead receiver
 * holds up nobody; one that is held or claimed for by another worker right now is left out. Of one subject only the earliest that is
 * still pending goes, which keeps the order of sequence. Its subqueries walk an index each and stop at the first row, whatever the
 * planner believes of the tables: a plan made while they were empty stays good. $1 how many.
 */
const CLAIM_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  ready AS MATERIALIZED (
    SELECT e.id, CASE WHEN e.failures_in_row = 0 THEN ${IN_FLIGHT_HEALTHY} ELSE ${IN_FLIGHT_FAILING} END - (
      SELECT count(*) FROM webhook_delivery l WHERE l.endpoint_id = e.id AND l.lease_until > c.now) AS room
    FROM webhook_endpoint e, clock c
    WHERE e.enabled AND (e.held_until IS NULL OR e.held_until <= c.now) AND c.now >= (
      SELECT d.next_attempt_at FROM webhook_delivery d WHERE d.endpoint_id = e.id AND d.state = 'pending'
      ORDER BY d.next_attempt_at LIMIT 1)
    ORDER BY random() FOR NO KEY UPDATE OF e SKIP LOCKED),
  due AS MATERIALIZED (
    SELECT w.id FROM ready e, clock c, LATERAL (
      SELECT d.id FROM webhook_delivery d
      WHERE d.endpoint_id = e.id AND d.state = 'pending' AND d.next_attempt_at <= c.now
        AND (d.lease_until IS NULL OR d.lease_until < c.now)
        AND d.sequence = (
          SELECT p.sequence FROM webhook_delivery p
          WHERE p.endpoint_id = d.endpoint_id AND p.subject_id = d.subject_id AND p.state = 'pending'
          ORDER BY p.sequence LIMIT 1)
      ORDER BY d.next_attempt_at LIMIT greatest(0, e.room) FOR UPDATE SKIP LOCKED) w
    LIMIT $1),
  claimed AS (
    UPDATE webhook_delivery d SET lease_token = uuid7(c.now), lease_until = c.now + make_interval(secs => ${LEASE_SECONDS})
    FROM due w, clock c WHERE d.id = w.id RETURNING d.*)
  SELECT k.id AS delivery_id, k.endpoint_id, k.event_id, k.lease_token, c.now AS claimed_at, k.tries, e.url, ${PAYLOAD_COLUMNS}, (
      SELECT jsonb_agg(jsonb_build_object('version', s.version, 'kek_id', s.kek_id, 'sealed', encode(s.sealed, 'base64'))
        ORDER BY s.version DESC)
      FROM webhook_secret s WHERE s.endpoint_id = e.id AND (s.usable_until IS NULL OR s.usable_until > c.now)) AS secrets
  FROM claimed k JOIN outgoing_event v ON v.id = k.event_id JOIN webhook_endpoint e ON e.id = k.endpoint_id, clock c`;

/** Takes at most `count` due deliveries for this worker. */
export function claimDeliveries(uow: UnitOfWork, count: number): Promise<ClaimedDelivery[]> {
  return uow.query<ClaimedDelivery>(CLAIM_SQL, [count]);
}
