import {
  Equals,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  MaxLength,
  Min,
} from 'class-validator';
import { entryOf } from '../../common/entry-of.js';
import { AMOUNT_MAX_FEN } from '../../common/fen.js';
import { readJsonBody } from '../../common/http/json-body.js';
import { keysOf, type MerchantAccount } from '../../merchants/merchant-account.js';
import type { ShownPayment } from '../../orders/order-gateway.port.js';
import type { ShownRefund } from '../../refunds/refund-gateway.port.js';
import { fits } from '../fits.js';
import { NoticeUnreadable } from '../notice-unreadable.js';
import type { OpenedPaymentNotice, OpenedRefundNotice } from '../opened-notice.js';
import { shownRefund, textOf, V3_REFUND_STATUS } from './answers.js';
import { shownTransaction } from './order-gateway.js';
import { openWithAny, sealedResource } from './resource.js';
import { OUT_REFUND_NO, WECHAT_NUMBER } from '../../common/wire-names.js';

/** event_type → the refund_status that must be inside. Source: WeChat Pay APIv3, "退款结果通知". */
const REFUND_EVENTS: Readonly<Record<string, string>> = {
  'REFUND.SUCCESS': 'SUCCESS',
  'REFUND.ABNORMAL': 'ABNORMAL',
  'REFUND.CLOSED': 'CLOSED',
};
const PAYMENT_EVENT = 'TRANSACTION.SUCCESS';

class SealedPart {
  @IsString()
  @Length(1, 64)
  original_type: string;

  @Equals('AEAD_AES_256_GCM')
  algorithm: string;

  @Matches(/^[0-9A-Za-z+/]+={0,2}$/)
  ciphertext: string;

  @IsString()
  @Length(12, 12)
  nonce: string;

  /** May be empty, or left out. */
  @IsOptional()
  @IsString()
  @MaxLength(16)
  associated_data?: string;
}

/** The outside of a v3 notice. */
export class NoticeEnvelope {
  @IsString()
  @Length(1, 64)
  id: string;

  @IsString()
  @Length(1, 64)
  event_type: string;

  @Equals('encrypt-resource')
  resource_type: string;

  @IsObject()
  resource: SealedPart;
}

class RefundNoticeAmount {
  @IsInt()
  @Min(1)
  @Max(AMOUNT_MAX_FEN)
  total: number;

  @IsInt()
  @Min(1)
  @Max(AMOUNT_MAX_FEN)
  refund: number;
}

/** The decrypted content of a v3 refund notice: only what decides is mandatory, other fields may come and go. */
export class RefundNoticeContent {
  @Matches(/^[0-9]{1,32}$/)
  mchid: string;

  @Matches(WECHAT_NUMBER)
  transaction_id: string;

  @Matches(/^[0-9A-Za-z_\-|*]{1,32}$/)
  out_trade_no: string;

  @Matches(WECHAT_NUMBER)
  refund_id: string;

  @Matches(OUT_REFUND_NO)
  out_refund_no: string;

  @IsIn(Object.keys(V3_REFUND_STATUS))
  refund_status: string;

  @IsObject()
  amount: RefundNoticeAmount;
}

/**
 * Opens a v3 refund notice whose signature has been verified over `raw`: envelope, decryption under the current and then the previous
 * APIv3 key, validated content, and an event_type that agrees with it. Throws {@link NoticeUnreadable}.
 */
export function openV3RefundNotice(raw: Buffer, account: MerchantAccount): OpenedRefundNotice {
  const { envelope, text, content } = opened(raw, account, 'refund');
  if (entryOf(REFUND_EVENTS, envelope.event_type) !== textOf(content, 'refund_status'))
    throw new NoticeUnreadable('events_disagree');
  return { version: 'v3', shown: shownByV3Notice(content, account.mchId), text, dedupeKey: envelope.id };
}

/** The refund that decrypted v3 content shows. Throws {@link NoticeUnreadable} for fields that are missing or not of their form. */
export function shownByV3Notice(content: unknown, mchId: string): ShownRefund {
  if (!fits(RefundNoticeContent, content) || !fits(RefundNoticeAmount, content.amount))
    throw new NoticeUnreadable('malformed');
  const shown = shownRefund(content, mchId, 'refund_status');
  if (!shown) throw new NoticeUnreadable('malformed');
  return shown;
}

/** Opens a v3 payment notice whose signature has been verified over `raw`. Throws {@link NoticeUnreadable}. */
export function openV3PaymentNotice(raw: Buffer, account: MerchantAccount): OpenedPaymentNotice {
  const { envelope, text, content } = opened(raw, account, 'transaction');
  const shown = shownByV3Payment(content);
  if (envelope.event_type !== PAYMENT_EVENT || shown.wechatStatus !== 'SUCCESS')
    throw new NoticeUnreadable('events_disagree');
  return { version: 'v3', shown, text, dedupeKey: envelope.id };
}

/** The payment that decrypted v3 content shows. Throws {@link NoticeUnreadable} when an id, the amount or the time is missing. */
export function shownByV3Payment(content: unknown): ShownPayment {
  const shown = shownTransaction(content);
  if (!shown || shown.totalFen === null || shown.paidAt === null || shown.transactionId === null)
    throw new NoticeUnreadable('malformed');
  return shown;
}

function opened(
  raw: Buffer,
  account: MerchantAccount,
  originalType: 'refund' | 'transaction',
): { envelope: NoticeEnvelope; text: string; content: unknown } {
  const body = json(raw);
  if (!fits(NoticeEnvelope, body) || !fits(SealedPart, body.resource)) throw new NoticeUnreadable('malformed');
  if (body.resource.original_type !== originalType) throw new NoticeUnreadable('wrong_kind');
  const text = openWithAny(keysOf(account.apiV3Key), sealedResource(body.resource));
  const content = json(Buffer.from(text));
  if (textOf(content, 'mchid') !== account.mchId) throw new NoticeUnreadable('wrong_merchant');
  return { envelope: body, text, content };
}

function json(bytes: Buffer): unknown {
  try {
    return readJsonBody(bytes);
  } catch (cause) {
    throw new NoticeUnreadable('malformed', { cause });
  }
}
