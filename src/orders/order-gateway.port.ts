import type { Fen } from '../common/fen.js';

/** The protocol of one call. */
export type ApiVersion = 'v2' | 'v3';

export interface PrepayRequest {
  /** gateway_call.id; its hex digits are the request's nonce. */
  readonly callId: string;
  readonly apiVersion: ApiVersion;
  readonly mchId: string;
  readonly appid: string;
  readonly outTradeNo: string;
  readonly amountFen: Fen;
  readonly description: string;
  readonly openid: string;
  readonly attach: string | null;
  readonly expiresAt: Date | null;
  readonly createdAt: Date;
  readonly payerClientIp: string | null;
}

interface AnswerFacts {
  readonly code: string | null;
  /** WeChat's text or the cause of the failure; never a secret. */
  readonly message: string | null;
  /** The parsed answer without sign, for gateway_call. */
  readonly fields: Readonly<Record<string, string>> | null;
  readonly durationMs: number;
}

/** What a call that cannot be made for lack of credentials came to. */
export const CREDENTIALS_MISSING = {
  outcome: 'refused',
  code: 'credentials_missing',
  message: 'the merchant lacks the credentials its protocol needs',
  fields: null,
  durationMs: 0,
} as const;

/** `unavailable` covers every answer that proves nothing: lost, unsigned, not parsable, SYSTEMERROR. */
export interface PrepayAnswer extends AnswerFacts {
  readonly outcome: 'prepaid' | 'paid' | 'closed' | 'refused' | 'unavailable';
  readonly prepaid: Prepaid | null;
}

/** A payment as WeChat shows it in a verified answer or notice; compared with our row where the row is locked. */
export interface ShownPayment {
  /** paid stands for trade_state SUCCESS and REFUND. */
  readonly status: 'paid' | 'unpaid' | 'closed';
  /** True for trade_state REFUND: at least one refund exists, perhaps not one of ours. */
  readonly refunded: boolean;
  readonly mchId: string;
  readonly appid: string | null;
  readonly outTradeNo: string;
  readonly transactionId: string | null;
  /** Null while unpaid, where WeChat may leave it out. */
  readonly totalFen: Fen | null;
  /** RFC 3339 with offset; only when paid. */
  readonly paidAt: string | null;
  readonly wechatStatus: string;
}

export interface OrderQueryAnswer extends AnswerFacts {
  readonly outcome: 'shown' | 'not_found' | 'refused' | 'unavailable';
  readonly shown: ShownPayment | null;
}

export interface OrderCloseAnswer extends AnswerFacts {
  readonly outcome: 'closed' | 'paid' | 'not_found' | 'refused' | 'unavailable';
}

export interface OrderQuery {
  readonly callId: string;
  readonly apiVersion: ApiVersion;
  readonly mchId: string;
  readonly appid: string;
  readonly outTradeNo: string;
}

/** A prepay_id with the kind of signature it was asked for: requestPayment must be signed with the same. RSA stands for v3. */
export interface Prepaid {
  readonly prepayId: string;
  readonly signType: 'MD5' | 'HMAC-SHA256' | 'RSA';
}

/** A prepay_id to be signed for its mini-program. */
export interface PrepaidOrder extends Prepaid {
  readonly mchId: string;
  readonly appid: string;
}

/** What wx.requestPayment takes, under WeChat's own names. */
export interface PaymentParameters {
  readonly timeStamp: string;
  readonly nonceStr: string;
  readonly package: string;
  readonly signType: string;
  readonly paySign: string;
}

/**
 * The way to WeChat for payment orders, owned by this module and implemented by wechat-pay.
 * No method throws for what WeChat or the network does; no method may be called inside a transaction.
 * A merchant without the credentials its protocol needs: `refused` with the code credentials_missing; from signPayment AppError.
 */
export interface OrderGateway {
  /** unifiedorder (V2) or JSAPI prepay (v3). */
  prepay(request: PrepayRequest): Promise<PrepayAnswer>;
  /** Signs a prepay_id for the mini-program; no call to WeChat. */
  signPayment(order: PrepaidOrder): Promise<PaymentParameters>;
  query(request: OrderQuery): Promise<OrderQueryAnswer>;
  close(request: OrderQuery): Promise<OrderCloseAnswer>;
}

/** Injection token of the {@link OrderGateway}. */
export const ORDER_GATEWAY = Symbol('OrderGateway');
