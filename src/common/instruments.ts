import { Counter, Histogram, Registry } from 'prom-client';

/**
 * What this process counts of itself while it works, for /metrics. Labels are merchant numbers and words of closed lists: never an
 * openid, a number of an order or refund, or a text that came from outside.
 */
export const instruments = new Registry();

/** Calls to WeChat by what they came to; `code` is one that WeChat documents, else `other`, or `none`. */
export const wechatAnswers = new Counter({
  name: 'tuikuan_wechat_answers_total',
  help: 'Calls to WeChat by merchant, call, outcome and code (codes that WeChat does not document are "other").',
  labelNames: ['mch_id', 'call', 'outcome', 'code'] as const,
  registers: [instruments],
});

/** From the first byte to the judged answer; calls of which nothing was written are left out. */
export const wechatSeconds = new Histogram({
  name: 'tuikuan_wechat_call_duration_seconds',
  help: 'Duration of calls to WeChat, from the first byte to the judged answer.',
  labelNames: ['mch_id', 'call'] as const,
  buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15],
  registers: [instruments],
});

/** Places on the wire that the dispatcher was given: `written`, or `lost` because nothing could be written at their time. */
export const refundSlots = new Counter({
  name: 'tuikuan_refund_slots_total',
  help: 'Send slots by merchant: written, or lost because nothing could be written at their time.',
  labelNames: ['mch_id', 'use'] as const,
  registers: [instruments],
});

/** Notices that were believed, by what became of them; `duplicate` for one that was stored before. */
export const notices = new Counter({
  name: 'tuikuan_notices_total',
  help: 'Notices of WeChat that were stored, by what became of them; duplicate: stored before.',
  labelNames: ['kind', 'version', 'result'] as const,
  registers: [instruments],
});

/** Ended tries of outgoing events: delivered, retry, failed (no more tries), gone (410), released (given back unsent). */
export const webhookTries = new Counter({
  name: 'tuikuan_webhook_tries_total',
  help: 'Ended tries to deliver an event, by what follows: delivered, retry, failed, gone, released.',
  labelNames: ['verdict'] as const,
  registers: [instruments],
});

/** Changes of a refund's state by answers, queries, notices and callers; the claim to send is not among them, see the slots. */
export const refundMoves = new Counter({
  name: 'tuikuan_refund_moves_total',
  help: 'Changes of state of refunds, claims to send left out.',
  labelNames: ['from', 'to'] as const,
  registers: [instruments],
});
