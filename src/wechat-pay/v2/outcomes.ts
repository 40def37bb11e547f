import type { SendOutcome } from '../../refunds/refund-gateway.port.js';

/**
 * The V2 column of the outcome table (design.md 5): err_code of a signed refusal of a refund → outcome. A code that is not here proves
 * nothing and is unknown. Source: WeChat Pay V2, "申请退款", error codes.
 */
export const V2_SEND_OUTCOMES: Readonly<Record<string, SendOutcome>> = {
  BIZERR_NEED_RETRY: 'later',
  FREQUENCY_LIMITED: 'later',
  ORDER_NOT_READY: 'later',
  INVALID_REQ_TOO_MUCH: 'later',
  NOTENOUGH: 'balance',
  SIGNERROR: 'configuration',
  CERT_ERROR: 'configuration',
  NOAUTH: 'configuration',
  APPID_NOT_EXIST: 'configuration',
  MCHID_NOT_EXIST: 'configuration',
  APPID_MCHID_NOT_MATCH: 'configuration',
  TRADE_OVERDUE: 'refused',
  USER_ACCOUNT_ABNORMAL: 'refused',
  INVALID_TRANSACTIONID: 'refused',
  PARAM_ERROR: 'refused',
  ORDERNOTEXIST: 'refused',
  INVALID_REQUEST: 'refused',
  REQUIRE_POST_METHOD: 'refused',
  XML_FORMAT_ERROR: 'refused',
  REFUND_FEE_MISMATCH: 'differs',
  SYSTEMERROR: 'unknown',
  ERROR: 'unknown',
};

/** Codes after which the merchant sends nothing for a while, in seconds. */
export const V2_PAUSE_SECONDS: Readonly<Record<string, number>> = { INVALID_REQ_TOO_MUCH: 60 };
