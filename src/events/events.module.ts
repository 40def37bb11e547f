import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Settings } from '../config/settings.js';
import { MerchantsModule } from '../merchants/merchants.module.js';
import { Deliverer } from './deliverer.js';
import { EventsController, WebhookDeliveriesController, WebhookEndpointsController } from './events.controller.js';
import { OutgoingEvent } from './outgoing-event.entity.js';
import { SigningSecrets } from './signing-secrets.js';
import { WebhookAttempt } from './webhook-attempt.entity.js';
import { WebhookDeliveriesService } from './webhook-deliveries.service.js';
import { WebhookDelivery } from './webhook-delivery.entity.js';
import { WebhookEndpoint } from './webhook-endpoint.entity.js';
import { WebhookEndpointsService } from './webhook-endpoints.service.js';
import { WebhookSecret } from './webhook-secret.entity.js';
import { WebhookTargets } from './webhook-url.js';

/** Outgoing events: who hears of them and how they get there. Orders and refunds write them and know nothing of this module. */
@Module({
  imports: [
    MerchantsModule,
    TypeOrmModule.forFeature([OutgoingEvent, WebhookEndpoint, WebhookSecret, WebhookDelivery, WebhookAttempt]),
  ],
  controllers: [WebhookEndpointsController, WebhookDeliveriesController, EventsController],
  providers: [
    Deliverer,
    SigningSecrets,
    WebhookDeliveriesService,
    WebhookEndpointsService,
    {
      provide: WebhookTargets,
      inject: [Settings],
      useFactory: (settings: Settings) => new WebhookTargets(settings.webhookAllowLoopback),
    },
  ],
})
export class EventsModule {}
