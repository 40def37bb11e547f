import { createHash, randomBytes } from 'node:crypto';
import { Hash } from 'wechatpay-axios-plugin';

/** Fields of a flat message. */
export type Fields = Record<string, string>;

const ELEMENT = /<([A-Za-z_][A-Za-z0-9_]*)>((?:<!\[CDATA\[[\s\S]*?\]\]>|[^<])*)<\/\1>/g;
/** A value is CDATA and text in any number and order. */
const PART = /<!\[CDATA\[([\s\S]*?)\]\]>|([^<]+)/g;
const ENTITIES: Readonly<Record<string, string>> = {
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
  '&amp;': '&',
};

/** Reads a flat message as an XML reader does, without trimming; null when there is no `<xml>` around it. */
export function readMessage(text: string): Fields | null {
  const inner = /^\s*(?:<\?xml[^>]*\?>)?\s*<xml>([\s\S]*)<\/xml>\s*$/.exec(text)?.[1];
  if (inner === undefined) return null;
  const pairs = [...inner.matchAll(ELEMENT)].map(([, name = '', content = '']) => [name, valueOf(content)]);
  return pairs.length === 0 ? null : (Object.fromEntries(pairs) as Fields);
}

/** What an XML reader hands on of an element's content: every line ends in a line feed, whatever was sent. */
function valueOf(content: string): string {
  return [...content.replace(/\r\n?/g, '\n').matchAll(PART)]
    .map(
      ([, cdata, plain = '']) =>
        cdata ?? plain.replace(/&(?:lt|gt|quot|apos|amp);/g, (entity) => ENTITIES[entity] ?? entity),
    )
    .join('');
}

/** Writes a message the way WeChat does: every value in CDATA. */
export function writeMessage(fields: Fields, root = 'xml'): string {
  const elements = Object.entries(fields).map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`);
  return `<${root}>${elements.join('\n')}</${root}>`;
}

export type SignType = 'MD5' | 'HMAC-SHA256';

/** The sign over every non-empty field, by the independent library. */
export function signOf(fields: Fields, key: string, signType: SignType): string {
  const signed = Object.fromEntries(Object.entries(fields).filter(([name, value]) => name !== 'sign' && value !== ''));
  return Hash.sign(signType, signed, key);
}

/** The algorithm a request asks for; MD5 when it names none. Null for a word that is none. */
export function signTypeOf(fields: Fields): SignType | null {
  const { sign_type: type = 'MD5' } = fields;
  return type === 'MD5' || type === 'HMAC-SHA256' ? type : null;
}

/** A signed message. */
export function signed(fields: Fields, key: string, signType: SignType): Fields {
  const whole = { ...fields, nonce_str: randomBytes(16).toString('hex') };
  return { ...whole, sign: signOf(whole, key, signType) };
}

const NOT_BUSINESS = ['nonce_str', 'sign', 'sign_type', 'notify_url'];

/** Equal for every send of one number if the caller keeps to the rule. */
export function parameterDigest(fields: Fields): string {
  const business = Object.entries(fields).filter(([name]) => !NOT_BUSINESS.includes(name));
  return createHash('sha256').update(JSON.stringify(business.sort())).digest('hex');
}

/** `yyyyMMddHHmmss` in Beijing time. */
export function beijingDigits(ms: number): string {
  return beijingText(ms).replace(/\D/g, '');
}

/** `yyyy-MM-dd HH:mm:ss` in Beijing time. */
export function beijingText(ms: number): string {
  return new Date(ms + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
}
