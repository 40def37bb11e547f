import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AccessGuard } from './access.guard.js';
import { ApiKey } from './api-key.entity.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeys } from './api-keys.js';
import { AuditLog } from './audit-log.entity.js';
import { AuditLogs } from './audit-logs.js';
import { AuditLogsController } from './audit-logs.controller.js';

/** Who may call what: API keys, roles and scope, checked for every route; and the log of what they did. */
@Module({
  imports: [TypeOrmModule.forFeature([ApiKey, AuditLog])],
  controllers: [ApiKeysController, AuditLogsController],
  providers: [ApiKeys, AuditLogs, { provide: APP_GUARD, useClass: AccessGuard }],
})
export class AccessModule {}
