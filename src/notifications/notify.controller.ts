import { Controller, Header, HttpCode, Post, Req, UseInterceptors } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Public } from '../access/access.decorators.js';
import { assert } from '../common/assert.js';
import { V2_SUCCESS } from './notice-answers.js';
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
  @Header('content-type', 'text/xml')
  async receive(@Req() request: NotifyRequest): Promise<string> {
    assert(request.notice, 'the interceptor has opened the notice');
    await this.notifications.receive(request.notice);
    return V2_SUCCESS;
  }
}
