import { type DynamicModule, Module } from '@nestjs/common';
import { AccessModule } from './access/access.module.js';
import type { Settings } from './config/settings.js';
import { SettingsModule } from './config/settings.module.js';
import { DatabaseModule } from './database/database.module.js';
import { EventsModule } from './events/events.module.js';
import { HealthController } from './health.controller.js';
import { MerchantsModule } from './merchants/merchants.module.js';
import { NotificationsModule } from './notifications/notifications.module.js';
import { OperationsModule } from './operations/operations.module.js';
import { OrdersModule } from './orders/orders.module.js';
import { RefundsModule } from './refunds/refunds.module.js';
import { WechatPayModule } from './wechat-pay/wechat-pay.module.js';

/** The whole service on a database that is running. */
@Module({})
export class AppModule {
  static of(settings: Settings, databaseUrl: string): DynamicModule {
    return {
      module: AppModule,
      imports: [
        SettingsModule.with(settings),
        DatabaseModule.connectedTo(databaseUrl, settings.role),
        AccessModule,
        MerchantsModule,
        OrdersModule,
        RefundsModule,
        WechatPayModule,
        NotificationsModule,
        EventsModule,
        OperationsModule,
      ],
      controllers: [HealthController],
    };
  }
}
