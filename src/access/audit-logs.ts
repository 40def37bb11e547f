import { Injectable } from '@nestjs/common';
import { type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { publicId, uuidOf } from '../common/ids.js';
import { whereOf } from '../database/filters.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { AuditAction } from './audit-log.js';
import type { AuditLogView, ListAuditLogsQuery } from './audit-log.view.js';

interface AuditRow {
  readonly id: string;
  readonly at: Date;
  readonly actor: string;
  readonly action: AuditAction;
  readonly object: string;
  readonly before: Readonly<Record<string, unknown>> | null;
  readonly after: Readonly<Record<string, unknown>> | null;
  readonly address: string | null;
  readonly request_id: string | null;
}

/** Reads the audit log. */
@Injectable()
export class AuditLogs {
  constructor(private readonly uow: UnitOfWork) {}

  /** One page, newest first. */
  async list(query: ListAuditLogsQuery): Promise<Page<AuditLogView>> {
    const { limit, before, createdGte, createdLt } = rangeOf(query, (name) => uuidOf('auditLog', name));
    const { hint, where, parameters } = whereOf([
      ['(at, id) < (SELECT b.at, b.id FROM audit_log b WHERE b.id = ?)', before, 'always'],
      ['at >= ?', createdGte],
      ['at < ?', createdLt],
      ['actor = ?', query.actor ?? null],
      ['object = ?', query.object ?? null],
      ['action = ANY(?)', query.action?.split(',') ?? null],
    ]);
    const rows = await this.uow.query<AuditRow>(
      `${hint}SELECT id, at, actor, action, object, before, after, address, request_id
       FROM audit_log WHERE ${where} ORDER BY at DESC, id DESC LIMIT ${limit + 1}`,
      parameters,
    );
    return pageOf(rows, limit, viewOf, (row) => publicId('auditLog', row.id));
  }
}

function viewOf({ id, at, ...rest }: AuditRow): AuditLogView {
  return { id: publicId('auditLog', id), at: at.toISOString(), ...rest };
}
