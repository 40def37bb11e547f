import { Body, Controller, Get, Headers, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentCaller, RequireRole } from '../access/access.decorators.js';
import type { Caller } from '../access/caller.js';
import type { Page } from '../common/http/paging.js';
import { AppError } from '../common/problem.js';
import { RefundActions } from './refund-actions.js';
import { RefundReads } from './refund-reads.js';
import { RefundRepair } from './refund-repair.js';
import { type RefundRow, RefundView, refundView } from './refund.view.js';
import {
  CancelRefundDto,
  CreateRefundDto,
  ListRefundsQuery,
  RepairRefundDto,
  ResolveRefundDto,
} from './refunds.dto.js';
import { RefundsService } from './refunds.service.js';
import { Timeline, type TimelineEntry } from './timeline.js';
import { ApiPage } from '../common/http/api-document.js';

const WAIT_MAX_SECONDS = 30;

/** Refunds over REST (design.md 8). */
@ApiTags('refunds')
@ApiBearerAuth()
@Controller('v1/refunds')
export class RefundsController {
  constructor(
    private readonly refunds: RefundsService,
    private readonly reads: RefundReads,
    private readonly actions: RefundActions,
    private readonly repairs: RefundRepair,
    private readonly timeline: Timeline,
  ) {}

  /** Asks for a refund: 201 with the new one, 200 with the first one for an exact repeat. */
  @Post()
  @RequireRole('operator')
  @ApiOkResponse({ type: RefundView, description: 'An exact repeat: the first refund, as it is now.' })
  @ApiHeader({ name: 'Idempotency-Key', required: false })
  @ApiHeader({ name: 'Prefer', required: false, description: 'wait=N holds the answer up to N ≤ 30 seconds' })
  async create(
    @CurrentCaller() caller: Caller,
    @Body() body: CreateRefundDto,
    @Headers() headers: Record<string, string | undefined>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RefundView> {
    assertItemsAddUp(body);
    const requested = await this.refunds.requestRefund(caller, body, idempotencyKeyOf(headers['idempotency-key']));
    reply.code(requested.replayed ? 200 : 201);
    if (requested.replayed) reply.header('Idempotent-Replayed', 'true');
    return refundView(await this.held(requested.refund, headers['prefer'], reply));
  }

  /** A page of refunds, newest first. */
  @Get()
  @ApiPage(RefundView)
  @RequireRole('viewer')
  list(@CurrentCaller() caller: Caller, @Query() query: ListRefundsQuery): Promise<Page<RefundView>> {
    return this.reads.list(caller, query);
  }

  @Get(':id')
  @RequireRole('viewer')
  async get(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<RefundView> {
    return refundView(await this.reads.get(caller, id));
  }

  /** What happened to the refund, oldest first. */
  @Get(':id/timeline')
  @RequireRole('viewer')
  async getTimeline(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<{ data: TimelineEntry[] }> {
    return { data: await this.timeline.of(caller, id) };
  }

  /** Asks WeChat now. */
  @Post(':id/sync')
  @HttpCode(200)
  @RequireRole('operator')
  async sync(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<RefundView> {
    return refundView(await this.actions.sync(caller, id));
  }

  /** Withdraws a refund that WeChat does not hold. */
  @Post(':id/cancel')
  @HttpCode(200)
  @RequireRole('operator')
  async cancel(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @Body() body: CancelRefundDto,
  ): Promise<RefundView> {
    return refundView(await this.actions.cancel(caller, id, body.reason));
  }

  /** Sends again: 200, or 201 with the new refund that replaces a closed one. */
  @Post(':id/retry')
  @RequireRole('operator')
  @ApiOkResponse({ type: RefundView, description: 'The same refund, due now.' })
  async retry(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<RefundView> {
    const { refund, created } = await this.actions.retry(caller, id);
    reply.code(created ? 201 : 200);
    return refundView(refund);
  }

  /** Asks WeChat to pay an abnormal refund out in another way; v3 only. */
  @Post(':id/repair')
  @HttpCode(202)
  @RequireRole('operator')
  async repair(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @Body() body: RepairRefundDto,
  ): Promise<RefundView> {
    return refundView(await this.repairs.repair(caller, id, body));
  }

  /** Decides a mismatch, after WeChat was asked once more. */
  @Post(':id/resolve')
  @HttpCode(200)
  @RequireRole('admin')
  async resolve(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @Body() body: ResolveRefundDto,
  ): Promise<RefundView> {
    return refundView(await this.actions.resolve(caller, id, body.outcome, body.reason));
  }

  private async held(refund: RefundRow, prefer: string | undefined, reply: FastifyReply): Promise<RefundRow> {
    const wait = /(?:^|[,;\s])wait=([0-9]{1,3})(?:$|[,;\s])/.exec(prefer ?? '');
    if (!wait) return refund;
    const seconds = Math.min(Number(wait[1]), WAIT_MAX_SECONDS);
    reply.header('Preference-Applied', `wait=${seconds}`);
    return this.reads.waitFor(refund, seconds);
  }
}

function idempotencyKeyOf(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (/^[\x20-\x7e]{1,255}$/.test(header)) return header;
  throw new AppError('validation_failed', 'Idempotency-Key must be 1 to 255 printable ASCII characters.', {
    errors: [{ field: 'Idempotency-Key', message: 'must be 1 to 255 printable ASCII characters' }],
  });
}

function assertItemsAddUp(body: CreateRefundDto): void {
  if (body.items === undefined || body.amount === undefined) return;
  const sumFen = body.items.reduce((sum, item) => sum + item.amount, 0);
  if (sumFen === body.amount) return;
  throw new AppError('validation_failed', `The items add up to ${sumFen} fen, not to amount.`, {
    errors: [{ field: 'items', message: 'must add up to amount' }],
  });
}
