import { Formatter, Rsa } from 'wechatpay-axios-plugin';
import type { SigningKey } from '../platform-keys.js';

/** The Wechatpay headers of an answer or notice. */
export type SignatureHeaders = Readonly<Record<string, string>>;

const PROBE = 'WECHATPAY/SIGNTEST/';

/** Signs a body as WeChat does, by the independent library; `ms` is the time the headers carry. Source: protocol.md 6.7. */
export function signatureHeaders(key: SigningKey, body: string, ms: number): SignatureHeaders {
  const timestamp = String(Math.floor(ms / 1000));
  const nonce = Formatter.nonce();
  return {
    'Wechatpay-Timestamp': timestamp,
    'Wechatpay-Nonce': nonce,
    'Wechatpay-Signature': Rsa.sign(Formatter.response(timestamp, nonce, body), key.privateKey),
    'Wechatpay-Serial': key.serial,
    'Wechatpay-Signature-Type': 'WECHATPAY2-SHA256-RSA2048',
  };
}

const changed = (headers: SignatureHeaders, change: (signature: string) => string): SignatureHeaders => ({
  ...headers,
  'Wechatpay-Signature': change(headers['Wechatpay-Signature'] ?? ''),
});

/** The same headers with a probe in place of the signature: as long, valid base64, and never right. Source: protocol.md 6.7. */
export const probed = (headers: SignatureHeaders): SignatureHeaders =>
  changed(headers, (signature) => PROBE + signature.slice(PROBE.length));

/** The same headers with a signature whose first character is another. */
export const spoiled = (headers: SignatureHeaders): SignatureHeaders =>
  changed(headers, (signature) => (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1));

/** The same JSON written anew with blanks, as by a proxy that parses and prints it. */
export const reserialised = (body: string): string => JSON.stringify(JSON.parse(body), null, 2);
