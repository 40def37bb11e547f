import { Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { ListQuery, type Page } from '../common/http/paging.js';
import { CheckedBody, CheckedQuery } from '../common/http/validation.js';
import { CurrentCaller, RequireRole } from './access.decorators.js';
import { ApiKeyView, NewApiKeyView } from './api-key.view.js';
import { CreateApiKeyDto } from './api-keys.dto.js';
import { ApiKeys } from './api-keys.js';
import type { Caller } from './caller.js';
import { ApiPage } from '../common/http/api-document.js';

/** API keys over REST. */
@ApiTags('api keys')
@ApiBearerAuth()
@Controller('v1/api_keys')
export class ApiKeysController {
  constructor(private readonly keys: ApiKeys) {}

  /** Makes a key; its text is in this answer only. */
  @Post()
  @RequireRole('admin', { unscopedOnly: true })
  create(@CurrentCaller() caller: Caller, @CheckedBody() body: CreateApiKeyDto): Promise<NewApiKeyView> {
    return this.keys.create(caller, body);
  }

  @Get()
  @ApiPage(ApiKeyView)
  @RequireRole('admin', { unscopedOnly: true })
  list(@CheckedQuery() query: ListQuery): Promise<Page<ApiKeyView>> {
    return this.keys.list(query);
  }

  /** Kills a key everywhere within 5 seconds. */
  @Delete(':id')
  @HttpCode(204)
  @RequireRole('admin', { unscopedOnly: true })
  async remove(@CurrentCaller() caller: Caller, @Param('id') id: string): Promise<void> {
    await this.keys.revoke(caller, id);
  }
}
