import { Readable } from 'node:stream';
import { Controller, Get, HttpCode, Param, Post, Res, StreamableFile } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOkResponse, ApiProduces, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentCaller, RequireRole } from '../access/access.decorators.js';
import type { Caller } from '../access/caller.js';
import { AnswerLanguage, type Language } from '../common/http/language.js';
import type { Page } from '../common/http/paging.js';
import { CheckedBody, CheckedQuery } from '../common/http/validation.js';
import { AppError } from '../common/problem.js';
import { RefundActions } from './refund-actions.js';
import { RefundReads } from './refund-reads.js';
import { RefundRepair } from './refund-repair.js';
import { type RefundRow, RefundView, refundView } from './refund.view.js';
import {
  CancelRefundDto,
  CreateRefundDto,
  ExportRefundsQuery,
  ListRefundsQuery,
  RepairRefundDto,
  ResolveRefundDto,
} from './refunds.dto.js';
import { RefundsService } from './refunds.service.js';
import { CSV_HEAD, csvLines } from './refunds-csv.js';
import { Timeline, TimelineView } from './timeline.js';
import { ApiPage } from '../common/http/api-document.js';

const WAIT_MAX_SECONDS = 30;
const CSV_TYPE = 'text/csv; charset=utf-8';

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
    @CheckedBody() body: CreateRefundDto,
    @Res({ passthrough: true }) reply: FastifyReply,
    @AnswerLanguage() language: Language,
  ): Promise<RefundView> {
    assertItemsAddUp(body);
    const requested = await this.refunds.requestRefund(
      caller,
      body,
      idempotencyKeyOf(headerOf(reply, 'idempotency-key')),
    );
    reply.code(requested.replayed ? 200 : 201);
    if (requested.replayed) reply.header('Idempotent-Replayed', 'true');
    return refundView(await this.held(requested.refund, reply), language);
  }

  /** A page of refunds, newest first. */
  @Get()
  @ApiPage(RefundView)
  @RequireRole('viewer')
  list(
    @CurrentCaller() caller: Caller,
    @CheckedQuery() query: ListRefundsQuery,
    @AnswerLanguage() language: Language,
  ): Promise<Page<RefundView>> {
    return this.reads.list(caller, query, language);
  }

  /** The list as a CSV file, all of it, as it is read: amounts in yuan, formulas defused. One cut off has no end of its chunks. */
  @Get('export')
  @RequireRole('viewer')
  @ApiProduces('text/csv')
  @ApiOkResponse({ schema: { type: 'string' } })
  async export(
    @CurrentCaller() caller: Caller,
    @CheckedQuery() query: ExportRefundsQuery,
    @AnswerLanguage() language: Language,
  ): Promise<StreamableFile> {
    const pages = this.reads.pages(caller, query);
    // What is wrong with the request or the database is an answer, not half a file.
    const first = await pages.next();
    const lines = (rows: readonly RefundRow[]): string => csvLines(rows.map((row) => refundView(row, language)));
    async function* file(): AsyncGenerator<string, void> {
      yield CSV_HEAD + lines(first.value ?? []);
      for await (const rows of pages) yield lines(rows);
    }
    const disposition = 'attachment; filename="refunds.csv"';
    return new StreamableFile(Readable.from(file(), { highWaterMark: 1 }), { type: CSV_TYPE, disposition });
  }

  @Get(':id')
  @RequireRole('viewer')
  async get(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @AnswerLanguage() language: Language,
  ): Promise<RefundView> {
    return refundView(await this.reads.get(caller, id), language);
  }

  /** What happened to the refund, oldest first. */
  @Get(':id/timeline')
  @RequireRole('viewer')
  async getTimeline(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @AnswerLanguage() language: Language,
  ): Promise<TimelineView> {
    return { data: await this.timeline.of(caller, id, language) };
  }

  /** Asks WeChat now. */
  @Post(':id/sync')
  @HttpCode(200)
  @RequireRole('operator')
  async sync(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @AnswerLanguage() language: Language,
  ): Promise<RefundView> {
    return refundView(await this.actions.sync(caller, id), language);
  }

  /** Withdraws a refund that WeChat does not hold. */
  @Post(':id/cancel')
  @HttpCode(200)
  @RequireRole('operator')
  async cancel(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @CheckedBody() body: CancelRefundDto,
    @AnswerLanguage() language: Language,
  ): Promise<RefundView> {
    return refundView(await this.actions.cancel(caller, id, body.reason), language);
  }

  /** Sends again: 200, or 201 with the new refund that replaces a closed one. */
  @Post(':id/retry')
  @RequireRole('operator')
  @ApiOkResponse({ type: RefundView, description: 'The same refund, due now.' })
  async retry(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
    @AnswerLanguage() language: Language,
  ): Promise<RefundView> {
    const { refund, created } = await this.actions.retry(caller, id);
    reply.code(created ? 201 : 200);
    return refundView(refund, language);
  }

  /** Asks WeChat to pay an abnormal refund out in another way; v3 only. */
  @Post(':id/repair')
  @HttpCode(202)
  @RequireRole('operator')
  async repair(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @CheckedBody() body: RepairRefundDto,
    @AnswerLanguage() language: Language,
  ): Promise<RefundView> {
    return refundView(await this.repairs.repair(caller, id, body), language);
  }

  /** Decides a mismatch, after WeChat was asked once more. */
  @Post(':id/resolve')
  @HttpCode(200)
  @RequireRole('admin')
  async resolve(
    @CurrentCaller() caller: Caller,
    @Param('id') id: string,
    @CheckedBody() body: ResolveRefundDto,
    @AnswerLanguage() language: Language,
  ): Promise<RefundView> {
    return refundView(await this.actions.resolve(caller, id, body.outcome, body.reason), language);
  }

  private async held(refund: RefundRow, reply: FastifyReply): Promise<RefundRow> {
    const wait = /(?:^|[,;\s])wait=([0-9]{1,3})(?:$|[,;\s])/.exec(headerOf(reply, 'prefer') ?? '');
    if (!wait) return refund;
    const seconds = Math.min(Number(wait[1]), WAIT_MAX_SECONDS);
    reply.header('Preference-Applied', `wait=${seconds}`);
    return this.reads.waitFor(refund, seconds);
  }
}

/** A header of the request that is being answered. */
function headerOf(reply: FastifyReply, name: string): string | undefined {
  return reply.request.headers[name]?.toString();
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
