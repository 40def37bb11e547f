import { Controller, HttpCode, Post, Req, Res, UseInterceptors } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Public } from '../access/access.decorators.js';
import { assert } from '../common/assert.js';
import { ACKNOWLEDGED } from './notice-answers.js';
import { NotificationsService } from './notifications.service.js';
import { NotifyInterceptor, type NotifyRequest } from './notify.interceptor.js';

/** What WeChat calls. The interceptor has opened and validated the notice; SUCCESS goes out after the commit. */
@ApiExcludeController()
@Controller('notify/wechat')
@UseInterceptors(NotifyInterceptor)
export class NotifyController {
  constructor(private readonly notifications: NotificationsService) {}

  @Post(':token/:kind')
  @Public()
  @HttpCode(200)
  async receive(@Req() request: NotifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<string> {
    assert(request.notice, 'the interceptor has opened the notice');
    await this.notifications.receive(request.notice);
    const { status, contentType, body } = ACKNOWLEDGED[request.notice.version];
    reply.code(status);
    if (contentType !== null) reply.header('content-type', contentType);
    return body;
  }
}
