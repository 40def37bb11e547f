import { Controller, Get, HttpCode, Param, Post, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentCaller, RequireRole } from '../access/access.decorators.js';
import type { Caller } from '../access/caller.js';
import type { Page } from '../common/http/paging.js';
import { CheckedBody, CheckedQuery } from '../common/http/validation.js';
import { Settings } from '../config/settings.js';
import { OrderActions } from './order-actions.js';
import { OrderView, orderView } from './order.view.js';
import { CreateOrderDto, ListOrdersQuery, RegisterOrderDto } from './orders.dto.js';
import { type OrderMade, OrdersService } from './orders.service.js';
import { ApiPage } from '../common/http/api-document.js';

/** Payment orders over REST (design.md 7 and 8). */
@ApiTags('orders')
@ApiBearerAuth()
@Controller('v1/orders')
export class OrdersController {
  constructor(
    private readonly orders: OrdersService,
    private readonly actions: OrderActions,
    private readonly settings: Settings,
  ) {}

  /** Makes an order and what wx.requestPayment takes: 201, or 200 for an exact repeat. */
  @Post()
  @RequireRole('operator')
  async create(
    @CurrentCaller() caller: Caller,
    @CheckedBody() body: CreateOrderDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrderView> {
    return this.made(await this.orders.create(caller, body), reply);
  }

  /** Takes in an order that was paid elsewhere: 201, or 200 for an exact repeat. */
  @Post('register')
  @RequireRole('operator')
  async register(
    @CurrentCaller() caller: Caller,
    @CheckedBody() body: RegisterOrderDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrderView> {
    return this.made(await this.orders.register(caller, body), reply);
  }

  /** A page of orders, newest first. */
  @Get()
  @ApiPage(OrderView)
  @RequireRole('viewer')
  list(@CurrentCaller() caller: Caller, @CheckedQuery() query: ListOrdersQuery): Promise<Page<OrderView>> {
    return this.actions.list(caller, query);
  }

  @Get(':id')
  @RequireRole('viewer')
  async get(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<OrderView> {
    return orderView(await this.orders.get(caller, id), this.settings);
  }

  /** Asks WeChat about the payment now. */
  @Post(':id/sync')
  @HttpCode(200)
  @RequireRole('operator')
  async sync(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<OrderView> {
    return orderView(await this.actions.sync(caller, id), this.settings);
  }

  /** Closes an unpaid order at WeChat. */
  @Post(':id/close')
  @HttpCode(200)
  @RequireRole('operator')
  async close(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<OrderView> {
    return orderView(await this.actions.close(caller, id), this.settings);
  }

  private made(made: OrderMade, reply: FastifyReply): OrderView {
    reply.code(made.created ? 201 : 200);
    return orderView(made.order, this.settings, made.payment);
  }
}
