import { type KeyObject, sign, verify } from 'node:crypto';

/** Why a signature proves nothing. `signtest_probe` is WeChat's own deliberately wrong one, sent to see whether we verify. */
export type SignatureFault = 'no_signature' | 'stale' | 'unknown_serial' | 'bad_signature' | 'signtest_probe';

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

/** Headers by lower-case name; a list where one stood more than once. */
export type SignedHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The signature of an answer or notice, as its headers have it. */
export interface MessageSignature {
  /** Seconds since 1970, as text. */
  readonly timestamp: string;
  readonly nonce: string;
  /** base64. */
  readonly signature: string;
  readonly serial: string;
}

const FORMS: Readonly<Record<keyof MessageSignature, RegExp>> = {
  timestamp: /^[1-9][0-9]{9}$/,
  nonce: /^[\x21-\x7e]{1,64}$/,
  signature: /^[\x21-\x7e]{1,1024}$/,
  serial: /^[0-9A-Za-z_]{1,64}$/,
};

/** The Wechatpay-* headers of a message; null unless each stands there once and has its form. */
export function signatureIn(headers: SignedHeaders): MessageSignature | null {
  const of = (name: keyof MessageSignature): string => {
    const value = headers[`wechatpay-${name}`];
    return typeof value === 'string' && FORMS[name].test(value) ? value : '';
  };
  const [timestamp, nonce, signature, serial] = [of('timestamp'), of('nonce'), of('signature'), of('serial')];
  return [timestamp, nonce, signature, serial].includes('') ? null : { timestamp, nonce, signature, serial };
}

/** True when `signed` holds over the body under this key. */
export function isSignedBy(key: KeyObject, signed: MessageSignature, body: Buffer): boolean {
  return verifiesRsaSha256(answerMessage(signed.timestamp, signed.nonce, body), signed.signature, key);
}
