import type { Fen } from '../common/fen.js';
import { fewRows } from '../database/filters.js';
import { TELL_NEW_SQL } from './outgoing-events.js';
import { REFUND_COLUMNS } from './refund.view.js';

/** A refund to reserve, as {@link INTAKE_SQL} reads it. `amount_fen` null means all that is left. */
export interface IntakeRow {
  readonly id: string;
  readonly order_id: string;
  /** The mini-programs whose orders the caller may refund; null: all. */
  readonly appids: readonly string[] | null;
  readonly out_refund_no: string;
  readonly amount_fen: Fen | null;
  readonly idempotency_key: string | null;
  readonly request_digest: string;
  readonly reason: string | null;
  readonly items: unknown;
  readonly funds_account: string | null;
  readonly note: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly created_by: string;
  /** The closed refund this one replaces. */
  readonly replaces: string | null;
  /** For the audit log, as of a caller. */
  readonly action: 'refund.create' | 'refund.retry';
  readonly address: string | null;
  readonly request_id: string | null;
}

/**
 * Reserves, inserts and writes the first event, ours and the outgoing one, and the row of the audit log, in one statement. The order's row lock and the guard of its UPDATE are the check,
 * so no two requests can both pass it. It takes a list with at most one refund per order and answers the refunds it made: one whose number or key stands for a
 * refund already, or whose order is not the caller's, not of an enabled merchant, not paid, out of its window, out of money or out of refunds, is left out. A number or key that
 * another session commits meanwhile raises 23505, and nothing of the list is stored. $1 the list, $2 refunds per order, $3 window in days.
 */
const intakeSql = (lock: 'FOR NO KEY UPDATE OF p' | 'FOR NO KEY UPDATE OF p SKIP LOCKED'): string => `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  asked AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS v(id uuid, order_id uuid, appids text[], out_refund_no text, amount_fen bigint,
      idempotency_key text, request_digest text, reason text, items jsonb, funds_account text, note text, metadata jsonb,
      created_by text, replaces uuid, action text, address text, request_id text)
    WHERE ${fewRows('v.id')}),
  locked AS MATERIALIZED (
    SELECT a.id, p.id AS order_id,
      coalesce(a.amount_fen, p.paid_fen - p.reserved_fen - p.refunded_fen - p.outside_fen) AS take_fen
    FROM asked a JOIN payment_order p ON p.id = a.order_id JOIN merchant m ON m.mch_id = p.mch_id
    WHERE m.enabled AND (a.appids IS NULL OR p.appid = ANY(a.appids))
      AND NOT EXISTS (SELECT 1 FROM refund k WHERE k.mch_id = p.mch_id AND k.out_refund_no = a.out_refund_no)
      AND NOT EXISTS (SELECT 1 FROM refund k WHERE k.mch_id = p.mch_id AND k.appid = p.appid AND k.idempotency_key = a.idempotency_key)
    ORDER BY p.id ${lock}),
  reserved AS (
    UPDATE payment_order o
    SET reserved_fen = o.reserved_fen + l.take_fen, refund_count = o.refund_count + 1, updated_at = c.now
    FROM locked l, clock c
    WHERE o.id = l.order_id AND o.status = 'paid' AND o.refund_count < $2::integer
      AND c.now < o.paid_at + make_interval(days => $3::integer)
      AND l.take_fen BETWEEN 1 AND o.paid_fen - o.reserved_fen - o.refunded_fen - o.outside_fen
    RETURNING l.id, l.take_fen, o.id AS order_id, o.mch_id, o.appid, o.next_send_at),
  made AS (
    INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, idempotency_key,
      request_digest, reason, items, funds_account, note, metadata, next_attempt_at, created_by, created_at, updated_at, replaces,
      event_sequence)
    SELECT a.id, r.order_id, r.mch_id, r.appid, a.out_refund_no, r.take_fen, 'queued', c.now, 'api', a.idempotency_key,
      decode(a.request_digest, 'hex'), a.reason, a.items, a.funds_account, a.note, a.metadata,
      greatest(c.now, r.next_send_at), a.created_by, c.now, c.now, a.replaces, 1
    FROM asked a JOIN reserved r ON r.id = a.id, clock c
    RETURNING *),
  event AS (
    INSERT INTO refund_event (refund_id, seq, to_state, cause, actor, at)
    SELECT m.id, 1, m.state, 'request', m.created_by, (SELECT tuikuan_now()) FROM made m),
  audited AS (
    INSERT INTO audit_log (id, at, actor, action, object, after, address, request_id)
    SELECT m.id, m.created_at, m.created_by, a.action, 're_' || replace(m.id::text, '-', ''),
      jsonb_strip_nulls(jsonb_build_object('order', 'ord_' || replace(m.order_id::text, '-', ''), 'amount', m.amount_fen,
        'out_refund_no', m.out_refund_no, 'reason', m.reason, 'note', m.note, 'replaces', 're_' || replace(m.replaces::text, '-', ''))),
      a.address, a.request_id
    FROM made m JOIN asked a ON a.id = m.id),
  told AS (${TELL_NEW_SQL})
  SELECT ${REFUND_COLUMNS} FROM made r JOIN payment_order o ON o.id = r.order_id`;

/** Waits for an order that is held elsewhere. */
export const INTAKE_SQL = intakeSql('FOR NO KEY UPDATE OF p');

/** Leaves out what is held elsewhere: no order makes the others of a batch wait. */
export const INTAKE_BATCH_SQL = intakeSql('FOR NO KEY UPDATE OF p SKIP LOCKED');
