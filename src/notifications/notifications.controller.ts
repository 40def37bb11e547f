import { Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, RequireRole } from '../access/access.decorators.js';
import type { Caller } from '../access/caller.js';
import type { Page } from '../common/http/paging.js';
import { CheckedQuery } from '../common/http/validation.js';
import { Inbox } from './inbox.js';
import { NotificationView } from './notification.view.js';
import { ListNotificationsQuery } from './notifications.dto.js';
import { ApiPage } from '../common/http/api-document.js';

/** The inbox over REST; keys bound to apps may not see it. */
@ApiTags('notifications')
@ApiBearerAuth()
@Controller('v1/notifications')
export class NotificationsController {
  constructor(private readonly inbox: Inbox) {}

  @Get()
  @ApiPage(NotificationView)
  @RequireRole('viewer', { unscopedOnly: true })
  list(@CheckedQuery() query: ListNotificationsQuery): Promise<Page<NotificationView>> {
    return this.inbox.list(query);
  }

  @Get(':id')
  @RequireRole('viewer', { unscopedOnly: true })
  async get(@Param('id') id: string): Promise<NotificationView> {
    return this.inbox.view(await this.inbox.get(id));
  }

  /** Works on a stored notice once more. */
  @Post(':id/reprocess')
  @HttpCode(200)
  @RequireRole('operator', { unscopedOnly: true })
  async reprocess(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<NotificationView> {
    return this.inbox.view(await this.inbox.reprocess(caller, id));
  }
}
