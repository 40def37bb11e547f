import { publicId } from '../common/ids.js';
import type { Settings } from '../config/settings.js';
import { type OrderView, orderView, type OrderViewRow } from '../orders/order.view.js';
import { type RefundView, refundView, type RefundViewRow } from '../refunds/refund.view.js';
import { type EventType, TEST_TYPE } from './event-types.js';

/** The columns a payload is made of; `v` is the event. */
export const PAYLOAD_COLUMNS = 'v.type, v.refund_id, v.sequence, v.previous_status, v.snapshot, v.at';

/** A row of {@link PAYLOAD_COLUMNS} with its event's id. */
export interface PayloadRow {
  readonly event_id: string;
  readonly type: EventType;
  readonly refund_id: string | null;
  readonly sequence: number;
  readonly previous_status: string | null;
  readonly snapshot: Snapshot;
  readonly at: Date;
}

type Snapshot = Readonly<Record<string, unknown>>;

/** What a test event carries: the endpoint it was asked of. */
export class TestObject {
  id: string;
  object: 'webhook_endpoint';
}

/** Inside an event: the refund or order as the API showed it right after the change. */
export class EventData {
  object: RefundView | OrderView | TestObject;
  /** The object's status before; null when it is new. */
  previous_status: string | null;
  /** True where items, note and metadata were left out because the event would be larger than 20 kB: read the object by its id. */
  abridged?: true;
}

/** An event as it is sent and listed (design.md 9). `id` is also the webhook-id. */
export class EventPayload {
  id: string;
  type: EventType;
  /** RFC 3339: when the change was booked. */
  timestamp: string;
  /** Counts the events of this refund or order from 1, without a gap. */
  sequence: number;
  data: EventData;
}

/** Columns that are times: JSON has them as text, a row as Date. */
const TIMES = ['in_doubt_since', 'next_attempt_at', 'created_at', 'updated_at', 'succeeded_at', 'paid_at'] as const;

/** What receivers may count on (faults.md 5.6). */
export const PAYLOAD_BYTES_MAX = 20_000;
/** The caller's own texts: the only fields without a narrow limit. */
const LEFT_OUT = { items: null, note: null, metadata: {} } as const;

/** The payload of a stored event, at most {@link PAYLOAD_BYTES_MAX} as JSON; the same at every try, in the form of the API's own views. */
export function payloadOf(row: PayloadRow, settings: Settings): EventPayload {
  const payload = wholePayloadOf(row, settings);
  if (Buffer.byteLength(JSON.stringify(payload)) <= PAYLOAD_BYTES_MAX) return payload;
  const { data, ...head } = wholePayloadOf({ ...row, snapshot: { ...row.snapshot, ...LEFT_OUT } }, settings);
  return { ...head, data: { ...data, abridged: true } };
}

function wholePayloadOf(row: PayloadRow, settings: Settings): EventPayload {
  return {
    id: publicId('event', row.event_id),
    type: row.type,
    timestamp: row.at.toISOString(),
    sequence: row.sequence,
    data: { object: objectOf(row, settings), previous_status: row.previous_status },
  };
}

function objectOf(row: PayloadRow, settings: Settings): EventData['object'] {
  if (row.type === TEST_TYPE) return { id: String(row.snapshot['id']), object: 'webhook_endpoint' };
  const shown = rowOf(row.snapshot);
  return row.refund_id === null
    ? orderView(shown as unknown as OrderViewRow, settings)
    : refundView(shown as unknown as RefundViewRow);
}

function rowOf(snapshot: Snapshot): Snapshot {
  const times = TIMES.flatMap((name) => {
    const text = snapshot[name];
    return typeof text === 'string' ? [[name, new Date(text)] as const] : [];
  });
  return { ...snapshot, ...Object.fromEntries(times) };
}
