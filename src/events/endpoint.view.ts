import { publicId } from '../common/ids.js';

/** The columns an endpoint's view is made of; `e` is the endpoint. */
export const ENDPOINT_COLUMNS = `e.id, e.url, e.events, e.appids, e.description, e.enabled, e.disabled_reason, e.failing_since,
  e.created_by, e.created_at, e.updated_at, (SELECT max(s.usable_until) FROM webhook_secret s
    WHERE s.endpoint_id = e.id AND s.usable_until > (SELECT tuikuan_now())) AS previous_secret_until`;

/** A row of {@link ENDPOINT_COLUMNS}. */
export interface EndpointRow {
  readonly id: string;
  readonly url: string;
  readonly events: string[];
  readonly appids: string[] | null;
  readonly description: string | null;
  readonly enabled: boolean;
  readonly disabled_reason: 'caller' | 'gone' | 'failing' | null;
  readonly failing_since: Date | null;
  readonly created_by: string;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly previous_secret_until: Date | null;
}

/** An endpoint as callers see it; never with its secret. */
export class WebhookEndpointView {
  id: string;
  object: 'webhook_endpoint';
  url: string;
  events: string[];
  /** Null: events of every mini-program. */
  appids: string[] | null;
  description: string | null;
  enabled: boolean;
  /** caller, gone (it answered 410) or failing (5 days without a success). */
  disabled_reason: 'caller' | 'gone' | 'failing' | null;
  /** The first failure since the last success. */
  failing_since: string | null;
  /** While a rotation lasts, both secrets sign. */
  previous_secret_until: string | null;
  created_by: string;
  created_at: string;
  updated_at: string;
}

/** With the signing secret, shown this once. */
export class WebhookEndpointWithSecretView extends WebhookEndpointView {
  /** `whsec_…` */
  secret: string;
}

/** The view of a row. */
export function endpointView(row: EndpointRow): WebhookEndpointView {
  return {
    id: publicId('webhookEndpoint', row.id),
    object: 'webhook_endpoint',
    url: row.url,
    events: row.events,
    appids: row.appids,
    description: row.description,
    enabled: row.enabled,
    disabled_reason: row.disabled_reason,
    failing_since: row.failing_since?.toISOString() ?? null,
    previous_secret_until: row.previous_secret_until?.toISOString() ?? null,
    created_by: row.created_by,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
