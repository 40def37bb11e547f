import { Controller, Delete, Get, HttpCode, Param, Patch, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, RequireRole } from '../access/access.decorators.js';
import type { Caller } from '../access/caller.js';
import type { Page } from '../common/http/paging.js';
import { CheckedBody, CheckedQuery } from '../common/http/validation.js';
import { endpointView, WebhookEndpointView, WebhookEndpointWithSecretView } from './endpoint.view.js';
import {
  CreateWebhookEndpointDto,
  ListEventsQuery,
  ListWebhookDeliveriesQuery,
  ListWebhookEndpointsQuery,
  UpdateWebhookEndpointDto,
} from './events.dto.js';
import { EventPayload } from './payload.js';
import { WebhookDeliveryView } from './delivery.view.js';
import { WebhookDeliveriesService } from './webhook-deliveries.service.js';
import { type EndpointWithSecret, WebhookEndpointsService } from './webhook-endpoints.service.js';
import { ApiPage } from '../common/http/api-document.js';

/** Who hears of events (design.md 9). */
@ApiTags('events')
@ApiBearerAuth()
@Controller('v1/webhook_endpoints')
export class WebhookEndpointsController {
  constructor(
    private readonly endpoints: WebhookEndpointsService,
    private readonly deliveries: WebhookDeliveriesService,
  ) {}

  /** Makes an endpoint; its signing secret is in this answer only. */
  @Post()
  @RequireRole('operator')
  async create(
    @CurrentCaller() caller: Caller,
    @CheckedBody() body: CreateWebhookEndpointDto,
  ): Promise<WebhookEndpointWithSecretView> {
    return withSecret(await this.endpoints.create(caller, body));
  }

  /** A page of endpoints, newest first. */
  @Get()
  @ApiPage(WebhookEndpointView)
  @RequireRole('operator')
  list(
    @CurrentCaller() caller: Caller,
    @CheckedQuery() query: ListWebhookEndpointsQuery,
  ): Promise<Page<WebhookEndpointView>> {
    return this.endpoints.list(caller, query);
  }

  @Get(':id')
  @RequireRole('operator')
  async get(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<WebhookEndpointView> {
    return endpointView(await this.endpoints.get(caller, id));
  }

  @Patch(':id')
  @RequireRole('operator')
  async update(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @CheckedBody() body: UpdateWebhookEndpointDto,
  ): Promise<WebhookEndpointView> {
    return endpointView(await this.endpoints.update(caller, id, body));
  }

  /** Nothing more is sent to it. */
  @Delete(':id')
  @HttpCode(204)
  @RequireRole('operator')
  remove(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<void> {
    return this.endpoints.remove(caller, id);
  }

  /** Makes another signing secret; both sign for 24 hours. */
  @Post(':id/rotate_secret')
  @HttpCode(200)
  @RequireRole('operator')
  async rotate(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<WebhookEndpointWithSecretView> {
    return withSecret(await this.endpoints.rotate(caller, id));
  }

  /** Sends it a test event; the delivery shows what came of it. */
  @Post(':id/test')
  @HttpCode(202)
  @RequireRole('operator')
  test(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<WebhookDeliveryView> {
    return this.deliveries.test(caller, id);
  }
}

/** The delivery log. */
@ApiTags('events')
@ApiBearerAuth()
@Controller('v1/webhook_deliveries')
export class WebhookDeliveriesController {
  constructor(private readonly deliveries: WebhookDeliveriesService) {}

  /** A page of deliveries with every try, newest first. */
  @Get()
  @ApiPage(WebhookDeliveryView)
  @RequireRole('operator')
  list(
    @CurrentCaller() caller: Caller,
    @CheckedQuery() query: ListWebhookDeliveriesQuery,
  ): Promise<Page<WebhookDeliveryView>> {
    return this.deliveries.list(caller, query);
  }

  /** Sends it again now, under the same webhook-id. */
  @Post(':id/resend')
  @HttpCode(202)
  @RequireRole('operator')
  resend(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<WebhookDeliveryView> {
    return this.deliveries.resend(caller, id);
  }
}

/** Every event, for those that missed some. */
@ApiTags('events')
@ApiBearerAuth()
@Controller('v1/events')
export class EventsController {
  constructor(private readonly deliveries: WebhookDeliveriesService) {}

  /** A page of events in the form they are sent in, newest first. */
  @Get()
  @ApiPage(EventPayload)
  @RequireRole('operator')
  list(@CurrentCaller() caller: Caller, @CheckedQuery() query: ListEventsQuery): Promise<Page<EventPayload>> {
    return this.deliveries.events(caller, query);
  }
}

function withSecret({ endpoint, secret }: EndpointWithSecret): WebhookEndpointWithSecretView {
  return { ...endpointView(endpoint), secret };
}
