import { type KeyObject, sign, verify } from 'node:crypto';

/** What a v3 request is signed over: five lines, each ended by LF; the path with its query exactly as sent. */
export interface V3Request {
  readonly method: string;
  readonly pathAndQuery: string;
  /** Seconds since 1970, as text. */
  readonly timestamp: string;
  readonly nonce: string;
  readonly body: string;
}

/** Source: WeChat Pay APIv3, "构造签名串". */
export function requestMessage(request: V3Request): string {
  const { method, pathAndQuery, timestamp, nonce, body } = request;
  return `${[method, pathAndQuery, timestamp, nonce, body].join('\n')}\n`;
}

/** What answers and notices are signed over; the body as the bytes that came. Source: "验证签名". */
export function answerMessage(timestamp: string, nonce: string, body: Buffer | string): Buffer {
  return Buffer.concat([Buffer.from(`${timestamp}\n${nonce}\n`), Buffer.from(body), Buffer.from('\n')]);
}

/** RSASSA-PKCS1-v1_5 with SHA-256, base64. */
export function signRsaSha256(message: string | Buffer, privateKey: KeyObject): string {
  return sign('RSA-SHA256', Buffer.from(message), privateKey).toString('base64');
}

/** True when the base64 signature is right; WeChat's deliberately wrong probes (`WECHATPAY/SIGNTEST/…`) are simply wrong. */
export function verifiesRsaSha256(message: string | Buffer, signature: string, publicKey: KeyObject): boolean {
  if (!/^[0-9A-Za-z+/]+={0,2}$/.test(signature)) return false;
  return verify('RSA-SHA256', Buffer.from(message), publicKey, Buffer.from(signature, 'base64'));
}
