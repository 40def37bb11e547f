import { Controller, Get } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { ApiPage } from '../common/http/api-document.js';
import type { Page } from '../common/http/paging.js';
import { CheckedQuery } from '../common/http/validation.js';
import { RequireRole } from './access.decorators.js';
import { AuditLogs } from './audit-logs.js';
import { AuditLogView, ListAuditLogsQuery } from './audit-log.view.js';

/** The audit log over REST. */
@ApiTags('audit log')
@ApiBearerAuth()
@Controller('v1/audit_logs')
export class AuditLogsController {
  constructor(private readonly logs: AuditLogs) {}

  /** A page of changes by callers, newest first. */
  @Get()
  @ApiPage(AuditLogView)
  @RequireRole('admin', { unscopedOnly: true })
  list(@CheckedQuery() query: ListAuditLogsQuery): Promise<Page<AuditLogView>> {
    return this.logs.list(query);
  }
}
