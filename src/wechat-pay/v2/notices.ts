import { hash } from 'node:crypto';
import { Equals, IsIn, IsOptional, Matches } from 'class-validator';
import { fenFromText } from '../../common/fen.js';
import type { Secret } from '../../common/secret.js';
import { keysOf, type KeyInTime, type MerchantAccount } from '../../merchants/merchant-account.js';
import type { ShownPayment } from '../../orders/order-gateway.port.js';
import type { ShownRefund, ShownStatus } from '../../refunds/refund-gateway.port.js';
import { fits } from '../fits.js';
import { NoticeUnreadable } from '../notice-unreadable.js';
import type { OpenedPaymentNotice, OpenedRefundNotice } from '../opened-notice.js';
import { openReqInfo } from './req-info.js';
import { type Fields, signTypeOf, verifies } from './signature.js';
import { fromBeijing } from './times.js';
import { readXml } from './xml.js';
import { APPID, OUT_REFUND_NO, WECHAT_NUMBER } from '../../common/wire-names.js';

const FEN = /^(0|[1-9][0-9]{0,12})$/;

/** WeChat's words for a refund, in notices and queries; FAIL only in old documents. */
export const V2_REFUND_STATUS: Readonly<Record<string, ShownStatus>> = {
  SUCCESS: 'succeeded',
  PROCESSING: 'accepted',
  CHANGE: 'abnormal',
  REFUNDCLOSE: 'closed',
  FAIL: 'closed',
};

/** The decrypted req_info of a refund notice: only what decides is mandatory, other fields may come and go. */
export class RefundNoticeFields {
  @Matches(WECHAT_NUMBER)
  transaction_id: string;

  @Matches(/^[0-9A-Za-z_\-|*]{1,32}$/)
  out_trade_no: string;

  @Matches(WECHAT_NUMBER)
  refund_id: string;

  @Matches(OUT_REFUND_NO)
  out_refund_no: string;

  @Matches(FEN)
  total_fee: string;

  @Matches(FEN)
  refund_fee: string;

  @IsIn(Object.keys(V2_REFUND_STATUS))
  refund_status: string;

  @IsOptional()
  @Matches(/^.{0,200}$/s)
  success_time?: string;

  /** WeChat's spelling. */
  @IsOptional()
  @Matches(/^.{0,200}$/s)
  refund_recv_accout?: string;
}

/** The signed fields of a payment notice: only what decides is mandatory. */
export class PaymentNoticeFields {
  @Equals('SUCCESS')
  return_code: string;

  @Equals('SUCCESS')
  result_code: string;

  @Matches(APPID)
  appid: string;

  @Matches(/^[0-9A-Za-z_\-|*]{1,32}$/)
  out_trade_no: string;

  @Matches(WECHAT_NUMBER)
  transaction_id: string;

  @Matches(FEN)
  total_fee: string;

  @Matches(/^[0-9]{14}$/)
  time_end: string;
}

/**
 * Opens a V2 refund notice of `account`: outer ids, req_info under the current and then the previous key, strict XML, validated
 * fields. It proves only that somebody holds the key or has seen notices. Throws {@link NoticeUnreadable}.
 */
export function openV2RefundNotice(raw: Buffer, account: MerchantAccount): OpenedRefundNotice {
  const outer = outerOf(raw, account);
  const reqInfo = outer.get('req_info');
  if (reqInfo === undefined) throw new NoticeUnreadable('wrong_kind');
  if (outer.get('return_code') !== 'SUCCESS') throw new NoticeUnreadable('malformed');
  const { bytes, fields } = firstThat(account.apiV2Key, 'not_decryptable', (key) => {
    const opened = openReqInfo(reqInfo, key.reveal());
    return { bytes: opened, fields: readXml(opened, { root: 'root' }) };
  });
  const appid = outer.get('appid');
  if (appid === undefined) throw new NoticeUnreadable('malformed');
  const shown = shownByNotice(fields, account.mchId, appid);
  return { version: 'v2', shown, text: bytes.toString('utf8'), dedupeKey: sha256(bytes) };
}

/** The refund that decrypted notice fields show. Throws {@link NoticeUnreadable} for fields that are missing or not of their form. */
export function shownByNotice(fields: Fields, mchId: string, appid: string | null): ShownRefund {
  const notice: unknown = Object.fromEntries(fields);
  if (!fits(RefundNoticeFields, notice)) throw new NoticeUnreadable('malformed');
  const status = V2_REFUND_STATUS[notice.refund_status] ?? 'accepted';
  return {
    status,
    mchId,
    appid,
    outTradeNo: notice.out_trade_no,
    transactionId: notice.transaction_id,
    outRefundNo: notice.out_refund_no,
    refundId: notice.refund_id,
    refundFen: Number(notice.refund_fee),
    totalFen: Number(notice.total_fee),
    userReceivedAccount: notice.refund_recv_accout ?? null,
    succeededAt: status === 'succeeded' ? fromBeijing(notice.success_time) : null,
    wechatStatus: notice.refund_status,
  };
}

/** Opens a V2 payment notice: outer ids and the signature under the current and then the previous key. Throws {@link NoticeUnreadable}. */
export function openV2PaymentNotice(raw: Buffer, account: MerchantAccount): OpenedPaymentNotice {
  const fields = outerOf(raw, account);
  if (fields.has('req_info')) throw new NoticeUnreadable('wrong_kind');
  firstThat(account.apiV2Key, 'bad_signature', (key) => {
    if (!verifies(fields, key.reveal(), signTypeOf(fields))) throw new Error('another signature');
  });
  if (!fits(PaymentNoticeFields, Object.fromEntries(fields))) throw new NoticeUnreadable('malformed');
  const shown = shownPayment(fields, 'paid', false, 'SUCCESS');
  if (shown.paidAt === null) throw new NoticeUnreadable('malformed');
  return {
    version: 'v2',
    shown,
    text: raw.toString('utf8'),
    dedupeKey: sha256(Buffer.from(sameInEveryDelivery(fields))),
  };
}

/** A repeated delivery may carry a fresh nonce, and so a fresh sign. */
function sameInEveryDelivery(fields: Fields): string {
  const lasting = [...fields].filter(([name]) => name !== 'nonce_str' && name !== 'sign');
  return JSON.stringify(lasting.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The payment that signed fields show, in notices and order queries alike. */
export function shownPayment(
  fields: Fields,
  status: ShownPayment['status'],
  refunded: boolean,
  wechatStatus: string,
): ShownPayment {
  const paid = status === 'paid';
  return {
    status,
    refunded,
    mchId: fields.get('mch_id') ?? '',
    appid: fields.get('appid') ?? null,
    outTradeNo: fields.get('out_trade_no') ?? '',
    transactionId: paid ? (fields.get('transaction_id') ?? null) : null,
    totalFen: fenFromText(fields.get('total_fee')),
    paidAt: paid ? fromBeijing(fields.get('time_end')) : null,
    wechatStatus,
  };
}

function outerOf(raw: Buffer, account: MerchantAccount): Fields {
  let outer: Fields;
  try {
    outer = readXml(raw, { root: 'xml' });
  } catch (cause) {
    throw new NoticeUnreadable('malformed', { cause });
  }
  if (outer.get('mch_id') !== account.mchId) throw new NoticeUnreadable('wrong_merchant');
  return outer;
}

/** What `attempt` gives with the current key, else with one of the previous. */
function firstThat<T>(
  keys: KeyInTime | null,
  reason: 'not_decryptable' | 'bad_signature',
  attempt: (key: Secret) => T,
): T {
  if (!keys) throw new NoticeUnreadable('no_key');
  for (const key of keysOf(keys)) {
    try {
      return attempt(key);
    } catch {
      continue;
    }
  }
  throw new NoticeUnreadable(reason);
}

function sha256(bytes: Buffer): string {
  return hash('sha256', bytes, 'hex');
}
