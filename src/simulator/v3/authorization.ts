import { Formatter, Rsa } from 'wechatpay-axios-plugin';
import type { SimulatedMerchant, World } from '../world.js';
import { refuse, type Refusal } from './answer.js';

/** What the Authorization header says. */
export interface Credentials {
  readonly mchid: string;
  readonly nonce_str: string;
  readonly signature: string;
  readonly timestamp: string;
  readonly serial_no: string;
}

/** What was signed, as it came over the wire. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query, not decoded. */
  readonly target: string;
  readonly body: Buffer;
}

const SCHEME = 'WECHATPAY2-SHA256-RSA2048 ';
const FIELDS: Readonly<Record<keyof Credentials, RegExp>> = {
  mchid: /^[0-9]{1,32}$/,
  nonce_str: /^[0-9A-Za-z]{1,32}$/,
  signature: /^[A-Za-z0-9+/]+={0,2}$/,
  timestamp: /^[1-9][0-9]{0,15}$/,
  serial_no: /^[0-9A-F]{1,64}$/,
};
const NAMES = Object.keys(FIELDS) as (keyof Credentials)[];
/** Source: protocol.md 6.6. */
const WINDOW_SECONDS = 300;

/**
 * Reads `WECHATPAY2-SHA256-RSA2048 mchid="…",nonce_str="…",…`: five pairs, comma separated without blanks, in any order, each once. Null
 * when the header is anything else.
 */
export function readAuthorization(header: string | undefined): Credentials | null {
  if (!header?.startsWith(SCHEME)) return null;
  const pairs = header
    .slice(SCHEME.length)
    .split(',')
    .map((part) => /^([a-z_]+)="([^"]*)"$/.exec(part)?.slice(1) ?? ['', '']);
  const given = Object.fromEntries(pairs) as Record<string, string>;
  const whole = pairs.length === NAMES.length && NAMES.every((name) => FIELDS[name].test(given[name] ?? ''));
  return whole ? (given as unknown as Credentials) : null;
}

const signError = (message: string, issue: string): Refusal =>
  refuse('SIGN_ERROR', message, { field: 'signature', location: 'authorization', detail: { issue } });

export const NO_CREDENTIALS = signError(
  'Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》',
  'header',
);

/** Why a request is not its merchant's; null when the signature holds under the certificate in force. */
export function signatureRefusal(
  world: World,
  merchant: SimulatedMerchant,
  credentials: Credentials,
  request: SignedRequest,
): Refusal | null {
  const { serial_no: serial, timestamp } = credentials;
  const certificate = merchant.apiCertificate;
  const inForce = certificate && certificate.endMs > Date.now() && !merchant.revoked.has(serial);
  if (!inForce || serial !== merchant.serial) return signError('商户证书序列号有误', 'serial_no');
  const offSeconds = Math.abs(world.signatureMs() / 1000 - Number(timestamp));
  if (offSeconds > WINDOW_SECONDS) return signError('Authorization中的timestamp与当前时间相差过大', 'timestamp');
  // Declared for texts; the library hands it to node:crypto, which takes bytes.
  const message = signedBytes(credentials, request) as unknown as string;
  const holds = Rsa.verify(message, credentials.signature, certificate.publicKey);
  return holds ? null : signError('错误的签名，验签失败', 'sign not match');
}

/** The library joins texts; the body is put in as the bytes it came in. */
function signedBytes({ timestamp, nonce_str: nonce }: Credentials, { method, target, body }: SignedRequest): Buffer {
  const head = Formatter.request(method, target, timestamp, nonce).slice(0, -1);
  return Buffer.concat([Buffer.from(head), body, Buffer.from('\n')]);
}
