import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export type SignType = 'HMAC-SHA256' | 'MD5';

/** The fields of a flat message; values raw, as sent. */
export type Fields = ReadonlyMap<string, string>;

/**
 * The text a V2 signature is made over: every non-empty field but `sign`, sorted by name in byte order, `name=value` joined by `&`,
 * then the key. All received fields count, unknown ones too: WeChat may add some at any time.
 * Source: WeChat Pay V2, "安全规范" (chapter 4_3).
 */
export function stringToSign(fields: Fields, key: string): string {
  const pairs = [...fields]
    .filter(([name, value]) => name !== 'sign' && value !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`);
  return [...pairs, `key=${key}`].join('&');
}

/** Upper-case hex; MD5 or HMAC-SHA256 with the APIv2 key. */
export function sign(fields: Fields, key: string, signType: SignType): string {
  const text = stringToSign(fields, key);
  const digest = signType === 'MD5' ? createHash('md5') : createHmac('sha256', key);
  return digest.update(text, 'utf8').digest('hex').toUpperCase();
}

/** True when `sign` of the fields is right; compared in constant time. Absent or of another length: false. */
export function verifies(fields: Fields, key: string, signType: SignType): boolean {
  const given = Buffer.from(fields.get('sign') ?? '');
  const expected = Buffer.from(sign(fields, key, signType));
  return given.length === expected.length && timingSafeEqual(given, expected);
}

const HMAC_HEX_LENGTH = 64;

/** The algorithm of a notice: named, or by the length of its sign (some notices name none). */
export function signTypeOf(fields: Fields): SignType {
  const named = fields.get('sign_type');
  if (named === 'HMAC-SHA256' || named === 'MD5') return named;
  return fields.get('sign')?.length === HMAC_HEX_LENGTH ? 'HMAC-SHA256' : 'MD5';
}
