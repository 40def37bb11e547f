import type { SendOutcome } from '../../refunds/refund-gateway.port.js';

/**
 * The v3 column of the outcome table (design.md 5): code of a 4xx answer to a refund request → outcome, with the HTTP status it must
 * come with; null where WeChat does not document one. Whatever is not here, and every 202, 429 and 5xx, proves nothing and is unknown.
 * Source: WeChat Pay APIv3, "申请退款", error codes; protocol.md 6.5.
 */
export const V3_SEND_OUTCOMES: Readonly<
  Record<string, { readonly status: number | null; readonly outcome: SendOutcome }>
> = {
  NOT_ENOUGH: { status: 403, outcome: 'balance' },
  SIGN_ERROR: { status: 401, outcome: 'configuration' },
  NO_AUTH: { status: 403, outcome: 'configuration' },
  RULE_LIMIT: { status: 403, outcome: 'configuration' },
  REQUEST_BLOCKED: { status: 403, outcome: 'configuration' },
  MCH_NOT_EXISTS: { status: 404, outcome: 'configuration' },
  INVALID_REQUEST: { status: 400, outcome: 'refused' },
  PARAM_ERROR: { status: 400, outcome: 'refused' },
  USER_ACCOUNT_ABNORMAL: { status: 403, outcome: 'refused' },
  RESOURCE_NOT_EXISTS: { status: 404, outcome: 'refused' },
  TRADE_OVERDUE: { status: null, outcome: 'refused' },
  REFUND_FEE_MISMATCH: { status: null, outcome: 'differs' },
};
