import { Controller, Get, HttpCode, Injectable } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Public } from './access/access.decorators.js';
import { Settings } from './config/settings.js';
import { UnitOfWork } from './database/unit-of-work.js';
import { Warnings } from './operations/warnings.js';
import { Connections } from './wechat-pay/connections.js';
import type { LiveView, ReadyView } from './health.view.js';

/** Whether the process lives and whether it can work. */
@ApiTags('health')
@Controller('health')
@Injectable()
export class HealthController {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly settings: Settings,
    private readonly connections: Connections,
    private readonly warnings: Warnings,
  ) {}

  @Get('live')
  @Public()
  @HttpCode(200)
  live(): LiveView {
    return { status: 'ok' };
  }

  /** 503 while the database does not answer or the service stops. */
  @Get('ready')
  @Public()
  async ready(): Promise<ReadyView> {
    await this.uow.query('SELECT 1 FROM schema_migration LIMIT 1', []);
    const { role, wechatpayHostIsReal, wechatpayBaseUrl } = this.settings;
    const skewMs = this.connections.skew.ms;
    return {
      status: 'ok',
      role,
      ...(!wechatpayHostIsReal && { wechatpay_host: new URL(wechatpayBaseUrl).host }),
      ...(skewMs !== null && { clock_skew_seconds: Math.round(skewMs / 1000) }),
      warnings: (await this.warnings.standing()).map(({ code, mchId }) => ({
        code,
        ...(mchId !== null && { mch_id: mchId }),
      })),
    };
  }
}
