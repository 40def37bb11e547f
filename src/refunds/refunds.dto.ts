import { OmitType } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsIn,
  IsInt,
  IsString,
  Length,
  Matches,
  Max,
  MaxLength,
  Min,
  MinLength,
  ValidateNested,
} from 'class-validator';
import { AMOUNT_MAX_FEN } from '../common/fen.js';
import { IsMetadata, Optional } from '../common/http/validators.js';
import { AmountListQuery } from '../common/http/paging.js';
import { APPID, MCH_ID, OUT_REFUND_NO, OUT_TRADE_NO, WECHAT_NUMBER } from '../common/wire-names.js';

export class RefundItemDto {
  /** Your own order line or product number; never sent to WeChat. */
  @IsString()
  @Length(1, 64)
  ref: string;

  /** Fen. */
  @IsInt()
  @Min(1)
  @Max(AMOUNT_MAX_FEN)
  amount: number;

  @Optional()
  @IsInt()
  @Min(1)
  @Max(1_000_000)
  quantity?: number;
}

export class CreateRefundDto {
  /** The order's id; exactly one of order, out_trade_no and transaction_id. */
  @Optional()
  @Matches(/^ord_[0-9a-f]{32}$/)
  order?: string;

  @Optional()
  @Matches(OUT_TRADE_NO)
  out_trade_no?: string;

  @Optional()
  @Matches(WECHAT_NUMBER)
  transaction_id?: string;

  /** Narrows the search when two merchants have such an order. */
  @Optional()
  @Matches(MCH_ID)
  mch_id?: string;

  @Optional()
  @Matches(APPID)
  appid?: string;

  /** Fen; left out: all that can still be refunded. */
  @Optional()
  @IsInt()
  @Min(1)
  @Max(AMOUNT_MAX_FEN)
  amount?: number;

  /** Your own number of this refund; a repeat with it never refunds twice. Left out: the refund's id. */
  @Optional()
  @Matches(OUT_REFUND_NO)
  out_refund_no?: string;

  /** The payer sees it. */
  @Optional()
  @IsString()
  @Length(1, 80)
  reason?: string;

  /** For your own books; add up to amount when it is given. */
  @Optional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(100)
  @ValidateNested({ each: true })
  @Type(() => RefundItemDto)
  items?: RefundItemDto[];

  /** AVAILABLE: from the available balance instead of unsettled money. */
  @Optional()
  @IsIn(['AVAILABLE'])
  funds_account?: 'AVAILABLE';

  /** For operators; WeChat and the payer never see it. */
  @Optional()
  @IsString()
  @MaxLength(500)
  note?: string;

  @Optional()
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class CancelRefundDto {
  @Optional()
  @IsString()
  @Length(1, 500)
  reason?: string;
}

export class ResolveRefundDto {
  @IsIn(['succeeded', 'closed', 'rejected'])
  outcome: 'succeeded' | 'closed' | 'rejected';

  /** Why a person decided so; kept in the history. */
  @IsString()
  @MinLength(10)
  @MaxLength(500)
  reason: string;
}

/** The debit cards WeChat pays abnormal refunds to. Source: WeChat Pay APIv3, "发起异常退款". */
const BANK_TYPES = [
  'CMB_DEBIT',
  'COMM_DEBIT',
  'ABC_DEBIT',
  'CCB_DEBIT',
  'ICBC_DEBIT',
  'BOC_DEBIT',
  'PAB_DEBIT',
  'SPDB_DEBIT',
  'CITIC_DEBIT',
  'CEB_DEBIT',
  'CMBC_DEBIT',
  'CIB_DEBIT',
  'GDB_DEBIT',
  'PSBC_DEBIT',
  'NBCB_DEBIT',
];

/** The card's fields are handed to WeChat encrypted, and neither stored nor logged. */
export class RepairRefundDto {
  @IsIn(['MERCHANT_BANK_CARD', 'USER_BANK_CARD'])
  type: 'MERCHANT_BANK_CARD' | 'USER_BANK_CARD';

  @Optional()
  @IsIn(BANK_TYPES)
  bank_type?: string;

  @Optional()
  @Matches(MCH_ID)
  bank_account?: string;

  @Optional()
  @IsString()
  @Length(1, 64)
  real_name?: string;
}

export class ListRefundsQuery extends AmountListQuery {
  @Optional()
  @Matches(MCH_ID)
  mch_id?: string;

  @Optional()
  @Matches(APPID)
  appid?: string;

  @Optional()
  @Matches(/^ord_[0-9a-f]{32}$/)
  order?: string;

  @Optional()
  @Matches(OUT_TRADE_NO)
  out_trade_no?: string;

  @Optional()
  @Matches(OUT_REFUND_NO)
  out_refund_no?: string;

  @Optional()
  @Matches(WECHAT_NUMBER)
  refund_id?: string;

  /** Comma list of public statuses. */
  @Optional()
  @Matches(/^[a-z_]+(,[a-z_]+)*$/)
  status?: string;

  /** Comma list of states. */
  @Optional()
  @Matches(/^[a-z_]+(,[a-z_]+)*$/)
  state?: string;
}

/** The list's filters, without its pages. */
export class ExportRefundsQuery extends OmitType(ListRefundsQuery, ['limit', 'cursor'] as const) {}
