import { AppError, Stopping } from '../common/problem.js';
import { incident, log } from '../common/log.js';
import { NoticeUnreadable } from '../wechat-pay/notice-unreadable.js';

const V2_SUCCESS = '<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>';
const V2_FAIL = '<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[FAIL]]></return_msg></xml>';
const V3_FAIL = JSON.stringify({ code: 'FAIL', message: 'FAIL' });

export const NOTIFY_PREFIX = '/notify/';

/** What WeChat counts as received, by protocol. Anything else, in V2 even one more character, it sends again. Source: "退款结果通知". */
export const ACKNOWLEDGED = {
  v2: { status: 200, contentType: 'text/xml', body: V2_SUCCESS },
  v3: { status: 204, contentType: null, body: '' },
} as const;

/** An answer to a callback. */
export interface NoticeAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const refusals = new Map<string, number>();

/** Refused callbacks since the start by reason; probes (`signtest_probe`) and forgeries are counted apart. */
export function noticeRefusalCounts(): ReadonlyMap<string, number> {
  return refusals;
}

/**
 * The refusal of a callback: 401 for everything that is not to be believed, 413 for what is too large, 503 for what we could not commit
 * in time. The text is the same for every cause, so that a forger learns nothing. It logs one line without any of the message.
 */
export function noticeRefusal(
  error: unknown,
  request: { readonly contentType: string; readonly requestId: string },
): NoticeAnswer {
  const status = statusOf(error);
  const reason = error instanceof NoticeUnreadable ? error.reason : error instanceof AppError ? error.code : 'error';
  const count = (refusals.get(reason) ?? 0) + 1;
  refusals.set(reason, count);
  const fields = { reason, status, count, requestId: request.requestId };
  // WeChat's own probes are no attack: it wants to see that we refuse them. What comes at our end comes again.
  if (reason === 'signtest_probe' || error instanceof Stopping) log.info('notice refused', fields);
  else if (status === 401) log.warn('notice refused', fields);
  else if (status === 503) incident('notice_not_committed', { ...fields, cause: error });
  else log.warn('notice not taken', fields);
  const v3 = request.contentType.toLowerCase().startsWith('application/json');
  return v3
    ? { status, contentType: 'application/json', body: V3_FAIL }
    : { status, contentType: 'text/xml', body: V2_FAIL };
}

/** Fastify's and Nest's own refusals of a request; what they are called outside. */
const OUTER_STATUS: Readonly<Record<number, number>> = { 400: 401, 404: 401, 413: 413, 415: 401 };

function statusOf(error: unknown): number {
  if (error instanceof NoticeUnreadable) return 401;
  if (error instanceof AppError) return error.status === 503 ? 503 : (OUTER_STATUS[error.status] ?? 401);
  const { statusCode, status } = (error ?? {}) as { statusCode?: number; status?: number };
  return OUTER_STATUS[statusCode ?? status ?? 500] ?? 503;
}
