import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsIn,
  IsString,
  Length,
  Matches,
} from 'class-validator';
import { ListQuery } from '../common/http/paging.js';
import { Optional } from '../common/http/validators.js';
import { APPID, MCH_ID } from '../common/wire-names.js';

export class CreateMerchantDto {
  @Matches(MCH_ID)
  mch_id: string;

  @IsString()
  @Length(1, 100)
  name: string;

  @IsIn(['v2', 'v3'])
  api_version: 'v2' | 'v3';

  @Optional()
  @IsIn(['HMAC-SHA256', 'MD5'])
  sign_type?: 'HMAC-SHA256' | 'MD5';

  /** What a V2 refund notice does: wake a confirming query, or book at once. */
  @Optional()
  @IsIn(['confirm', 'apply'])
  refund_notify?: 'confirm' | 'apply';
}

export class UpdateMerchantDto {
  @Optional()
  @IsString()
  @Length(1, 100)
  name?: string;

  @Optional()
  @IsBoolean()
  enabled?: boolean;

  @Optional()
  @IsIn(['v2', 'v3'])
  api_version?: 'v2' | 'v3';

  @Optional()
  @IsIn(['HMAC-SHA256', 'MD5'])
  sign_type?: 'HMAC-SHA256' | 'MD5';

  @Optional()
  @IsIn(['confirm', 'apply'])
  refund_notify?: 'confirm' | 'apply';
}

/** Write-only: no call gives any of these back. */
export class PutCredentialsDto {
  @Optional()
  @IsString()
  @Length(1, 100)
  api_v2_key?: string;

  @Optional()
  @IsString()
  @Length(1, 100)
  api_v3_key?: string;

  /** base64 of apiclient_cert.p12. */
  @Optional()
  @IsString()
  @Length(1, 60_000)
  client_certificate_p12?: string;

  /** The merchant number when left out, as WeChat hands it out. */
  @Optional()
  @IsString()
  @Length(0, 200)
  client_certificate_p12_password?: string;

  @Optional()
  @IsString()
  @Length(1, 20_000)
  client_certificate_pem?: string;

  @Optional()
  @IsString()
  @Length(1, 20_000)
  client_key_pem?: string;

  @Optional()
  @IsString()
  @Length(1, 100)
  wechatpay_public_key_id?: string;

  @Optional()
  @IsString()
  @Length(1, 20_000)
  wechatpay_public_key_pem?: string;
}

export class CreateMiniProgramDto {
  @Matches(APPID)
  appid: string;

  @IsString()
  @Length(1, 100)
  name: string;

  /** The merchants it may take payments for. */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(50)
  @ArrayUnique()
  @Matches(MCH_ID, { each: true })
  mch_ids: string[];
}

export class UpdateMiniProgramDto {
  @Optional()
  @IsString()
  @Length(1, 100)
  name?: string;

  @Optional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(50)
  @ArrayUnique()
  @Matches(MCH_ID, { each: true })
  mch_ids?: string[];
}

export class ListMerchantsQuery extends ListQuery {}
export class ListMiniProgramsQuery extends ListQuery {}
