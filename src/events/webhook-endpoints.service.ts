import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { Caller } from '../access/caller.js';
import { type AuditAction, record } from '../access/audit-log.js';
import { seesApp } from '../access/caller.js';
import { assert } from '../common/assert.js';
import { type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { newUuid, publicId, uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { ENDPOINT_COLUMNS, type EndpointRow, endpointView, type WebhookEndpointView } from './endpoint.view.js';
import type { CreateWebhookEndpointDto, ListWebhookEndpointsQuery, UpdateWebhookEndpointDto } from './events.dto.js';
import { SigningSecrets } from './signing-secrets.js';
import { WebhookTargets } from './webhook-url.js';

/** An endpoint with the text of a secret that was made just now. */
export interface EndpointWithSecret {
  readonly endpoint: EndpointRow;
  readonly secret: string;
}

/** What a caller sees: endpoints that are not deleted; a key bound to apps those that are bound to none but these. $1 its apps. */
export const VISIBLE_SQL = `e.disabled_reason IS DISTINCT FROM 'deleted' AND ($1::text[] IS NULL OR e.appids <@ $1)`;

const GET_SQL = `SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoint e WHERE ${VISIBLE_SQL} AND e.id = $2`;

const LIST_SQL = `
  SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoint e
  WHERE ${VISIBLE_SQL} AND ($2::uuid IS NULL OR e.id < $2) AND ($3::timestamptz IS NULL OR e.created_at >= $3)
    AND ($4::timestamptz IS NULL OR e.created_at < $4)
  ORDER BY e.id DESC LIMIT $5`;

const INSERT_SQL = `
  INSERT INTO webhook_endpoint (id, url, events, appids, description, created_by, created_at, updated_at)
  SELECT $1, $2, $3, $4, $5, $6, c.now, c.now FROM (SELECT tuikuan_now() AS now) c`;

const LOCK_SQL = `SELECT e.id FROM webhook_endpoint e WHERE ${VISIBLE_SQL} AND e.id = $2 FOR NO KEY UPDATE`;

/** Switching on forgives every failure; what waited is due when it was. */
const UPDATE_SQL = `
  UPDATE webhook_endpoint e SET url = coalesce($2, e.url), events = coalesce($3, e.events), updated_at = (SELECT tuikuan_now()),
    enabled = coalesce($4, e.enabled), disabled_reason = CASE $4 WHEN true THEN NULL WHEN false THEN coalesce(e.disabled_reason, 'caller')
      ELSE e.disabled_reason END,
    failures_in_row = CASE WHEN $4 THEN 0 ELSE e.failures_in_row END, failing_since = CASE WHEN $4 THEN NULL ELSE e.failing_since END,
    held_until = CASE WHEN $4 THEN NULL ELSE e.held_until END
  WHERE e.id = $1`;

/** The row stays for its log; its secrets do not. */
const DELETE_SQL = `
  WITH forgotten AS (
    UPDATE webhook_secret SET sealed = '', usable_until = (SELECT tuikuan_now()) WHERE endpoint_id = $1)
  UPDATE webhook_endpoint SET enabled = false, disabled_reason = 'deleted', updated_at = (SELECT tuikuan_now()) WHERE id = $1`;

const MISSING_APP_SQL = `
  SELECT a.appid FROM unnest($1::text[]) AS a(appid)
  WHERE NOT EXISTS (SELECT 1 FROM mini_program p WHERE p.appid = a.appid) LIMIT 1`;

/**
 * Who hears of events: made, changed, deleted, and their secrets rotated. A key bound to mini-programs makes and sees endpoints bound
 * to none but these; another's endpoint is not there. It leaves sending to the deliverer.
 */
@Injectable()
export class WebhookEndpointsService {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly secrets: SigningSecrets,
    private readonly targets: WebhookTargets,
  ) {}

  /** AppError webhook_url_refused; mini_program_not_found for an app that is not there for the caller. */
  async create(caller: Caller, wish: CreateWebhookEndpointDto): Promise<EndpointWithSecret> {
    const appids = wish.appids ?? caller.appids;
    await this.assertApps(caller, appids);
    await this.assertUrl(wish.url);
    const id = newUuid();
    const secret = await this.uow.run(async (tx) => {
      await tx.query(INSERT_SQL, [id, wish.url, wish.events, appids, wish.description ?? null, caller.id]);
      const after = await viewIn(tx, caller, id);
      await record(tx, caller, { action: 'webhook_endpoint.create', object: after.id, before: null, after });
      return this.secrets.replace(tx, id);
    });
    return { endpoint: await this.get(caller, publicId('webhookEndpoint', id)), secret };
  }

  /** AppError webhook_endpoint_not_found. */
  async get(caller: Caller, id: string): Promise<EndpointRow> {
    const uuid = uuidOf('webhookEndpoint', id);
    const [row] = uuid === null ? [] : await this.uow.query<EndpointRow>(GET_SQL, [caller.appids, uuid]);
    if (!row) throw notFound(id);
    return row;
  }

  /** One page, newest first. */
  async list(caller: Caller, query: ListWebhookEndpointsQuery): Promise<Page<WebhookEndpointView>> {
    const { before, createdGte, createdLt, limit } = rangeOf(query, (name) => uuidOf('webhookEndpoint', name));
    const rows = await this.uow.query<EndpointRow>(LIST_SQL, [caller.appids, before, createdGte, createdLt, limit + 1]);
    return pageOf(rows, limit, endpointView, (row) => publicId('webhookEndpoint', row.id));
  }

  async update(caller: Caller, id: string, wish: UpdateWebhookEndpointDto): Promise<EndpointRow> {
    await this.get(caller, id);
    if (wish.url !== undefined) await this.assertUrl(wish.url);
    await this.changed(caller, id, 'webhook_endpoint.update', (tx, uuid) =>
      tx.query(UPDATE_SQL, [uuid, wish.url ?? null, wish.events ?? null, wish.enabled ?? null]),
    );
    return this.get(caller, id);
  }

  async remove(caller: Caller, id: string): Promise<void> {
    await this.changed(caller, id, 'webhook_endpoint.delete', (tx, uuid) => tx.query(DELETE_SQL, [uuid]));
  }

  /** A new secret; the one before signs beside it for a day. */
  async rotate(caller: Caller, id: string): Promise<EndpointWithSecret> {
    const secret = await this.changed(caller, id, 'webhook_endpoint.rotate_secret', (tx, uuid) =>
      this.secrets.replace(tx, uuid),
    );
    return { endpoint: await this.get(caller, id), secret };
  }

  /** Locks the endpoint and records what the work changes in its view. */
  private async changed<T>(
    caller: Caller,
    id: string,
    action: AuditAction,
    work: (tx: EntityManager, uuid: string) => Promise<T>,
  ): Promise<T> {
    const uuid = uuidOf('webhookEndpoint', id);
    return this.uow.run(async (tx) => {
      const found = await tx.query<unknown[]>(LOCK_SQL, [caller.appids, uuid]);
      if (found.length === 0) throw notFound(id);
      assert(uuid, 'an id that is found is one');
      const before = await viewIn(tx, caller, uuid);
      const done = await work(tx, uuid);
      const after = action === 'webhook_endpoint.delete' ? null : await viewIn(tx, caller, uuid);
      await record(tx, caller, { action, object: id, before, after });
      return done;
    });
  }

  private async assertUrl(url: string): Promise<void> {
    const refusal = await this.targets.refusalOf(url);
    if (refusal === null) return;
    throw new AppError('webhook_url_refused', `The URL ${refusal}.`, { errors: [{ field: 'url', message: refusal }] });
  }

  private async assertApps(caller: Caller, appids: readonly string[] | null): Promise<void> {
    if (appids === null) return;
    const hidden = appids.find((appid) => !seesApp(caller, appid));
    const [missing] = await this.uow.query<{ appid: string }>(MISSING_APP_SQL, [appids]);
    const absent = hidden ?? missing?.appid;
    if (absent !== undefined) throw new AppError('mini_program_not_found', `There is no mini-program ${absent}.`);
  }
}

async function viewIn(tx: EntityManager, caller: Caller, uuid: string): Promise<WebhookEndpointView> {
  const [row] = await tx.query<EndpointRow[]>(GET_SQL, [caller.appids, uuid]);
  assert(row, 'an endpoint that is locked is there');
  return endpointView(row);
}

function notFound(id: string): AppError {
  return new AppError('webhook_endpoint_not_found', `There is no webhook endpoint ${id}.`);
}
