import { Controller, Get, HttpCode, Param, Patch, Post, Put } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, RequireRole } from '../access/access.decorators.js';
import { type Caller, seesApp } from '../access/caller.js';
import type { Page } from '../common/http/paging.js';
import { CheckedBody, CheckedQuery } from '../common/http/validation.js';
import { AppError } from '../common/problem.js';
import { type CredentialView, MerchantView } from './merchant.view.js';
import {
  CreateMerchantDto,
  CreateMiniProgramDto,
  ListMerchantsQuery,
  ListMiniProgramsQuery,
  PutCredentialsDto,
  UpdateMerchantDto,
  UpdateMiniProgramDto,
} from './merchants.dto.js';
import { MerchantsService } from './merchants.service.js';
import { MiniProgramView } from './mini-program.view.js';
import { MiniProgramsService } from './mini-programs.service.js';
import type { CheckResultsView } from './check-result.view.js';
import { ApiPage } from '../common/http/api-document.js';

/** Merchants over REST; keys bound to apps may not see them. */
@ApiTags('merchants')
@ApiBearerAuth()
@Controller('v1/merchants')
export class MerchantsController {
  constructor(private readonly merchants: MerchantsService) {}

  @Post()
  @RequireRole('admin', { unscopedOnly: true })
  create(@CurrentCaller() caller: Caller, @CheckedBody() body: CreateMerchantDto): Promise<MerchantView> {
    return this.merchants.create(caller, body);
  }

  @Get()
  @ApiPage(MerchantView)
  @RequireRole('viewer', { unscopedOnly: true })
  list(@CheckedQuery() query: ListMerchantsQuery): Promise<Page<MerchantView>> {
    return this.merchants.list(query);
  }

  @Get(':mch_id')
  @RequireRole('viewer', { unscopedOnly: true })
  get(@Param('mch_id') mchId: string): Promise<MerchantView> {
    return this.merchants.get(mchId);
  }

  @Patch(':mch_id')
  @RequireRole('admin', { unscopedOnly: true })
  update(
    @CurrentCaller() caller: Caller,
    @Param('mch_id') mchId: string,
    @CheckedBody() body: UpdateMerchantDto,
  ): Promise<MerchantView> {
    return this.merchants.update(caller, mchId, body);
  }

  /** Write-only: only the kinds named are replaced. */
  @Put(':mch_id/credentials')
  @RequireRole('admin', { unscopedOnly: true })
  putCredentials(
    @CurrentCaller() caller: Caller,
    @Param('mch_id') mchId: string,
    @CheckedBody() body: PutCredentialsDto,
  ): Promise<CredentialView[]> {
    return this.merchants.putCredentials(caller, mchId, body);
  }

  /** Tries the credentials at WeChat without moving money. */
  @Post(':mch_id/check')
  @HttpCode(200)
  @RequireRole('admin', { unscopedOnly: true })
  async check(@CurrentCaller() caller: Caller, @Param('mch_id') mchId: string): Promise<CheckResultsView> {
    const results = await this.merchants.check(caller, mchId);
    return {
      results: results.map(({ kind, result, wechatCode, message }) => ({
        kind,
        result,
        ...(wechatCode !== null && { wechat_code: wechatCode }),
        message,
      })),
    };
  }
}

/** Mini-programs over REST. */
@ApiTags('mini-programs')
@ApiBearerAuth()
@Controller('v1/mini_programs')
export class MiniProgramsController {
  constructor(private readonly miniPrograms: MiniProgramsService) {}

  @Post()
  @RequireRole('admin', { unscopedOnly: true })
  create(@CurrentCaller() caller: Caller, @CheckedBody() body: CreateMiniProgramDto): Promise<MiniProgramView> {
    return this.miniPrograms.create(caller, body);
  }

  @Get()
  @ApiPage(MiniProgramView)
  @RequireRole('viewer')
  list(@CurrentCaller() caller: Caller, @CheckedQuery() query: ListMiniProgramsQuery): Promise<Page<MiniProgramView>> {
    return this.miniPrograms.list(query, caller.appids);
  }

  @Get(':appid')
  @RequireRole('viewer')
  get(@CurrentCaller() caller: Caller, @Param('appid') appid: string): Promise<MiniProgramView> {
    if (!seesApp(caller, appid)) throw new AppError('mini_program_not_found', `There is no mini-program ${appid}.`);
    return this.miniPrograms.get(appid);
  }

  @Patch(':appid')
  @RequireRole('admin', { unscopedOnly: true })
  update(
    @CurrentCaller() caller: Caller,
    @Param('appid') appid: string,
    @CheckedBody() body: UpdateMiniProgramDto,
  ): Promise<MiniProgramView> {
    return this.miniPrograms.update(caller, appid, body);
  }
}
