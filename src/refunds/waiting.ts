import { say } from '../common/http/language.js';
import { type Explanation, FAILURES } from './failures.js';
import type { RefundState } from './states.js';

/** What a refund that stands in a state waits for; the final states wait for nothing. */
export const WAITING = {
  queued: {
    what: say('It waits for its turn.', '排队等待发送。'),
    why: say(
      'The money is reserved; rate, spacing or a pause decide when.',
      '金额已预留，发送时间取决于频率、间隔或暂停。',
    ),
    next: say('Nothing: it is sent by itself.', '无需处理，系统会自动发送。'),
    who: 'nobody',
  },
  insufficient_balance: FAILURES.insufficient_balance,
  submitting: {
    what: say('It is being sent to WeChat.', '正在提交微信支付。'),
    why: say('A request may be on the wire.', '请求可能正在传输。'),
    next: say('Nothing: the answer comes within seconds.', '无需处理，几秒内会有应答。'),
    who: 'nobody',
  },
  outcome_unknown: FAILURES.outcome_unknown,
  accepted: {
    what: say('WeChat has taken it and is working on it.', '微信支付已受理，处理中。'),
    why: say(
      'Wallets take minutes, bank cards up to some working days.',
      '退至零钱需几分钟，退至银行卡可能需要数个工作日。',
    ),
    next: say('Nothing: a notice or a query tells the end.', '无需处理，结果由通知或查询得知。'),
    who: 'nobody',
  },
  abnormal: FAILURES.payer_account_abnormal,
  blocked: {
    what: say('It is held back.', '退款已暂停。'),
    why: say('The configuration is at fault, or too many tries failed.', '配置有误，或尝试次数过多。'),
    next: say('Do what failure.next_step says.', '请按 failure.next_step 处理。'),
    who: 'admin',
  },
  mismatch: FAILURES.mismatch,
  succeeded: null,
  closed: null,
  rejected: null,
  canceled: null,
} as const satisfies Record<RefundState, Explanation | null>;
