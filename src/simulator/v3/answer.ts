/** JSON as it stands in a body. */
export type Json = Readonly<Record<string, unknown>>;

/** A success; `body` null is an empty one. */
export interface Success {
  readonly status: 200 | 202 | 204;
  readonly body: Json | null;
}

/** An error as v3 words it. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly detail?: Json;
}

export type Result = Success | Refusal;

/**
 * The HTTP status of every code. Source: protocol.md 6.5. Not documented there, hence the likeliest: TRADE_OVERDUE and
 * REFUND_FEE_MISMATCH are refusals of the request (400); the codes of orders are those that merchants report.
 */
const STATUS_OF: Readonly<Record<string, number>> = {
  ACCEPTED: 202,
  INVALID_REQUEST: 400,
  PARAM_ERROR: 400,
  REFUND_FEE_MISMATCH: 400,
  TRADE_OVERDUE: 400,
  REFUND_ORDER_STILL_IN_STATE_PAYMENT: 400,
  APPID_MCHID_NOT_MATCH: 400,
  ORDERPAID: 400,
  ORDER_CLOSED: 400,
  SIGN_ERROR: 401,
  NOT_ENOUGH: 403,
  USER_ACCOUNT_ABNORMAL: 403,
  NO_AUTH: 403,
  RULE_LIMIT: 403,
  REQUEST_BLOCKED: 403,
  OUT_TRADE_NO_USED: 403,
  MCH_NOT_EXISTS: 404,
  RESOURCE_NOT_EXISTS: 404,
  ORDER_NOT_EXIST: 404,
  METHOD_NOT_ALLOWED: 405,
  FREQUENCY_LIMITED: 429,
  RATELIMIT_EXCEEDED: 429,
  SYSTEM_ERROR: 500,
  BAD_GATEWAY: 502,
  SERVICE_UNAVAILABLE: 503,
};
const UNLISTED_STATUS = 400;

/** The status that a code comes with; a code of three digits is a status. */
export function statusOf(code: string): number {
  return STATUS_OF[code] ?? (/^[2-5]\d\d$/.test(code) ? Number(code) : UNLISTED_STATUS);
}

export function refuse(code: string, message: string, detail?: Json): Refusal {
  return { status: statusOf(code), code, message, ...(detail && { detail }) };
}

/** A refusal of one field. */
export function refuseField(field: string, issue: string, location = 'body'): Refusal {
  return refuse('PARAM_ERROR', `参数错误：${field} ${issue}`, { field, issue, location });
}

const BEIJING_MS = 8 * 3_600_000;

/** RFC 3339 in Beijing time, to the second. */
export function beijingTime(ms: number): string {
  return `${new Date(ms + BEIJING_MS).toISOString().slice(0, 19)}+08:00`;
}
