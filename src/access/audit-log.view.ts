import { Matches } from 'class-validator';
import { ListQuery } from '../common/http/paging.js';
import { Optional } from '../common/http/validators.js';
import type { AuditAction } from './audit-log.js';

/** One change by a caller (design.md 8). */
export class AuditLogView {
  id: string;
  at: string;
  /** `key_…`, `admin` for ADMIN_API_KEY, or `command_line`. */
  actor: string;
  action: AuditAction;
  /** The id of what was changed. */
  object: string;
  /** What is no longer so; null of something new. */
  before: Readonly<Record<string, unknown>> | null;
  /** What is so instead; null of something deleted, and where WeChat's answer decides. */
  after: Readonly<Record<string, unknown>> | null;
  /** Where the request came from; null for the command line. */
  address: string | null;
  /** The x-request-id of its answer; null for the command line. */
  request_id: string | null;
}

export class ListAuditLogsQuery extends ListQuery {
  @Optional()
  @Matches(/^[0-9A-Za-z_]{1,64}$/)
  actor?: string;

  /** The id of a refund, an order, a merchant or whatever else was changed. */
  @Optional()
  @Matches(/^[0-9A-Za-z_.-]{1,64}$/)
  object?: string;

  /** Comma list. */
  @Optional()
  @Matches(/^[a-z_.]+(,[a-z_.]+)*$/)
  action?: string;
}
