import { Parser } from 'xml2js';
import type { Fields } from './signature.js';

/** The bytes are no flat message of WeChat's form. `message` says what is wrong and never holds any of it. */
export class XmlUnreadable extends Error {
  override readonly name = 'XmlUnreadable';
}

/** Answers may be longer than notices. */
export const ANSWER_BYTES_MAX = 256 * 1024;
export const NOTICE_BYTES_MAX = 32 * 1024;
const ELEMENTS_MAX = 128;
const VALUE_LENGTH_MAX = 8 * 1024;
/** A refund list of ten refunds with coupons has more elements than a notice. */
const ANSWER_ELEMENTS_MAX = 1024;

const DECLARATION =
  /\s*<\?xml version=["']1\.[01]["'](?: encoding=["']utf-8["'])?(?: standalone=["'](?:yes|no)["'])?\s*\?>/iy;
const OPEN = /\s*<([a-z][a-z0-9_]{0,63})(\/?)>/y;
const CONTENT = /[^<&]+|&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});|<!\[CDATA\[(?:(?!\]\]>)[^])*\]\]>/y;
const CLOSE = /<\/([a-z][a-z0-9_]{0,63})>/y;
const ROOT_CLOSE = /\s*<\/(xml|root)>\s*$/y;
/** What XML 1.0 forbids, and what PostgreSQL cannot store. */
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

/**
 * Reads a flat message of WeChat: a root, elements with text, nothing else. What the parser would let through is refused before it
 * (faults.md 1.4 and 2.7): no DOCTYPE, processing instruction, attribute, namespace, comment, nesting, entity of one's own,
 * doubled element or second root. So whatever is accepted reads the same in any parser. Values are text, untrimmed.
 * Throws {@link XmlUnreadable}.
 */
export function readXml(bytes: Buffer, expect: { readonly root: 'xml' | 'root'; readonly answer?: boolean }): Fields {
  const limit = expect.answer ? ANSWER_BYTES_MAX : NOTICE_BYTES_MAX;
  if (bytes.length > limit) throw new XmlUnreadable('too long');
  const text = decode(bytes);
  const names = namesOf(text, expect.root, expect.answer ? ANSWER_ELEMENTS_MAX : ELEMENTS_MAX);
  const fields = new Map<string, string>();
  const parsed = parse(text, expect.root);
  for (const name of names) {
    const value = parsed[name]?.[0];
    if (typeof value !== 'string' || parsed[name]?.length !== 1)
      throw new XmlUnreadable('an element is not plain text');
    if (value.length > VALUE_LENGTH_MAX) throw new XmlUnreadable('a value is too long');
    if (FORBIDDEN.test(value) || /[\ud800-\udfff]/u.test(value)) throw new XmlUnreadable('a forbidden character');
    fields.set(name, value);
  }
  return fields;
}

/** Writes a flat message; empty values are left out, as in the signature. */
export function writeXml(fields: Fields): string {
  const elements = [...fields]
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `<${name}><![CDATA[${value.replaceAll(']]>', ']]]]><![CDATA[>')}]]></${name}>`);
  return `<xml>${elements.join('')}</xml>`;
}

function decode(bytes: Buffer): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (text.includes('\ufeff') || FORBIDDEN.test(text)) throw new XmlUnreadable('a forbidden character');
    return text;
  } catch (error) {
    throw error instanceof XmlUnreadable ? error : new XmlUnreadable('not UTF-8');
  }
}

/** Walks the text once and gives the element names; throws on anything outside the small grammar. */
function namesOf(text: string, root: 'xml' | 'root', elementsMax: number): string[] {
  let at = 0;
  const take = (token: RegExp): RegExpExecArray | null => {
    token.lastIndex = at;
    const match = token.exec(text);
    if (match) at = token.lastIndex;
    return match;
  };
  take(DECLARATION);
  const opened = take(OPEN);
  if (opened?.[1] !== root || opened[2] === '/') throw new XmlUnreadable('another root');
  const names: string[] = [];
  for (;;) {
    const end = take(ROOT_CLOSE);
    if (end) {
      if (end[1] !== root || at !== text.length) throw new XmlUnreadable('another root');
      return names;
    }
    const element = take(OPEN);
    if (!element?.[1]) throw new XmlUnreadable('not a flat message');
    names.push(element[1]);
    if (names.length > elementsMax) throw new XmlUnreadable('too many elements');
    if (element[2] === '/') continue;
    for (let content = take(CONTENT); content; content = take(CONTENT)) {
      if (!content[0].startsWith('<') && content[0].includes(']]>')) throw new XmlUnreadable('not a flat message');
    }
    if (take(CLOSE)?.[1] !== element[1]) throw new XmlUnreadable('not a flat message');
  }
}

function parse(text: string, root: string): Record<string, unknown[] | undefined> {
  let result: unknown = null;
  const parser = new Parser({ async: false, explicitArray: true, includeWhiteChars: true, charkey: '_', emptyTag: '' });
  parser.parseString(text, (error: Error | null, parsed: unknown) => {
    if (!error) result = parsed;
  });
  const content = typeof result === 'object' && result !== null && Object.hasOwn(result, root) ? Object(result) : null;
  if (content === null) throw new XmlUnreadable('not XML');
  const elements = (content as Record<string, unknown>)[root];
  return (typeof elements === 'object' && elements !== null ? elements : {}) as Record<string, unknown[]>;
}
