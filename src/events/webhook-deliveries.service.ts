import { Injectable } from '@nestjs/common';
import { record } from '../access/audit-log.js';
import type { Caller } from '../access/caller.js';
import { assert } from '../common/assert.js';
import { type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { newUuid, publicId, uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { EVENT_TYPES, type EventType, TEST_TYPE } from './event-types.js';
import type { ListEventsQuery, ListWebhookDeliveriesQuery } from './events.dto.js';
import { type EventPayload, payloadOf, type PayloadRow, PAYLOAD_COLUMNS } from './payload.js';
import { Settings } from '../config/settings.js';
import { VISIBLE_SQL, WebhookEndpointsService } from './webhook-endpoints.service.js';
import type { WebhookAttemptView, WebhookDeliveryView } from './delivery.view.js';

interface DeliveryRow {
  readonly id: string;
  readonly endpoint_id: string;
  readonly event_id: string;
  readonly type: EventType;
  readonly sequence: number;
  readonly state: 'pending' | 'delivered' | 'failed';
  readonly next_attempt_at: Date | null;
  readonly delivered_at: Date | null;
  readonly created_at: Date;
  readonly endpoint_enabled: boolean;
  readonly attempts: (Omit<WebhookAttemptView, 'at'> & { readonly at: string })[] | null;
}

const DELIVERIES_SQL = `
  SELECT d.id, d.endpoint_id, d.event_id, v.type, d.sequence, d.state, d.next_attempt_at, d.delivered_at, d.created_at,
    e.enabled AS endpoint_enabled, (SELECT jsonb_agg(jsonb_build_object('at', a.at, 'result', a.result, 'latency', a.latency) ORDER BY a.at)
      FROM webhook_attempt a WHERE a.delivery_id = d.id) AS attempts
  FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id JOIN outgoing_event v ON v.id = d.event_id
  WHERE ${VISIBLE_SQL}`;

const LIST_SQL = `${DELIVERIES_SQL} AND ($2::uuid IS NULL OR d.id < $2) AND ($3::timestamptz IS NULL OR d.created_at >= $3)
    AND ($4::timestamptz IS NULL OR d.created_at < $4) AND ($5::uuid IS NULL OR d.endpoint_id = $5)
    AND ($6::uuid IS NULL OR d.event_id = $6) AND ($7::text[] IS NULL OR d.state = ANY($7))
  ORDER BY d.id DESC LIMIT $8`;

/** A delivery that is under way stays as it is; any other starts its tries anew, under the same webhook-id. */
const RESEND_SQL = `
  UPDATE webhook_delivery SET state = 'pending', tries = 0, next_attempt_at = c.now, delivered_at = NULL
  FROM (SELECT tuikuan_now() AS now) c WHERE id = $1 AND (lease_until IS NULL OR lease_until < c.now)`;

/** The event of a test belongs to nothing but itself and goes to one endpoint, whatever that asks for. */
const TEST_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  event AS (
    INSERT INTO outgoing_event (id, type, subject_id, sequence, snapshot, at, fanned_out_at)
    SELECT $1, '${TEST_TYPE}', $1, 1, jsonb_build_object('id', $4::text), c.now, c.now FROM clock c RETURNING id)
  INSERT INTO webhook_delivery (id, event_id, endpoint_id, subject_id, sequence, state, next_attempt_at, created_at)
  SELECT $2, v.id, $3, v.id, 1, 'pending', c.now, c.now FROM event v, clock c`;

/** Events of an order are its own and those of its refunds. Tests are nobody's. */
const EVENTS_SQL = `
  SELECT v.id AS event_id, ${PAYLOAD_COLUMNS} FROM outgoing_event v
  WHERE v.order_id IS NOT NULL AND ($1::text[] IS NULL OR v.appid = ANY($1)) AND ($2::uuid IS NULL OR v.id < $2)
    AND ($3::timestamptz IS NULL OR v.at >= $3) AND ($4::timestamptz IS NULL OR v.at < $4)
    AND ($5::text[] IS NULL OR v.type = ANY($5)) AND ($6::uuid IS NULL OR v.subject_id = $6)
    AND ($7::uuid IS NULL OR v.subject_id = ANY(ARRAY(SELECT $7::uuid UNION ALL SELECT r.id FROM refund r WHERE r.order_id = $7)))
  ORDER BY v.id DESC LIMIT $8`;

/** The delivery log, sending again and trying out; and every event, for those that missed some. */
@Injectable()
export class WebhookDeliveriesService {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly endpoints: WebhookEndpointsService,
    private readonly settings: Settings,
  ) {}

  /** One page, newest first. */
  async list(caller: Caller, query: ListWebhookDeliveriesQuery): Promise<Page<WebhookDeliveryView>> {
    const range = rangeOf(query, (name) => uuidOf('webhookDelivery', name));
    const rows = await this.uow.query<DeliveryRow>(LIST_SQL, [
      caller.appids,
      range.before,
      range.createdGte,
      range.createdLt,
      query.endpoint === undefined ? null : uuidOf('webhookEndpoint', query.endpoint),
      query.event === undefined ? null : uuidOf('event', query.event),
      query.status?.split(',') ?? null,
      range.limit + 1,
    ]);
    return pageOf(rows, range.limit, deliveryView, (row) => publicId('webhookDelivery', row.id));
  }

  /** Sends again, now; AppError webhook_delivery_not_found, or invalid_state when its endpoint is disabled. */
  async resend(caller: Caller, id: string): Promise<WebhookDeliveryView> {
    const row = await this.get(caller, uuidOf('webhookDelivery', id), id);
    assertEnabled(row.endpoint_enabled);
    const before = deliveryView(row);
    await this.uow.run(async (tx) => {
      await tx.query(RESEND_SQL, [row.id]);
      const after = { ...before, status: 'pending', delivered_at: null };
      await record(tx, caller, { action: 'webhook_delivery.resend', object: id, before, after });
    });
    return deliveryView(await this.get(caller, row.id, id));
  }

  /** Sends a test event to an endpoint; AppError invalid_state when it is disabled. */
  async test(caller: Caller, endpointId: string): Promise<WebhookDeliveryView> {
    const endpoint = await this.endpoints.get(caller, endpointId);
    assertEnabled(endpoint.enabled);
    const id = newUuid();
    await this.uow.run(async (tx) => {
      await tx.query(TEST_SQL, [newUuid(), id, endpoint.id, publicId('webhookEndpoint', endpoint.id)]);
      const after = { delivery: publicId('webhookDelivery', id) };
      await record(tx, caller, { action: 'webhook_endpoint.test', object: endpointId, before: null, after });
    });
    return deliveryView(await this.get(caller, id, publicId('webhookDelivery', id)));
  }

  /** One page of events, newest first, as they are sent. */
  async events(caller: Caller, query: ListEventsQuery): Promise<Page<EventPayload>> {
    const range = rangeOf(query, (name) => uuidOf('event', name));
    const rows = await this.uow.query<PayloadRow>(EVENTS_SQL, [
      caller.appids,
      range.before,
      range.createdGte,
      range.createdLt,
      query.type?.split(',').map(typeNamed) ?? null,
      query.refund === undefined ? null : uuidOf('refund', query.refund),
      query.order === undefined ? null : uuidOf('order', query.order),
      range.limit + 1,
    ]);
    return pageOf(
      rows,
      range.limit,
      (row) => payloadOf(row, this.settings),
      (row) => publicId('event', row.event_id),
    );
  }

  private async get(caller: Caller, uuid: string | null, id: string): Promise<DeliveryRow> {
    const rows = await this.uow.query<DeliveryRow>(`${DELIVERIES_SQL} AND d.id = $2`, [caller.appids, uuid]);
    const [row] = rows;
    if (!row) throw new AppError('webhook_delivery_not_found', `There is no webhook delivery ${id}.`);
    assert(rows.length === 1, 'an id names one delivery');
    return row;
  }
}

function assertEnabled(enabled: boolean): void {
  if (!enabled) throw new AppError('invalid_state', 'The endpoint is disabled: enable it first.');
}

function typeNamed(word: string): EventType {
  const type = EVENT_TYPES.find((name) => name === word);
  if (type !== undefined) return type;
  throw new AppError('validation_failed', `There is no event type ${word}.`, {
    errors: [{ field: 'type', message: `must be of ${EVENT_TYPES.join(', ')}` }],
  });
}

function deliveryView(row: DeliveryRow): WebhookDeliveryView {
  return {
    id: publicId('webhookDelivery', row.id),
    object: 'webhook_delivery',
    endpoint: publicId('webhookEndpoint', row.endpoint_id),
    event: publicId('event', row.event_id),
    type: row.type,
    sequence: row.sequence,
    status: row.state,
    next_attempt_at: row.next_attempt_at?.toISOString() ?? null,
    delivered_at: row.delivered_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
    attempts: (row.attempts ?? []).map((attempt) => ({ ...attempt, at: new Date(attempt.at).toISOString() })),
  };
}
