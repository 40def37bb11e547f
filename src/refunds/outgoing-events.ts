import { fewRows } from '../database/filters.js';
import { ORDER_SNAPSHOT, OUTBOX_COLUMNS, TOLD_OF_REFUNDED, type OrderEventType } from '../orders/outgoing-events.js';
import type { LockedOrder, LockedRefund } from './bookings.js';
import { REFUND_VIEW_COLUMNS } from './refund.view.js';
import { REFUND_STATE_NAMES, REFUND_STATES, type RefundState } from './states.js';

/**
 * What a refund tells the outside, as literals (design.md 9), and how it is written in the statement of the change: the ledger, the
 * intake, the claim and the taking in of external refunds each insert the event beside the refund_event. Sending is the work of
 * src/events.
 */

interface Told {
  readonly type: string;
  /** Told the first time only. */
  readonly once: boolean;
}

/** The event of a refund that comes to a state, from any other. */
export const TOLD_ON_ENTERING = {
  queued: null,
  insufficient_balance: { type: 'refund.insufficient_balance', once: true },
  submitting: null,
  outcome_unknown: null,
  accepted: { type: 'refund.processing', once: true },
  abnormal: { type: 'refund.requires_action', once: false },
  blocked: { type: 'refund.requires_action', once: false },
  mismatch: { type: 'refund.requires_action', once: false },
  succeeded: { type: 'refund.succeeded', once: false },
  closed: { type: 'refund.failed', once: false },
  rejected: { type: 'refund.failed', once: false },
  canceled: { type: 'refund.canceled', once: false },
} as const satisfies Record<RefundState, Told | null>;

/** The event of a refund that leaves a state it should have stayed in, before the event of the state it comes to. */
export const TOLD_ON_LEAVING = {
  closed: 'refund.corrected',
  rejected: 'refund.corrected',
  canceled: 'refund.corrected',
} as const satisfies Partial<Record<RefundState, string>>;

/** The event of a new refund, by where it comes from. */
export const TOLD_OF_NEW = { api: 'refund.created', external: 'refund.external_detected' } as const;

export const REFUND_EVENT_TYPES = [
  'refund.created',
  'refund.processing',
  'refund.succeeded',
  'refund.failed',
  'refund.canceled',
  'refund.requires_action',
  'refund.insufficient_balance',
  'refund.corrected',
  'refund.external_detected',
] as const;
export type RefundEventType = (typeof REFUND_EVENT_TYPES)[number];

/** The events of one edge, in their order; `toldOnce` are those told once that have been. A refund that stays tells nothing. */
export function eventsOfEdge(from: RefundState, to: RefundState, toldOnce: readonly string[]): RefundEventType[] {
  if (from === to) return [];
  const leaving = from in TOLD_ON_LEAVING ? [TOLD_ON_LEAVING[from as keyof typeof TOLD_ON_LEAVING]] : [];
  const entering = TOLD_ON_ENTERING[to];
  const silent = entering === null || (entering.once && toldOnce.includes(entering.type));
  return silent ? leaving : [...leaving, entering.type];
}

/** The row of a refund's view as JSON; `r` is the refund, `o` its order. */
export const REFUND_SNAPSHOT = `to_jsonb((SELECT s FROM (SELECT ${REFUND_VIEW_COLUMNS}) s))`;

/** An event as the ledger writes it; `changes` lie over the row that stood in the table before. */
export interface OutgoingRow {
  readonly place: number;
  readonly type: RefundEventType | OrderEventType;
  /** Null for an event of the order. */
  readonly refund_id: string | null;
  readonly order_id: string;
  readonly sequence: number;
  readonly previous_status: string;
  readonly changes: Readonly<Record<string, unknown>>;
}

/**
 * The events of a refund that was in `from` and whose new state, and its order's counters, are set already. Counts them in both, and
 * notes what is told once. `place` is that of the first in its batch: ids sort by it.
 */
export function tellChange(refund: LockedRefund, order: LockedOrder, from: RefundState, place: number): OutgoingRow[] {
  const of = { order_id: order.id, refund_id: refund.id, previous_status: REFUND_STATES[from].status };
  const changes = shownFields(refund);
  const told: OutgoingRow[] = eventsOfEdge(from, refund.state, refund.toldOnce).map((type, more) => {
    refund.eventSequence += 1;
    return { ...of, place: place + more, type, sequence: refund.eventSequence, changes };
  });
  if (from === refund.state) return told;
  const entering = TOLD_ON_ENTERING[refund.state];
  if (entering?.once && !refund.toldOnce.includes(entering.type)) refund.toldOnce = [...refund.toldOnce, entering.type];
  if (refund.state !== 'succeeded') return told;
  order.eventSequence += 1;
  const ofOrder = { ...of, refund_id: null, previous_status: 'paid', sequence: order.eventSequence };
  return [...told, { ...ofOrder, place: place + told.length, type: refundedType(order), changes: counters(order) }];
}

function refundedType(order: LockedOrder): OrderEventType {
  return TOLD_OF_REFUNDED[order.refundedFen + order.outsideFen >= order.paidFen ? 'full' : 'partial'];
}

/** The columns of the refund's view that a booking may change. */
function shownFields(refund: LockedRefund): OutgoingRow['changes'] {
  return {
    state: refund.state,
    refund_id: refund.refundId,
    in_doubt_since: refund.inDoubtSince,
    next_attempt_at: refund.nextAttemptAt,
    attempts: refund.attempts,
    failure_code: refund.failureCode,
    failure_wechat_code: refund.failureWechatCode,
    failure_message: refund.failureMessage,
    user_received_account: refund.userReceivedAccount,
    succeeded_at: refund.succeededAt,
  };
}

/** The columns of the order's view that a booking may change; money as text, as everywhere. */
function counters(order: LockedOrder): OutgoingRow['changes'] {
  return {
    reserved_fen: String(order.reservedFen),
    refunded_fen: String(order.refundedFen),
    outside_fen: String(order.outsideFen),
    refund_count: order.refundCount,
  };
}

/** CTE of the ledger: writes {@link OutgoingRow}s ($4) from the rows under its locks; `clock` is the statement's. */
export const TELL_BOOKED_SQL = `
    INSERT INTO outgoing_event (${OUTBOX_COLUMNS})
    SELECT uuid7(c.now + v.place * interval '1 millisecond'), v.type, coalesce(v.refund_id, o.id), v.refund_id, o.id, o.appid, v.sequence,
      v.previous_status, CASE WHEN r.id IS NULL THEN ${ORDER_SNAPSHOT}
        ELSE ${REFUND_SNAPSHOT} || jsonb_build_object('updated_at', c.now) END || v.changes, c.now
    FROM jsonb_to_recordset($4::jsonb) AS v(place integer, type text, refund_id uuid, order_id uuid, sequence integer,
      previous_status text, changes jsonb)
      JOIN payment_order o ON o.id = v.order_id LEFT JOIN refund r ON r.id = v.refund_id, clock c
    WHERE ${fewRows('v.place')}`;

/** CTE: tells of refunds `r` that the CTE `made` has just inserted, with event_sequence 1; `clock` is the statement's. */
export const TELL_NEW_SQL = `
    INSERT INTO outgoing_event (${OUTBOX_COLUMNS})
    SELECT uuid7(c.now), CASE r.source WHEN 'api' THEN '${TOLD_OF_NEW.api}' ELSE '${TOLD_OF_NEW.external}' END, r.id, r.id, r.order_id,
      r.appid, r.event_sequence, NULL::text, ${REFUND_SNAPSHOT}, c.now
    FROM made r JOIN payment_order o ON o.id = r.order_id, clock c`;

const STATUS_OF_STATE = REFUND_STATE_NAMES.map((state) => `WHEN '${state}' THEN '${REFUND_STATES[state].status}'`);

/**
 * CTE of the claim: tells of refunds `r` that the CTE `expired` has just rejected; it counts the event and holds `from_state`. The
 * other edge of the claim, to submitting, tells nothing.
 */
export const TELL_EXPIRED_SQL = `
    INSERT INTO outgoing_event (${OUTBOX_COLUMNS})
    SELECT uuid7(c.now), '${TOLD_ON_ENTERING.rejected.type}', r.id, r.id, r.order_id, r.appid, r.event_sequence,
      CASE r.from_state ${STATUS_OF_STATE.join(' ')} END, ${REFUND_SNAPSHOT}, c.now
    FROM expired r JOIN payment_order o ON o.id = r.order_id, clock c`;
