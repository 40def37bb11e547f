import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { ArrayMaxSize, ArrayMinSize, IsArray, IsIn, IsString, Length, Matches } from 'class-validator';
import { ListQuery, type Page } from '../common/http/paging.js';
import { IsTime, Optional } from '../common/http/validators.js';
import { CurrentCaller, RequireRole } from './access.decorators.js';
import { ApiKeys, ApiKeyView, NewApiKeyView } from './api-keys.js';
import type { Caller } from './caller.js';
import { type Role, ROLES } from './caller.js';
import { APPID } from '../common/wire-names.js';

export class CreateApiKeyDto {
  @IsString()
  @Length(1, 100)
  name: string;

  @IsIn([...ROLES])
  role: Role;

  /** Binds the key to these mini-programs: it sees and changes only what belongs to them. */
  @Optional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(100)
  @Matches(APPID, { each: true })
  appids?: string[];

  /** RFC 3339. */
  @Optional()
  @IsTime()
  expires_at?: string;
}

/** API keys over REST. */
@ApiTags('api keys')
@ApiBearerAuth()
@Controller('v1/api_keys')
export class ApiKeysController {
  constructor(private readonly keys: ApiKeys) {}

  /** Makes a key; its text is in this answer only. */
  @Post()
  @RequireRole('admin', { unscopedOnly: true })
  create(@CurrentCaller() caller: Caller, @Body() body: CreateApiKeyDto): Promise<NewApiKeyView> {
    return this.keys.create(caller, body);
  }

  @Get()
  @RequireRole('admin', { unscopedOnly: true })
  list(@Query() query: ListQuery): Promise<Page<ApiKeyView>> {
    return this.keys.list(query);
  }

  /** Kills a key everywhere within 5 seconds. */
  @Delete(':id')
  @HttpCode(204)
  @RequireRole('admin', { unscopedOnly: true })
  async remove(@Param('id') id: string): Promise<void> {
    await this.keys.revoke(id);
  }
}
