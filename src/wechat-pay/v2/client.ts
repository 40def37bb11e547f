import type { MerchantAccount } from '../../merchants/merchant-account.js';
import type { Connection, Exchange, Outgoing } from '../connections.js';
import { sign, type Fields } from './signature.js';
import { writeXml } from './xml.js';

/** V2 calls and whether they need the client certificate. Source: WeChat Pay V2, the page of each call. */
export const V2_PATHS = {
  refund: '/secapi/pay/refund',
  refundQuery: '/pay/refundquery',
  unifiedOrder: '/pay/unifiedorder',
  orderQuery: '/pay/orderquery',
  closeOrder: '/pay/closeorder',
} as const;

/** The request's nonce_str: the gateway call's id, so that our log and WeChat's can be joined. */
export function nonceOf(callId: string): string {
  return callId.replaceAll('-', '');
}

/** A signed V2 request; null when the merchant has no APIv2 key. */
export function signedRequest(
  account: MerchantAccount,
  path: string,
  business: Readonly<Record<string, string | null>>,
  nonce: string,
): Outgoing | null {
  const key = account.apiV2Key?.current.reveal();
  if (key === undefined) return null;
  const fields: Fields = new Map([
    ...Object.entries(business).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const])),
    ['mch_id', account.mchId],
    ['nonce_str', nonce],
    ['sign_type', account.signType],
  ]);
  const signed = new Map([...fields, ['sign', sign(fields, key, account.signType)]]);
  return {
    method: 'POST',
    path,
    headers: { 'content-type': 'text/xml; charset=utf-8', accept: 'text/xml', 'user-agent': 'tuikuan' },
    body: writeXml(signed),
  };
}

/** One call on a connection that `take` gives; a connection that cannot be had is an exchange without an answer. */
export async function call(take: Promise<Connection>, request: Outgoing): Promise<Exchange> {
  try {
    const connection = await take;
    return await connection.exchange(request);
  } catch (error) {
    return { answered: false, reason: error instanceof Error ? error.message : String(error), durationMs: 0 };
  }
}
