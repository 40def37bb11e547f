import type { MerchantAccount } from '../../merchants/merchant-account.js';
import type { Outgoing } from '../connections.js';
import { requestMessage, signRsaSha256 } from './signature.js';

/** A v3 call. `path` holds the query and is percent-encoded already: it is signed as it is sent. */
export interface V3Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: object | null;
  readonly nonce: string;
  /** The key that fields of the body were encrypted for; else the one that the answer shall be signed with is named. */
  readonly encryptedFor?: string;
}

/**
 * A signed v3 request; null when the merchant has no certificate to sign with. Source: WeChat Pay APIv3, "签名生成" (five lines, RSA over
 * the bytes and the path really sent) and "如何使用微信支付公钥" (Wechatpay-Serial names the key of the answer).
 */
export function signedRequest(account: MerchantAccount, call: V3Call, wallMs: number): Outgoing | null {
  const { clientCertificate: certificate } = account;
  if (!certificate) return null;
  const { method, path, nonce } = call;
  const body = call.body === null ? '' : JSON.stringify(call.body);
  const timestamp = String(Math.floor(wallMs / 1000));
  const message = requestMessage({ method, pathAndQuery: path, timestamp, nonce, body });
  const parts = {
    mchid: account.mchId,
    nonce_str: nonce,
    signature: signRsaSha256(message, certificate.signingKey),
    timestamp,
    serial_no: certificate.serial,
  };
  const named = Object.entries(parts).map(([name, value]) => `${name}="${value}"`);
  const [publicKeyId] = account.wechatpayPublicKeys.keys();
  const serial = call.encryptedFor ?? publicKeyId;
  return {
    method,
    path,
    headers: {
      authorization: `WECHATPAY2-SHA256-RSA2048 ${named.join(',')}`,
      accept: 'application/json',
      'user-agent': 'tuikuan',
      ...(call.body !== null && { 'content-type': 'application/json' }),
      ...(serial !== undefined && { 'wechatpay-serial': serial }),
    },
    body: call.body === null ? null : body,
  };
}
