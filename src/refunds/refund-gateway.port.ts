import type { Fen } from '../common/fen.js';
import type { Secret } from '../common/secret.js';

/** The protocol of one call. A refund stays on the protocol of its first send. */
export type ApiVersion = 'v2' | 'v3';

/** What WeChat's signed word about a refund proves (design.md 3). */
export type ShownStatus = 'accepted' | 'succeeded' | 'closed' | 'abnormal';

/**
 * A refund as WeChat shows it in a verified answer, query or notice: facts only, compared with our row where the row is locked.
 * `refundId` is null only where the source does not carry it.
 */
export interface ShownRefund {
  readonly status: ShownStatus;
  readonly mchId: string;
  /** Null where the protocol does not carry it (v3). */
  readonly appid: string | null;
  readonly outTradeNo: string;
  readonly transactionId: string | null;
  readonly outRefundNo: string;
  readonly refundId: string | null;
  readonly refundFen: Fen;
  readonly totalFen: Fen;
  readonly userReceivedAccount: string | null;
  /** RFC 3339 with offset; only for succeeded. */
  readonly succeededAt: string | null;
  /** WeChat's own status word, for the timeline. */
  readonly wechatStatus: string;
}

/** What the send of a refund came to, by the outcome table of its protocol (design.md 5). */
export type SendOutcome =
  'not_sent' | 'shown' | 'later' | 'balance' | 'configuration' | 'refused' | 'differs' | 'unknown';

/** What a query came to. `failed` says nothing about the refund. */
export type QueryOutcome = 'shown' | 'not_found' | 'failed';

interface AnswerFacts {
  /** WeChat's err_code or code, `return_code` texts included; null when there was none. */
  readonly code: string | null;
  /** WeChat's text or the cause of the failure; safe to show to operators, never a secret. */
  readonly message: string | null;
  /** The parsed answer without sign, for gateway_call. */
  readonly fields: Readonly<Record<string, string>> | null;
  readonly durationMs: number;
}

/** A judged answer to a send. `shown` stands for outcome shown only, and is not yet compared with our row. */
export interface SendAnswer extends AnswerFacts {
  readonly outcome: SendOutcome;
  /** False when for certain not a byte of the request left. */
  readonly written: boolean;
  readonly shown: ShownRefund | null;
  /** Seconds this merchant must not send (INVALID_REQ_TOO_MUCH); 0 for none. */
  readonly pauseSeconds: number;
}

/** A judged answer to a query of one refund. `shown` stands for outcome shown only, and is not yet compared with our row. */
export interface QueryAnswer extends AnswerFacts {
  readonly outcome: QueryOutcome;
  readonly shown: ShownRefund | null;
}

/** All refunds of one order as WeChat lists them; `complete` is false when a page failed and `refunds` may lack some. */
export interface ListAnswer extends AnswerFacts {
  readonly outcome: QueryOutcome;
  readonly complete: boolean;
  readonly refunds: readonly ShownRefund[];
}

/** The business parameters of a refund; equal for every send of one number. */
export interface RefundRequest {
  /** gateway_call.id; its hex digits are the request's nonce. */
  readonly callId: string;
  readonly apiVersion: ApiVersion;
  readonly mchId: string;
  readonly appid: string;
  readonly outTradeNo: string;
  readonly outRefundNo: string;
  readonly refundFen: Fen;
  readonly totalFen: Fen;
  readonly reason: string | null;
  /** `AVAILABLE` or null. */
  readonly fundsAccount: string | null;
}

export interface RefundQuery {
  readonly callId: string;
  readonly apiVersion: ApiVersion;
  readonly mchId: string;
  readonly appid: string;
  readonly outRefundNo: string;
}

export interface RefundListQuery {
  readonly callId: string;
  readonly mchId: string;
  readonly appid: string;
  readonly outTradeNo: string;
}

/** How an abnormal refund is to be paid out instead; v3 only. */
export interface RepairRequest {
  readonly callId: string;
  readonly mchId: string;
  readonly outRefundNo: string;
  /** WeChat's number of the refund. */
  readonly refundId: string;
  /** The payer's debit card; null: to the merchant's own account. Never stored, never logged. */
  readonly card: { readonly bankType: string; readonly bankAccount: Secret; readonly realName: Secret } | null;
}

/** A refund request that is signed and ready, holding an open idle connection until it is sent. */
export interface PreparedSend {
  /** Null when the request can be written now; else why it cannot (credentials missing, no connection). */
  readonly obstacle: SendAnswer | null;
  /**
   * Writes the request and judges the answer. `mayWrite` is asked immediately before the first byte; null: it said no, and nothing was
   * written. Never throws: everything after the first byte is at least `unknown`.
   */
  send(mayWrite: () => boolean): Promise<SendAnswer | null>;
}

/**
 * The way to WeChat for refunds, owned by this module and implemented by wechat-pay.
 * No method throws for what WeChat or the network does; no method may be called inside a transaction.
 */
export interface RefundGateway {
  /** Opens connections until `count` are idle for this merchant (2 s at most); says how many are. */
  warm(mchId: string, count: number): Promise<number>;
  /** Signs a refund and takes an idle connection, opening one when there is none. */
  prepare(request: RefundRequest): Promise<PreparedSend>;
  /** Asks for one refund by its number. */
  query(request: RefundQuery): Promise<QueryAnswer>;
  /**
   * Asks for all refunds of an order, page by page. Only V2 has such a call: without the merchant's APIv2 key the answer is complete
   * and empty.
   */
  list(request: RefundListQuery): Promise<ListAnswer>;
  /** Asks for an abnormal refund to be paid out in another way. `refused` stands for every 4xx, `unknown` for all that proves nothing. */
  repair(request: RepairRequest): Promise<SendAnswer>;
}

/** Injection token of the {@link RefundGateway}. */
export const REFUND_GATEWAY = Symbol('RefundGateway');
