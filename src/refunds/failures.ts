/** What a caller can do about each failure code of a refund. */
export const NEXT_STEPS: Readonly<Record<string, string>> = {
  not_sent: 'Nothing: nothing reached WeChat, it is sent again by itself.',
  wechat_busy: 'Nothing: it is sent again by itself with the same number.',
  outcome_unknown: 'Nothing: WeChat is asked by itself; do not refund again under another number.',
  insufficient_balance: 'Top up the merchant account, then retry; it is also tried again every hour.',
  configuration: "Repair the merchant's credentials or permissions; new credentials or a check resume it.",
  too_many_attempts: 'Look at the timeline, mend the cause, then retry.',
  refused_by_wechat: 'Mend what wechat_code names, then retry with the same number, or refund in another way.',
  refund_window_expired: 'WeChat takes no refund for this order any more: pay back in another way.',
  payer_account_abnormal: 'Handle it in the merchant platform; the refund follows by itself.',
  closed_by_wechat: 'Retry: it asks WeChat once more and makes a new refund with a new number.',
  mismatch: 'Compare with the merchant platform, then resolve.',
  resolved_by_operator: 'Nothing: a person decided; see the timeline.',
};

/** Failures after which `retry` makes sense. */
export const RETRYABLE_FAILURES: ReadonlySet<string> = new Set([
  'not_sent',
  'wechat_busy',
  'insufficient_balance',
  'configuration',
  'too_many_attempts',
  'refused_by_wechat',
  'closed_by_wechat',
]);
