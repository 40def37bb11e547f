import { ORDER_VIEW_COLUMNS, type OrderView, type OrderRow } from './order.view.js';

/**
 * What an order tells the outside, as literals, and the SQL that tells it in the statement of the change (design.md 9): never a
 * change without its event. Sending them is the work of src/events.
 */

/** The event of an order that comes to a status. */
export const TOLD_OF_STATUS = {
  created: null,
  paid: 'order.paid',
  closed: 'order.closed',
} as const satisfies Record<OrderRow['status'], string | null>;

/** The event of an order of which a refund has succeeded, by how much of it is given back. */
export const TOLD_OF_REFUNDED = {
  none: null,
  partial: 'order.partially_refunded',
  full: 'order.refunded',
} as const satisfies Record<OrderView['refund_status'], string | null>;

export const ORDER_EVENT_TYPES = [
  TOLD_OF_STATUS.paid,
  TOLD_OF_STATUS.closed,
  TOLD_OF_REFUNDED.partial,
  TOLD_OF_REFUNDED.full,
] as const;
export type OrderEventType = (typeof ORDER_EVENT_TYPES)[number];

/** The columns of outgoing_event that the statement of a change fills, in the order of every INSERT. */
export const OUTBOX_COLUMNS =
  'id, type, subject_id, refund_id, order_id, appid, sequence, previous_status, snapshot, at';

/** The row of an order's view as JSON; `o` is the order. */
export const ORDER_SNAPSHOT = `to_jsonb((SELECT s FROM (SELECT ${ORDER_VIEW_COLUMNS}) s))`;

/** SQL: the event type of order `o` by what is given back of it; the twin of {@link OrderView.refund_status}. */
export const REFUNDED_TYPE_SQL = `CASE WHEN o.refunded_fen + o.outside_fen >= o.paid_fen
    THEN '${TOLD_OF_REFUNDED.full}' ELSE '${TOLD_OF_REFUNDED.partial}' END`;

const STATUS_TYPE_SQL = `CASE o.status WHEN 'paid' THEN '${TOLD_OF_STATUS.paid}' WHEN 'closed' THEN '${TOLD_OF_STATUS.closed}' END`;

/**
 * The INSERT that tells of orders that came to another status. `changed` is the CTE of their rows as they are now, with an
 * event_sequence that counts this event; `previous` an SQL expression of the status before. None for one whose status is the same.
 */
export function tellOrderStatus(changed: string, previous: string): string {
  return `INSERT INTO outgoing_event (${OUTBOX_COLUMNS})
  SELECT uuid7(c.now), ${STATUS_TYPE_SQL}, o.id, NULL::uuid, o.id, o.appid, o.event_sequence, ${previous}, ${ORDER_SNAPSHOT}, c.now
  FROM ${changed} o, (SELECT tuikuan_now() AS now) c
  WHERE o.status IS DISTINCT FROM ${previous}`;
}
