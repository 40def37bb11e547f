import type { MerchantAccount } from '../../merchants/merchant-account.js';
import type { Outgoing } from '../connections.js';
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

/** What an XML reader makes of a text: a line ends in a line feed. Only that is the same on both sides of a signature. */
const asRead = (text: string): string => text.replace(/\r\n?/g, '\n');

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
    ...Object.entries(business).flatMap(([name, value]) => (value === null ? [] : [[name, asRead(value)] as const])),
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
