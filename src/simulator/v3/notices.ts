import { randomUUID } from 'node:crypto';
import type { Letter } from '../notices.js';
import type { SimulatedMerchant, SimulatedOrder, SimulatedRefund, World } from '../world.js';
import { beijingTime, type Json } from './answer.js';
import { sealed } from './certificates.js';
import { transaction } from './orders.js';
import { STATUS } from './refunds.js';
import { probed, type SignatureHeaders, signatureHeaders } from './signing.js';

/** What a notice says, before it is sealed and signed. */
export interface Content {
  readonly eventType: string;
  readonly summary: string;
  readonly kind: 'refund' | 'transaction';
  readonly resource: Json;
}

/** An event keeps its id, its time and what it says over all its deliveries; each is sealed and signed anew. */
export interface Event {
  readonly id: string;
  readonly createTime: string;
}

export const newEvent = (world: World): Event => ({
  id: randomUUID(),
  createTime: beijingTime(world.signatureMs()),
});

const SUMMARIES: Readonly<Record<string, string>> = { SUCCESS: '退款成功', ABNORMAL: '退款异常', CLOSED: '退款关闭' };

/** The content of a refund notice. Source: protocol.md 6.8. */
export function refundContent(entry: SimulatedRefund): Content {
  const { order } = entry;
  const status = STATUS[entry.state];
  return {
    eventType: `REFUND.${status}`,
    summary: SUMMARIES[status] ?? '退款通知',
    kind: 'refund',
    resource: {
      mchid: order.mchId,
      transaction_id: order.transactionId,
      out_trade_no: order.outTradeNo,
      refund_id: entry.refundId,
      out_refund_no: entry.outRefundNo,
      refund_status: status,
      ...(entry.succeededMs !== null && { success_time: beijingTime(entry.succeededMs) }),
      user_received_account: '支付用户零钱',
      amount: {
        total: order.totalFen,
        refund: entry.amountFen,
        payer_total: order.totalFen,
        payer_refund: entry.amountFen,
      },
    },
  };
}

/** The content of a payment notice. Source: protocol.md 6.9. */
export function paymentContent(world: World, order: SimulatedOrder): Content {
  return {
    eventType: 'TRANSACTION.SUCCESS',
    summary: '支付成功',
    kind: 'transaction',
    resource: transaction(world, order),
  };
}

/** The body of a notice: its content sealed in the envelope. */
export function envelope(event: Event, content: Content, apiV3Key: string): string {
  const { kind, eventType: event_type, summary } = content;
  return JSON.stringify({
    id: event.id,
    create_time: event.createTime,
    resource_type: 'encrypt-resource',
    event_type,
    summary,
    resource: { original_type: kind, ...sealed(JSON.stringify(content.resource), apiV3Key, kind) },
  });
}

export function letterOf(body: string, headers: SignatureHeaders): Letter {
  return { form: 'v3', headers: { 'content-type': 'application/json', ...headers }, body };
}

/**
 * One delivery of a notice: null without an APIv3 key, since nothing is sent then. The first delivery may carry a probe for a signature;
 * the next one is right.
 */
export function v3Letter(
  world: World,
  merchant: SimulatedMerchant,
  notice: { readonly event: Event; readonly content: Content },
  attempt: number,
): Letter | null {
  const { apiV3Key, platform } = merchant;
  if (apiV3Key === null) return null;
  const body = envelope(notice.event, notice.content, apiV3Key);
  const headers = signatureHeaders(platform.forNotice(), body, world.signatureMs());
  return letterOf(body, attempt === 1 && platform.probes('notice') ? probed(headers) : headers);
}
