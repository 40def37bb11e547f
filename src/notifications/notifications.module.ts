import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { MerchantsModule } from '../merchants/merchants.module.js';
import { RefundsModule } from '../refunds/refunds.module.js';
import { Inbox } from './inbox.js';
import { NoticeConfirmer } from './notice-confirmer.js';
import { Notification } from './notification.entity.js';
import { NotificationsController } from './notifications.controller.js';
import { NotificationsService } from './notifications.service.js';
import { NotifyController } from './notify.controller.js';

/** The callback door and the inbox behind it. */
@Module({
  imports: [MerchantsModule, RefundsModule, TypeOrmModule.forFeature([Notification])],
  controllers: [NotifyController, NotificationsController],
  providers: [Inbox, NoticeConfirmer, NotificationsService],
})
export class NotificationsModule {}
