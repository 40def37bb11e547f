import { IsBoolean, IsInt, IsIP, IsString, Length, Matches, Max, Min } from 'class-validator';
import { AMOUNT_MAX_FEN } from '../common/fen.js';
import { AmountListQuery } from '../common/http/paging.js';
import { IsMetadata, IsTime, Optional } from '../common/http/validators.js';
import { APPID, MCH_ID, OPENID, OUT_TRADE_NO, WECHAT_NUMBER } from '../common/wire-names.js';

export class CreateOrderDto {
  @Matches(APPID)
  appid: string;

  /** Left out: the one merchant the mini-program is bound to. */
  @Optional()
  @Matches(MCH_ID)
  mch_id?: string;

  /** Your own number; left out: one is made. */
  @Optional()
  @Matches(OUT_TRADE_NO)
  out_trade_no?: string;

  /** Fen. */
  @IsInt()
  @Min(1)
  @Max(AMOUNT_MAX_FEN)
  amount: number;

  /** Shown to the payer. */
  @IsString()
  @Length(1, 127)
  description: string;

  /** The payer under appid. */
  @Matches(OPENID)
  openid: string;

  @Optional()
  @IsString()
  @Length(1, 127)
  attach?: string;

  /** RFC 3339; at least 5 minutes ahead. */
  @Optional()
  @IsTime()
  expires_at?: string;

  @Optional()
  @IsIP()
  payer_client_ip?: string;

  @Optional()
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class RegisterOrderDto {
  @Matches(APPID)
  appid: string;

  @Optional()
  @Matches(MCH_ID)
  mch_id?: string;

  @Matches(OUT_TRADE_NO)
  out_trade_no: string;

  @Optional()
  @Matches(WECHAT_NUMBER)
  transaction_id?: string;

  /** Fen: what was paid. */
  @IsInt()
  @Min(1)
  @Max(AMOUNT_MAX_FEN)
  amount: number;

  /** RFC 3339; needed with verify=false. */
  @Optional()
  @IsTime()
  paid_at?: string;

  /** true: WeChat is asked; false: taken as given, admins only. */
  @Optional()
  @IsBoolean()
  verify?: boolean;

  @Optional()
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class ListOrdersQuery extends AmountListQuery {
  @Optional()
  @Matches(MCH_ID)
  mch_id?: string;

  @Optional()
  @Matches(APPID)
  appid?: string;

  @Optional()
  @Matches(OUT_TRADE_NO)
  out_trade_no?: string;

  @Optional()
  @Matches(WECHAT_NUMBER)
  transaction_id?: string;

  /** Comma list of created, paid, closed. */
  @Optional()
  @Matches(/^(created|paid|closed)(,(created|paid|closed))*$/)
  status?: string;
}
