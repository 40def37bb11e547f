import type { ClientCertificate } from '../exchange.js';
import type { Call } from '../faults.js';
import type { RequestRow } from '../ledger.js';
import { rateBroken } from '../rates.js';
import type { SimulatedMerchant, World } from '../world.js';
import { type Fields, signOf, signTypeOf } from './message.js';
import { closeOrder, orderQuery, unifiedOrder } from './orders.js';
import { type Answer, refund, refundQuery } from './refunds.js';

interface V2Call {
  readonly call: Call;
  readonly needsCertificate: boolean;
  readonly work: (world: World, merchant: SimulatedMerchant, fields: Fields) => Answer;
}

/** The V2 paths, and which of them the front server lets through only with a client certificate. */
export const V2_CALLS: Readonly<Record<string, V2Call>> = {
  '/secapi/pay/refund': { call: 'refund', needsCertificate: true, work: refund },
  '/pay/refundquery': { call: 'refundquery', needsCertificate: false, work: refundQuery },
  '/pay/unifiedorder': { call: 'unifiedorder', needsCertificate: false, work: unifiedOrder },
  '/pay/orderquery': { call: 'orderquery', needsCertificate: false, work: orderQuery },
  '/pay/closeorder': { call: 'closeorder', needsCertificate: false, work: closeOrder },
};

/** What is answered: a page, an unsigned refusal, or a signed business answer. */
export type Verdict =
  | { readonly kind: 'page'; readonly text: string }
  | { readonly kind: 'return_fail'; readonly text: string }
  | { readonly kind: 'answer'; readonly merchant: SimulatedMerchant; readonly answer: Answer };

const RATE_CODES = { requests_per_second: 'FREQUENCY_LIMITED', failures_per_second: 'INVALID_REQ_TOO_MUCH' } as const;

/** A request as it came in. */
export interface Incoming {
  readonly v2: V2Call;
  readonly fields: Fields;
  readonly certificate: ClientCertificate | null;
  readonly row: RequestRow;
}

/**
 * Judges a request in WeChat's order: front server (certificate), merchant, signature, certificate's owner, rate, business. `work` false
 * stops before anything is carried out.
 */
export function judge(world: World, request: Incoming, work: boolean): Verdict {
  const { v2, fields } = request;
  const text = v2.needsCertificate ? frontServer(request.certificate) : null;
  if (text !== null) return { kind: 'page', text };
  const merchant = world.merchants.get(fields['mch_id'] ?? '');
  if (!merchant) return { kind: 'return_fail', text: '商户号不存在' };
  if (!isSigned(fields, merchant)) return { kind: 'return_fail', text: '签名错误' };
  const refusal = refusalOf(world, merchant, request);
  if (refusal) return { kind: 'answer', merchant, answer: refusal };
  if (!work) return { kind: 'answer', merchant, answer: { code: 'SYSTEMERROR', text: 'system error' } };
  return { kind: 'answer', merchant, answer: v2.work(world, merchant, fields) };
}

/** What the front server says of a client certificate; null when it lets the request through. */
function frontServer(certificate: ClientCertificate | null): string | null {
  if (!certificate) return '400 No required SSL certificate was sent';
  return certificate.valid ? null : '400 The SSL certificate error';
}

function isSigned(fields: Fields, merchant: SimulatedMerchant): boolean {
  const signType = signTypeOf(fields);
  return signType !== null && fields['sign'] === signOf(fields, merchant.apiV2Key, signType);
}

function refusalOf(world: World, merchant: SimulatedMerchant, request: Incoming): Answer | null {
  const { v2, fields, certificate, row } = request;
  if (!merchant.appids.has(fields['appid'] ?? '')) {
    return { code: 'APPID_MCHID_NOT_MATCH', text: 'appid and mch_id do not match' };
  }
  if (!v2.needsCertificate || !certificate) return null;
  if (merchant.revoked.has(certificate.serial)) return { code: 'CERT_ERROR', text: '证书已作废' };
  if (certificate.mchId !== merchant.mchId) {
    world.ledger.violate('certificate', merchant.mchId, row.out_trade_no);
    return { code: 'CERT_ERROR', text: '商户号与API证书不匹配' };
  }
  if (merchant.noAuth) return { code: 'NOAUTH', text: 'the address is not on the allow-list' };
  const broken = rateBroken(world, merchant.mchId, row);
  return broken === null ? null : { code: RATE_CODES[broken], text: 'too many requests' };
}
