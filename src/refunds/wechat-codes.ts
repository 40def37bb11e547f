import { say } from '../common/http/language.js';
import type { Explanation, FailureCode } from './failures.js';

/** What one of WeChat's codes means; `failure` is what it leads to where it is believed. */
export interface WechatCode extends Explanation {
  readonly failure: FailureCode;
}

const SENT_AGAIN = say(
  'Nothing: it is sent again by itself with the same number.',
  '无需处理，系统会用同一单号自动重发。',
);
const ASKED = say(
  'Nothing: WeChat is asked by itself; do not refund again under another number.',
  '无需处理，系统会自动查询；切勿换单号再次退款。',
);
const CHECK = say(
  'Repair it, then check the merchant: blocked refunds go on.',
  '修正后检查商户，被暂停的退款会自动继续。',
);
const REPORT = say('Report it with the timeline, then retry once it is mended.', '请附时间线反馈，修复后重试。');
const BY_HAND = say('Give the money back in another way.', '请改用其他方式退还。');

/** Codes that mean the same to a refund request of either version. */
const BOTH = {
  INVALID_REQUEST: {
    failure: 'refused_by_wechat',
    what: say('WeChat refused the refund.', '微信支付拒绝了退款。'),
    why: say(
      'A business rule is broken: more than is left at WeChat, or an order of another merchant or app.',
      '违反业务规则：超过可退金额，或订单属于其他商户或应用。',
    ),
    next: say(
      'Compare the order in the merchant platform, sync it, then retry.',
      '请在商户平台核对订单并同步，然后重试。',
    ),
    who: 'operator',
  },
  PARAM_ERROR: {
    failure: 'refused_by_wechat',
    what: say('WeChat refused a field of the request.', '微信支付拒绝了请求参数。'),
    why: say('A parameter is malformed: a fault of this service.', '参数有误，属本系统缺陷。'),
    next: REPORT,
    who: 'developer',
  },
  USER_ACCOUNT_ABNORMAL: {
    failure: 'refused_by_wechat',
    what: say('WeChat cannot pay this payer.', '微信支付无法退款给该用户。'),
    why: say("The payer's account is closed or restricted.", '用户账户已注销或受限。'),
    next: BY_HAND,
    who: 'operator',
  },
  TRADE_OVERDUE: {
    failure: 'refused_by_wechat',
    what: say('WeChat no longer refunds this order.', '微信支付不再受理该订单的退款。'),
    why: say('It was paid more than a year ago.', '订单支付已超过一年。'),
    next: BY_HAND,
    who: 'operator',
  },
  REFUND_FEE_MISMATCH: {
    failure: 'mismatch',
    what: say('WeChat knows this number with other amounts.', '微信支付对该退款单号记录了不同的金额。'),
    why: say(
      'The number was used before with another amount, or the amount of the order differs.',
      '该单号曾以其他金额使用，或订单金额不符。',
    ),
    next: say('Compare with the merchant platform, then resolve.', '请与商户平台核对后用 resolve 裁定。'),
    who: 'admin',
  },
} as const satisfies Record<string, WechatCode>;

const SENT_WRONG = {
  failure: 'refused_by_wechat',
  what: say('WeChat could not read the request.', '微信支付无法读取请求。'),
  why: say(
    'The request has the wrong form: a fault of this service or of a proxy.',
    '请求格式有误，属本系统或代理缺陷。',
  ),
  next: REPORT,
  who: 'developer',
} as const satisfies WechatCode;

const SIGNATURE = {
  failure: 'configuration',
  what: say('WeChat refused the signature.', '微信支付验签失败。'),
  why: say('A key, its serial number, the algorithm or the clock is wrong.', '密钥、序列号、签名算法或时钟有误。'),
  next: CHECK,
  who: 'admin',
} as const satisfies WechatCode;

const PERMISSION = {
  failure: 'configuration',
  what: say('The merchant may not refund from here.', '商户无权从此处发起退款。'),
  why: say(
    'The address is not on the allow-list of the merchant platform, or refunds are not granted.',
    '调用 IP 不在商户平台白名单，或未开通退款权限。',
  ),
  next: CHECK,
  who: 'admin',
} as const satisfies WechatCode;

const UNKNOWN_IDS = {
  failure: 'configuration',
  what: say('WeChat does not know the merchant or the app.', '微信支付查无此商户或应用。'),
  why: say('mch_id or appid is wrong, or they are not bound.', 'mch_id 或 appid 有误，或未绑定。'),
  next: CHECK,
  who: 'admin',
} as const satisfies WechatCode;

const NO_FUNDS = {
  failure: 'insufficient_balance',
  what: say('WeChat refused for lack of funds.', '微信支付因余额不足拒绝退款。'),
  why: say('Unsettled money or the balance is less than the refund.', '未结算资金或可用余额不足。'),
  next: say('Top up, then retry; it is also tried every hour.', '请充值后重试；系统也会每小时自动重试。'),
  who: 'finance',
} as const satisfies WechatCode;

const NO_ORDER = {
  failure: 'refused_by_wechat',
  what: say('WeChat does not know the order, or it is not paid.', '微信支付查无此订单，或订单未支付。'),
  why: say(
    'The order number belongs to another merchant, or the payment never came.',
    '订单属于其他商户，或未曾支付。',
  ),
  next: say('Sync the order and check its merchant, then retry.', '请同步订单并核对商户，然后重试。'),
  who: 'operator',
} as const satisfies WechatCode;

const BROKE_OFF = {
  failure: 'outcome_unknown',
  what: say('WeChat broke off.', '微信支付处理中断。'),
  why: say(
    'An internal error or a timeout there; the refund may have gone through.',
    '微信内部错误或超时，退款可能已成功。',
  ),
  next: ASKED,
  who: 'nobody',
} as const satisfies WechatCode;

const BUSY = {
  failure: 'wechat_busy',
  what: say('WeChat did not take the request this time.', '微信支付本次没有受理。'),
  why: say('Another request for this order is being worked on.', '该订单的其他请求正在处理。'),
  next: SENT_AGAIN,
  who: 'nobody',
} as const satisfies WechatCode;

const TOO_MANY_V3 = {
  failure: 'outcome_unknown',
  what: say('WeChat asked for fewer requests.', '微信支付提示请求过于频繁。'),
  why: say('Over v3 the refund may be in work all the same.', 'v3 下退款可能已在处理。'),
  next: ASKED,
  who: 'nobody',
} as const satisfies WechatCode;

/** Every code of a refund request, by the version it is answered in. Source: protocol.md 1.6 and 6.5. */
export const SEND_CODES = {
  v2: {
    ...BOTH,
    SYSTEMERROR: BROKE_OFF,
    ERROR: {
      failure: 'outcome_unknown',
      what: say('WeChat gave a general error.', '微信支付返回通用错误。'),
      why: say(
        'Its text tells: often refunded already, or more than is left.',
        '见错误描述，常见为已全额退款或超过可退金额。',
      ),
      next: ASKED,
      who: 'nobody',
    },
    BIZERR_NEED_RETRY: BUSY,
    ORDER_NOT_READY: BUSY,
    FREQUENCY_LIMITED: {
      ...BUSY,
      why: say('Orders older than a month have a stricter limit.', '一个月以前的订单频率限制更严。'),
    },
    INVALID_REQ_TOO_MUCH: {
      ...BUSY,
      why: say('Too many faulty requests: the merchant is held for a minute.', '错误请求过多，商户暂停一分钟。'),
    },
    NOTENOUGH: NO_FUNDS,
    INVALID_TRANSACTIONID: {
      ...NO_ORDER,
      why: say('The transaction number is wrong.', '微信支付订单号有误。'),
    },
    ORDERNOTEXIST: NO_ORDER,
    REQUIRE_POST_METHOD: SENT_WRONG,
    XML_FORMAT_ERROR: SENT_WRONG,
    SIGNERROR: SIGNATURE,
    CERT_ERROR: {
      failure: 'configuration',
      what: say('WeChat refused the API certificate.', '微信支付拒绝了 API 证书。'),
      why: say('It is wrong, expired or revoked.', '证书有误、过期或已作废。'),
      next: CHECK,
      who: 'admin',
    },
    NOAUTH: PERMISSION,
    APPID_NOT_EXIST: UNKNOWN_IDS,
    MCHID_NOT_EXIST: UNKNOWN_IDS,
    APPID_MCHID_NOT_MATCH: UNKNOWN_IDS,
  },
  v3: {
    ...BOTH,
    NOT_ENOUGH: NO_FUNDS,
    SIGN_ERROR: SIGNATURE,
    NO_AUTH: PERMISSION,
    RULE_LIMIT: {
      ...PERMISSION,
      what: say('A rule of WeChat holds the merchant back.', '微信支付规则限制了该商户。'),
      why: say('Risk control or a limit set in the merchant platform.', '风控，或商户平台设置的限额。'),
    },
    REQUEST_BLOCKED: {
      ...PERMISSION,
      what: say('WeChat blocked the request.', '微信支付拦截了请求。'),
      why: say('Risk control, or the address is not allowed.', '风控，或 IP 不被允许。'),
    },
    MCH_NOT_EXISTS: UNKNOWN_IDS,
    RESOURCE_NOT_EXISTS: NO_ORDER,
    FREQUENCY_LIMITED: TOO_MANY_V3,
    RATELIMIT_EXCEEDED: TOO_MANY_V3,
    SYSTEM_ERROR: BROKE_OFF,
    SERVICE_UNAVAILABLE: BROKE_OFF,
    REFUND_ORDER_STILL_IN_STATE_PAYMENT: {
      failure: 'outcome_unknown',
      what: say('WeChat says the order is still being paid.', '微信支付提示订单仍在支付中。'),
      why: say('The payment is not settled there yet.', '支付尚未完成。'),
      next: ASKED,
      who: 'nobody',
    },
  },
} as const satisfies Record<'v2' | 'v3', Readonly<Record<string, WechatCode>>>;

const NOT_FOUND: Explanation = {
  what: say('WeChat does not know the refund.', '微信支付查无此退款。'),
  why: say(
    'The request did not arrive, or is not shown yet; this alone never means failed.',
    '请求未到达或尚不可见，不代表失败。',
  ),
  next: SENT_AGAIN,
  who: 'nobody',
};

const NOT_TOLD: Explanation = {
  what: say('WeChat did not tell how the refund stands.', '微信支付没有告知退款状态。'),
  why: say('The query failed; the refund stays as it is.', '查询失败，退款状态不变。'),
  next: say('Nothing: it is asked again by itself.', '无需处理，系统会再次查询。'),
  who: 'nobody',
};

const QUERY_REFUSED: Explanation = { ...NOT_TOLD, why: SIGNATURE.why, next: CHECK, who: 'admin' };
const QUERY_WRONG: Explanation = { ...NOT_TOLD, why: SENT_WRONG.why, next: REPORT, who: 'developer' };

/** Every code of a query for a refund, of both versions. Source: protocol.md 2 and 6.5. */
export const QUERY_CODES: Readonly<Record<string, Explanation>> = {
  REFUNDNOTEXIST: NOT_FOUND,
  RESOURCE_NOT_EXISTS: NOT_FOUND,
  SYSTEMERROR: NOT_TOLD,
  SYSTEM_ERROR: NOT_TOLD,
  SERVICE_UNAVAILABLE: NOT_TOLD,
  FREQUENCY_LIMITED: NOT_TOLD,
  RATELIMIT_EXCEEDED: NOT_TOLD,
  SIGNERROR: QUERY_REFUSED,
  SIGN_ERROR: QUERY_REFUSED,
  NO_AUTH: { ...NOT_TOLD, why: PERMISSION.why, next: CHECK, who: 'admin' },
  APPID_NOT_EXIST: { ...NOT_TOLD, why: UNKNOWN_IDS.why, next: CHECK, who: 'admin' },
  MCHID_NOT_EXIST: { ...NOT_TOLD, why: UNKNOWN_IDS.why, next: CHECK, who: 'admin' },
  MCH_NOT_EXISTS: { ...NOT_TOLD, why: UNKNOWN_IDS.why, next: CHECK, who: 'admin' },
  INVALID_TRANSACTIONID: QUERY_WRONG,
  PARAM_ERROR: QUERY_WRONG,
  INVALID_REQUEST: QUERY_WRONG,
  REQUIRE_POST_METHOD: QUERY_WRONG,
  XML_FORMAT_ERROR: QUERY_WRONG,
};
