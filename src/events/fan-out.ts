import type { UnitOfWork } from '../database/unit-of-work.js';
import { EVERY_TYPE } from './event-types.js';

/** Any constant; one worker at a time fans out, so that no event overtakes an earlier one of its subject. */
const LOCK_KEY = 8_140_233_002;
const BATCH = 500;
/** Deliveries made by one statement, within its timeout: with many endpoints a batch has fewer events. */
const DELIVERIES_MAX = 10_000;

/**
 * Makes a delivery for every endpoint that asks for an event, and marks the event. A delivery behind others of its subject shares
 * their time, so that nothing is looked at before it can go. Having no parameters it is planned anew each time, by the tables as they are.
 */
const FAN_OUT_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  size AS MATERIALIZED (
    SELECT greatest(1, least(${BATCH}, ${DELIVERIES_MAX} / greatest(1, count(*))))::integer AS events FROM webhook_endpoint WHERE enabled),
  batch AS MATERIALIZED (
    SELECT id, type, appid, subject_id, sequence FROM outgoing_event
    WHERE fanned_out_at IS NULL AND (SELECT pg_try_advisory_xact_lock(${LOCK_KEY})) ORDER BY id
    LIMIT (SELECT events FROM size) FOR UPDATE SKIP LOCKED),
  marked AS (
    UPDATE outgoing_event v SET fanned_out_at = c.now FROM batch b, clock c WHERE v.id = b.id),
  made AS (
    INSERT INTO webhook_delivery (id, event_id, endpoint_id, subject_id, sequence, state, next_attempt_at, created_at)
    SELECT uuid7(c.now), b.id, e.id, b.subject_id, b.sequence, 'pending', greatest(c.now, (
        SELECT max(p.next_attempt_at) FROM webhook_delivery p
        WHERE p.endpoint_id = e.id AND p.subject_id = b.subject_id AND p.state = 'pending')), c.now
    FROM batch b JOIN webhook_endpoint e ON e.enabled AND e.events && ARRAY['${EVERY_TYPE}', b.type]
      AND (e.appids IS NULL OR b.appid = ANY(e.appids)), clock c
    ON CONFLICT (event_id, endpoint_id) DO NOTHING)
  SELECT (SELECT count(*) FROM batch) >= (SELECT events FROM size) AS more`;

/** Turns waiting events into deliveries; true when more may wait. Another worker at it is as good. */
export async function fanOut(uow: UnitOfWork): Promise<boolean> {
  const [row] = await uow.query<{ more: boolean }>(FAN_OUT_SQL, []);
  return row?.more ?? false;
}
