import { say, type Text } from '../common/http/language.js';

/** Who does the next step. */
export const WHO = {
  nobody: say('nobody', '无需人工'),
  operator: say('operator', '运营'),
  admin: say('admin', '管理员'),
  finance: say('finance', '财务'),
  developer: say('developer', '开发'),
} as const satisfies Record<string, Text>;

/** What a person needs to know: what happened, why, what to do next, and who does it. */
export interface Explanation {
  readonly what: Text;
  readonly why: Text;
  readonly next: Text;
  readonly who: keyof typeof WHO;
}

/** A failure of ours; after a `retryable` one `retry` makes sense. */
interface Failure extends Explanation {
  readonly retryable: boolean;
}

/** Every failure code of a refund. WeChat's own codes, where there is one, tell more: see wechat-codes.ts. */
export const FAILURES = {
  not_sent: {
    what: say('Nothing reached WeChat.', '请求没有到达微信支付。'),
    why: say('The connection failed before the first byte, or its turn was missed.', '连接未建立，或错过了发送时机。'),
    next: say('Nothing: it is sent again by itself.', '无需处理，系统会自动重发。'),
    who: 'nobody',
    retryable: true,
  },
  wechat_busy: {
    what: say('WeChat did not take the request this time.', '微信支付本次没有受理。'),
    why: say('It is busy with this order, or too many requests came.', '订单正在处理，或请求过于频繁。'),
    next: say('Nothing: it is sent again by itself with the same number.', '无需处理，系统会用同一退款单号自动重发。'),
    who: 'nobody',
    retryable: true,
  },
  outcome_unknown: {
    what: say('Whether WeChat took the refund is not known yet.', '尚不清楚微信支付是否受理了退款。'),
    why: say('The answer was lost, late or not believable.', '应答丢失、超时或不可信。'),
    next: say(
      'Nothing: WeChat is asked by itself; do not refund again under another number.',
      '无需处理，系统会自动查询；切勿换单号再次退款。',
    ),
    who: 'nobody',
    retryable: false,
  },
  insufficient_balance: {
    what: say('WeChat refused for lack of funds.', '微信支付因余额不足拒绝退款。'),
    why: say('The merchant account holds less than the refund.', '商户账户余额不足。'),
    next: say(
      'Top up the merchant account, then retry; it is also tried again every hour.',
      '请给商户账户充值后重试；系统也会每小时自动重试。',
    ),
    who: 'finance',
    retryable: true,
  },
  configuration: {
    what: say('WeChat refused the merchant, not the refund.', '微信支付拒绝了商户身份，而非这笔退款。'),
    why: say("The merchant's credentials or permissions are wrong or missing.", '商户凭证或权限有误或缺失。'),
    next: say(
      "Repair the merchant's credentials or permissions; new credentials or a check resume it.",
      '请修正商户凭证或权限；更新凭证或检查通过后自动恢复。',
    ),
    who: 'admin',
    retryable: true,
  },
  too_many_attempts: {
    what: say('Sending was given up after ten tries.', '已尝试十次，停止发送。'),
    why: say('Every try ended without a result.', '每次尝试都没有结果。'),
    next: say('Look at the timeline, mend the cause, then retry.', '请查看时间线，排除原因后重试。'),
    who: 'operator',
    retryable: true,
  },
  refused_by_wechat: {
    what: say('WeChat refused the refund.', '微信支付拒绝了退款。'),
    why: say('wechat_code names the cause.', '原因见 wechat_code。'),
    next: say(
      'Mend what wechat_code names, then retry with the same number, or refund in another way.',
      '请按 wechat_code 排除原因后用同一单号重试，或改用其他方式退款。',
    ),
    who: 'operator',
    retryable: true,
  },
  refund_window_expired: {
    what: say('The refund was not sent: its time is over.', '退款未发送：已超过可退期限。'),
    why: say('WeChat refunds within one year of the payment.', '微信支付仅支持支付后一年内退款。'),
    next: say(
      'WeChat takes no refund for this order any more: pay back in another way.',
      '微信支付不再受理该订单的退款，请改用其他方式退还。',
    ),
    who: 'operator',
    retryable: false,
  },
  payer_account_abnormal: {
    what: say('The money could not be credited to the payer.', '款项无法退回付款人账户。'),
    why: say("The payer's card is void or frozen.", '付款人的银行卡已注销或冻结。'),
    next: say(
      'Over v3 use repair; else handle it in the merchant platform; the refund follows by itself.',
      'v3 请使用 repair；否则在商户平台处理，退款状态会自动更新。',
    ),
    who: 'operator',
    retryable: false,
  },
  closed_by_wechat: {
    what: say('WeChat closed the refund; no money moved.', '微信支付关闭了退款，款项未退。'),
    why: say('WeChat could not carry it out.', '微信支付无法完成该退款。'),
    next: say(
      'Retry: it asks WeChat once more and makes a new refund with a new number.',
      '请重试：系统会再次查询，并用新单号创建新的退款。',
    ),
    who: 'operator',
    retryable: true,
  },
  mismatch: {
    what: say('WeChat and we disagree about this refund.', '微信支付与本系统的退款记录不一致。'),
    why: say('An amount or a number at WeChat differs from ours.', '金额或单号与微信支付的记录不同。'),
    next: say('Compare with the merchant platform, then resolve.', '请与商户平台核对后用 resolve 裁定。'),
    who: 'admin',
    retryable: false,
  },
  resolved_by_operator: {
    what: say('A person decided that the refund did not happen.', '已由人工裁定退款未发生。'),
    why: say('It was resolved by hand; the timeline has the reason.', '人工裁定，原因见时间线。'),
    next: say('Nothing: a person decided; see the timeline.', '无需处理，详见时间线。'),
    who: 'nobody',
    retryable: false,
  },
} as const satisfies Record<string, Failure>;

export type FailureCode = keyof typeof FAILURES;

/** A failure code's entry; null for a code of a later version. */
export function failureOf(code: string): Failure | null {
  return code in FAILURES ? FAILURES[code as FailureCode] : null;
}
