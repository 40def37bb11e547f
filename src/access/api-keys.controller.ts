import { Body, Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { ArrayMaxSize, ArrayMinSize, IsArray, IsIn, IsISO8601, IsString, Length, Matches } from 'class-validator';
import { Optional } from '../common/http/validators.js';
import { CurrentCaller, RequireRole } from './access.decorators.js';
import { ApiKeys, ApiKeyView, NewApiKeyView } from './api-keys.js';
import type { Caller } from './caller.js';
import { type Role, ROLES } from './caller.js';

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
  @Matches(/^[0-9A-Za-z_-]{1,32}$/, { each: true })
  appids?: string[];

  /** RFC 3339. */
  @Optional()
  @IsISO8601({ strict: true, strictSeparator: true })
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
  async list(): Promise<{ data: ApiKeyView[]; next_cursor: null }> {
    return { data: await this.keys.list(), next_cursor: null };
  }

  /** Kills a key everywhere within 5 seconds. */
  @Delete(':id')
  @HttpCode(204)
  @RequireRole('admin', { unscopedOnly: true })
  async remove(@Param('id') id: string): Promise<void> {
    await this.keys.revoke(id);
  }
}
