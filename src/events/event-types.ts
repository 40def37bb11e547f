import { ORDER_EVENT_TYPES, type OrderEventType } from '../orders/outgoing-events.js';
import { REFUND_EVENT_TYPES, type RefundEventType } from '../refunds/outgoing-events.js';

/** Everything an endpoint can ask for; which change makes which stands in the literals of orders and refunds. */
export const EVENT_TYPES = [...REFUND_EVENT_TYPES, ...ORDER_EVENT_TYPES] as const;

/** What an endpoint asks for to get every type, those of later versions too. */
export const EVERY_TYPE = '*';

/** Sent by POST /v1/webhook_endpoints/{id}/test only; belongs to no refund or order. */
export const TEST_TYPE = 'webhook_endpoint.test';

export type EventType = RefundEventType | OrderEventType | typeof TEST_TYPE;
