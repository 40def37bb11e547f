import { say, type Text } from '../common/http/language.js';
import type { RefundState } from './states.js';

/** The words of the timeline, in both languages. */

/** States as titles name them: by code in English, by word in Chinese. */
export const STATE_WORDS: Readonly<Record<RefundState, Text>> = {
  queued: say('queued', '排队中'),
  insufficient_balance: say('insufficient_balance', '余额不足'),
  submitting: say('submitting', '提交中'),
  outcome_unknown: say('outcome_unknown', '结果未知'),
  accepted: say('accepted', '已受理'),
  abnormal: say('abnormal', '退款异常'),
  blocked: say('blocked', '已暂停'),
  mismatch: say('mismatch', '记录不一致'),
  succeeded: say('succeeded', '退款成功'),
  closed: say('closed', '已关闭'),
  rejected: say('rejected', '已拒绝'),
  canceled: say('canceled', '已撤回'),
};

export const CALL_TITLES: Readonly<Record<string, Text>> = {
  refund: say('refund request sent to WeChat', '向微信支付发送退款请求'),
  refund_query: say('WeChat asked about the refund', '向微信支付查询退款'),
  abnormal_refund: say('repair asked of WeChat', '向微信支付申请异常退款处理'),
};

export const TITLES = {
  requested: say('asked for by', '申请人'),
  reserved: say('money reserved, queued', '金额已预留，排队中'),
  found: say('found at WeChat', '在微信支付发现'),
  stays: say('stays', '保持'),
  incident: say('incident', '异常事件'),
  notice: say("WeChat's notice", '微信支付通知'),
  told: say('event sent', '事件推送'),
  delivered: say('delivered', '已送达'),
  not_delivered: say('not delivered', '未送达'),
  no_answer: say('no answer yet', '尚无应答'),
} as const satisfies Record<string, Text>;

/** What became of a notice. */
export const NOTICE_RESULTS: Readonly<Record<string, Text>> = {
  applied: say('booked', '已处理'),
  repeat: say('nothing new', '重复通知'),
  waiting_for_query: say('waits for a query', '等待查询确认'),
  unmatched: say('belongs to no refund of ours', '无对应退款'),
  refused: say('refused', '已拒绝'),
};
