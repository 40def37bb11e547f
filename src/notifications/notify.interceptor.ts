import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Observable } from 'rxjs';
import { AppError } from '../common/problem.js';
import { type MerchantAccount, MerchantDirectory } from '../merchants/merchant-account.js';
import { NoticeUnreadable } from '../wechat-pay/notice-unreadable.js';
import {
  openV2PaymentNotice,
  openV2RefundNotice,
  type OpenedPaymentNotice,
  type OpenedRefundNotice,
} from '../wechat-pay/v2/notices.js';
import { NOTICE_BYTES_MAX } from '../wechat-pay/v2/xml.js';

/** A callback that may be believed to come from somebody with the merchant's key, opened and validated. */
export type OpenedNotice =
  | ({ readonly kind: 'refund'; readonly account: MerchantAccount } & OpenedRefundNotice)
  | ({ readonly kind: 'payment'; readonly account: MerchantAccount } & OpenedPaymentNotice);

/** A request that has passed the interceptor. */
export interface NotifyRequest extends FastifyRequest {
  notice?: OpenedNotice;
}

const TOKEN = /^[0-9a-f]{32}$/;

/**
 * The guard at the callback door: raw bytes, size, merchant by token, then everything that can refuse the message by itself: strict
 * parse, outer ids, decryption or signature, validated fields. It never answers and stores nothing; it throws, or puts the opened
 * notice on the request. Nothing of an unverified message is logged.
 */
@Injectable()
export class NotifyInterceptor implements NestInterceptor {
  constructor(private readonly merchants: MerchantDirectory) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const request = context.switchToHttp().getRequest<NotifyRequest>();
    const { token, kind } = request.params as { token: string; kind: string };
    const raw = request.body;
    if (!Buffer.isBuffer(raw) || raw.length === 0) throw new NoticeUnreadable('malformed');
    if (raw.length > NOTICE_BYTES_MAX) throw new AppError('payload_too_large', 'The notice is too large.');
    if (kind !== 'refund' && kind !== 'payment') throw new NoticeUnreadable('wrong_kind');
    const account = TOKEN.test(token) ? await this.merchants.byNotifyToken(token) : null;
    if (!account) throw new NoticeUnreadable('wrong_merchant');
    request.notice =
      kind === 'payment'
        ? { kind, account, ...openV2PaymentNotice(raw, account) }
        : { kind, account, ...openV2RefundNotice(raw, account) };
    return next.handle();
  }
}
