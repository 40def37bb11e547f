import { isDeepStrictEqual } from 'node:util';
import type { EntityManager } from 'typeorm';
import { newUuid } from '../common/ids.js';
import type { Caller } from './caller.js';

/** What callers do, by the routes that do it. */
export const AUDIT_ACTIONS = [
  'api_key.create',
  'api_key.delete',
  'master_key.rotate',
  'merchant.create',
  'merchant.update',
  'merchant.credentials',
  'merchant.check',
  'mini_program.create',
  'mini_program.update',
  'notification.reprocess',
  'order.create',
  'order.register',
  'order.sync',
  'order.close',
  'refund.create',
  'refund.sync',
  'refund.cancel',
  'refund.retry',
  'refund.repair',
  'refund.resolve',
  'webhook_endpoint.create',
  'webhook_endpoint.update',
  'webhook_endpoint.delete',
  'webhook_endpoint.rotate_secret',
  'webhook_endpoint.test',
  'webhook_delivery.resend',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** A change: the object's view before and after, or as much of it as the action touches. Views hold no secret. */
export interface Change {
  readonly action: AuditAction;
  /** Its public id. */
  readonly object: string;
  readonly before: object | null;
  /** Null of what is deleted, and where WeChat's answer decides: the timeline has what came of it. */
  readonly after: object | null;
}

const INSERT_SQL = `
  INSERT INTO audit_log (id, at, actor, action, object, before, after, address, request_id)
  VALUES ($1, (SELECT tuikuan_now()), $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8)`;

/**
 * Writes one row of the audit log, by the transaction of the change: neither is ever there without the other. Of two views only the
 * fields that differ are kept. What asks WeChat is recorded before it is asked.
 */
export async function record(tx: Pick<EntityManager, 'query'>, caller: Caller, change: Change): Promise<void> {
  const { action, object, before, after } = change;
  await tx.query(INSERT_SQL, [
    newUuid(),
    caller.id,
    action,
    object,
    jsonOf(before, after),
    jsonOf(after, before),
    caller.address,
    caller.requestId,
  ]);
}

/** The fields of `view` that `other` lacks or has otherwise. */
function jsonOf(view: object | null, other: object | null): string | null {
  if (view === null) return null;
  const rest = new Map(Object.entries(other ?? {}));
  return JSON.stringify(
    Object.fromEntries(Object.entries(view).filter(([name, value]) => !isDeepStrictEqual(value, rest.get(name)))),
  );
}
