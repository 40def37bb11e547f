import { Parser } from 'xml2js';
import { INHERITED_NAMES } from '../../common/http/json-body.js';
import type { Fields } from './signature.js';

/** The bytes are no flat message of WeChat's form. `message` says what is wrong and never holds any of it. */
export class XmlUnreadable extends Error {
  override readonly name = 'XmlUnreadable';
}

export const NOTICE_BYTES_MAX = 32 * 1024;
const NOTICE_LIMITS = { bytes: NOTICE_BYTES_MAX, elements: 128 } as const;
/** A list of ten refunds with coupons is longer than a notice. */
const ANSWER_LIMITS = { bytes: 256 * 1024, elements: 1024 } as const;
const VALUE_LENGTH_MAX = 8 * 1024;

// Blanks are XML's four: other readers take a no-break space for text.
const DECLARATION =
  /<\?xml version=["']1\.0["'](?: encoding=["'](?:utf|UTF)-8["'])?(?: standalone=["'](?:yes|no)["'])?[ \t\n]*\?>/y;
const OPEN = /[ \t\n]*<([a-z][a-z0-9_]{0,63})(\/?)>/y;
/** An element of one literal piece, text or CDATA, neither of them with `]]>` inside. */
const WHOLE =
  /[ \t\n]*<([a-z][a-z0-9_]{0,63})>(?:<!\[CDATA\[([^\]]*(?:\](?!\]>)[^\]]*)*)\]\]>|([^<&\]]*(?:\](?!\]>)[^<&\]]*)*))<\/\1>/y;
const CONTENT = /[^<&]+|&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});|<!\[CDATA\[[^]*?\]\]>/y;
const CDATA_END = ']]>';
const CLOSE = /<\/([a-z][a-z0-9_]{0,63})>/y;
const ROOT_CLOSE = /[ \t\n]*<\/(xml|root)>[ \t\n]*$/y;
const UTF8 = new TextDecoder('utf-8', { fatal: true });
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
  const limits = expect.answer ? ANSWER_LIMITS : NOTICE_LIMITS;
  if (bytes.length > limits.bytes) throw new XmlUnreadable('too long');
  const text = decode(bytes);
  const elements = elementsOf(text, expect.root, limits.elements);
  const literal = new Map(elements);
  if (literal.size < elements.length) throw new XmlUnreadable('an element stands twice');
  const fields = isWhole(literal) ? literal : parse(text, expect.root, literal.keys());
  for (const value of fields.values())
    if (value.length > VALUE_LENGTH_MAX) throw new XmlUnreadable('a value is too long');
  return fields;
}

/** True where the walk has given every value, which spares most messages the parser: three fifths of a notice's time. */
function isWhole(literal: ReadonlyMap<string, string | null>): literal is ReadonlyMap<string, string> {
  return [...literal.values()].every((value) => value !== null);
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
    const text = UTF8.decode(bytes);
    if (text.includes('\ufeff') || FORBIDDEN.test(text)) throw new XmlUnreadable('a forbidden character');
    // XML 1.0, 2.11: a reader sees every line end as LF.
    return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
  } catch (error) {
    throw error instanceof XmlUnreadable ? error : new XmlUnreadable('not UTF-8');
  }
}

/** A place in the text and the sticky tokens taken from there. */
class Scanner {
  private at = 0;

  constructor(private readonly text: string) {}

  take(token: RegExp): RegExpExecArray | null {
    token.lastIndex = this.at;
    const match = token.exec(this.text);
    if (match) this.at = token.lastIndex;
    return match;
  }
}

/** An element's name and its text; null where only the parser knows it: entities, or several pieces. */
type Element = readonly [name: string, literal: string | null];

/** Walks the text once and gives its elements; throws on anything outside the small grammar. */
function elementsOf(text: string, root: 'xml' | 'root', elementsMax: number): Element[] {
  const scanner = new Scanner(text);
  scanner.take(DECLARATION);
  const opened = scanner.take(OPEN);
  if (opened?.[1] !== root || opened[2] === '/') throw new XmlUnreadable('another root');
  const elements: Element[] = [];
  for (let end = scanner.take(ROOT_CLOSE); end?.[1] !== root; end = scanner.take(ROOT_CLOSE)) {
    if (end || elements.length >= elementsMax) throw new XmlUnreadable('another root, or too many elements');
    elements.push(takeElement(scanner));
  }
  return elements;
}

function takeElement(scanner: Scanner): Element {
  const [, name, cdata, text] = scanner.take(WHOLE) ?? [];
  const element: Element = name === undefined ? takePieces(scanner) : [name, cdata ?? text ?? ''];
  if (INHERITED_NAMES.has(element[0])) throw new XmlUnreadable('not a flat message');
  return element;
}

function takePieces(scanner: Scanner): Element {
  const [, name, empty] = scanner.take(OPEN) ?? [];
  if (name === undefined) throw new XmlUnreadable('not a flat message');
  if (empty === '/') return [name, ''];
  for (let content = scanner.take(CONTENT); content; content = scanner.take(CONTENT))
    if (!content[0].startsWith('<') && content[0].includes(CDATA_END)) throw new XmlUnreadable('not a flat message');
  if (scanner.take(CLOSE)?.[1] !== name) throw new XmlUnreadable('not a flat message');
  return [name, null];
}

function parse(text: string, root: string, names: Iterable<string>): ReadonlyMap<string, string> {
  const parsed = parsedBy(text, root);
  return new Map([...names].map((name) => [name, valueOf(parsed[name])]));
}

function valueOf(values: readonly unknown[] | undefined): string {
  const [value] = values ?? [];
  if (typeof value !== 'string' || values?.length !== 1) throw new XmlUnreadable('an element is not plain text');
  if (FORBIDDEN.test(value) || /\p{Surrogate}/u.test(value)) throw new XmlUnreadable('a forbidden character');
  return value;
}

function parsedBy(text: string, root: string): Readonly<Record<string, readonly unknown[] | undefined>> {
  let result: unknown = null;
  new Parser().parseString(text, (error: Error | null, parsed: unknown) => {
    if (!error) result = parsed;
  });
  if (result === null) throw new XmlUnreadable('not XML');
  return (result as Record<string, Record<string, unknown[]>>)[root] ?? {};
}
