import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Observable } from 'rxjs';
import { AppError } from '../common/problem.js';
import { LATE, within } from '../common/within.js';
import { type MerchantAccount, MerchantDirectory } from '../merchants/merchant-account.js';
import { NoticeUnreadable } from '../wechat-pay/notice-unreadable.js';
import type { OpenedPaymentNotice, OpenedRefundNotice } from '../wechat-pay/opened-notice.js';
import { openV2PaymentNotice, openV2RefundNotice } from '../wechat-pay/v2/notices.js';
import { NOTICE_BYTES_MAX } from '../wechat-pay/v2/xml.js';
import { openV3PaymentNotice, openV3RefundNotice } from '../wechat-pay/v3/notices.js';
import { Verifier } from '../wechat-pay/v3/verifier.js';

/** A callback that may be believed to come from somebody with the merchant's key, opened and validated. */
export type OpenedNotice =
  | ({ readonly kind: 'refund'; readonly account: MerchantAccount } & OpenedRefundNotice)
  | ({ readonly kind: 'payment'; readonly account: MerchantAccount } & OpenedPaymentNotice);

/** A request that has passed the interceptor. */
export interface NotifyRequest extends FastifyRequest {
  notice?: OpenedNotice;
}

const TOKEN = /^[0-9a-f]{32}$/;
/** WeChat waits 5 s for an answer and 3 of them belong to the commit: a key that takes longer to fetch serves the next delivery. */
const KEY_WAIT_MS = 1500;

/**
 * The guard at the callback door: raw bytes, size, merchant by token, then everything that can refuse the message by itself. The
 * content decides the protocol: V2 is strict XML whose outer ids fit and whose req_info opens, or whose sign verifies; v3 is JSON
 * whose signature holds over the raw bytes before anything in it is read, and whose content opens. The fields inside become a
 * validated class. It never answers and stores nothing; it throws, or puts the opened notice on the request. Nothing of an
 * unverified message is logged.
 */
@Injectable()
export class NotifyInterceptor implements NestInterceptor {
  constructor(
    private readonly merchants: MerchantDirectory,
    private readonly verifier: Verifier,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const request = context.switchToHttp().getRequest<NotifyRequest>();
    const { token, kind } = request.params as { token: string; kind: string };
    const raw = bytesOf(request);
    if (kind !== 'refund' && kind !== 'payment') throw new NoticeUnreadable('wrong_kind');
    const account = TOKEN.test(token) ? await this.merchants.byNotifyToken(token) : null;
    if (!account) throw new NoticeUnreadable('wrong_merchant');
    const v3 = isJson(raw);
    if (v3) await this.assertSigned(account, request, raw);
    const opener = OPENERS[v3 ? 'v3' : 'v2'];
    request.notice =
      kind === 'payment'
        ? { kind, account, ...opener.payment(raw, account) }
        : { kind, account, ...opener.refund(raw, account) };
    return next.handle();
  }

  private async assertSigned(account: MerchantAccount, request: FastifyRequest, raw: Buffer): Promise<void> {
    const fault = await within(KEY_WAIT_MS, this.verifier.faultIn(account, request.headers, raw));
    if (fault === LATE) throw new AppError('temporarily_unavailable', 'The key of the notice is still being fetched.');
    if (fault !== null) throw new NoticeUnreadable(fault);
  }
}

function bytesOf({ body }: FastifyRequest): Buffer {
  if (!Buffer.isBuffer(body) || body.length === 0) throw new NoticeUnreadable('malformed');
  if (body.length > NOTICE_BYTES_MAX) throw new AppError('payload_too_large', 'The notice is too large.');
  return body;
}

const OPENERS = {
  v2: { refund: openV2RefundNotice, payment: openV2PaymentNotice },
  v3: { refund: openV3RefundNotice, payment: openV3PaymentNotice },
} as const;

/** XML begins with an angle bracket, JSON with a brace; anything else is refused as V2. */
function isJson(raw: Buffer): boolean {
  return /^\s*\{/.test(raw.subarray(0, 64).toString('latin1'));
}
