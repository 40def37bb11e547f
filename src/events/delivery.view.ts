import type { EventType } from './event-types.js';

/** One try: when, the class of the answer, and roughly how long it took. */
export class WebhookAttemptView {
  at: string;
  result: '2xx' | '3xx' | '4xx' | '5xx' | 'no_answer' | 'address_refused';
  latency: 'under_100ms' | 'under_1s' | 'under_5s' | 'under_15s' | 'over_15s';
}

/** An event on its way to an endpoint, with every try. */
export class WebhookDeliveryView {
  id: string;
  object: 'webhook_delivery';
  endpoint: string;
  event: string;
  type: EventType;
  sequence: number;
  status: 'pending' | 'delivered' | 'failed';
  next_attempt_at: string | null;
  delivered_at: string | null;
  created_at: string;
  /** Oldest first. */
  attempts: WebhookAttemptView[];
}
