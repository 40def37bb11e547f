/** A hostile change of a genuine flat message, `<xml>…</xml>` or `<root>…</root>`. */
type Change = (genuine: string) => string | Buffer;

const rootOf = (genuine: string): string => /<([a-z]+)>/.exec(genuine)?.[1] ?? '';
/** The message with more behind its first tag. */
const inside =
  (more: string): Change =>
  (genuine) =>
    genuine.replace(/<[a-z]+>/, (tag) => tag + more);
const before =
  (more: string): Change =>
  (genuine) =>
    more + genuine;
const behind =
  (more: string): Change =>
  (genuine) =>
    genuine + more;
/** The message with a DOCTYPE before it and an element that uses what that declares. */
const declaring =
  (declarations: string, element = ''): Change =>
  (genuine) =>
    `<!DOCTYPE ${rootOf(genuine)} [${declarations}]>${String(inside(element)(genuine))}`;
const bytesInside =
  (...bytes: readonly number[]): Change =>
  (genuine) => {
    const [head = '', tail = ''] = String(inside('<a>\u0001</a>')(genuine)).split('\u0001');
    return Buffer.concat([Buffer.from(head), Buffer.from(bytes), Buffer.from(tail)]);
  };

const laughs = (levels: number): string =>
  Array.from({ length: levels }, (_, n) => `<!ENTITY l${n + 1} "${`&l${n};`.repeat(10)}">`).join('');
const HOSTILE_NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'] as const;

/** Rows X01 to X26 of faults.md 2.7: what no reader of ours takes, outside or decrypted. */
export const HOSTILE_XML: readonly (readonly [string, Change])[] = [
  ['X01 billion laughs of 4 levels', declaring(`<!ENTITY l0 "ha">${laughs(4)}`, '<a>&l4;</a>')],
  ['X01 billion laughs of 10 levels', declaring(`<!ENTITY l0 "ha">${laughs(10)}`, '<a>&l10;</a>')],
  ['X02 quadratic blow-up', declaring(`<!ENTITY a "${'x'.repeat(20_000)}">`, `<a>${'&a;'.repeat(1000)}</a>`)],
  [
    'X02 quadratic blow-up over the size',
    declaring(`<!ENTITY a "${'x'.repeat(50_000)}">`, `<a>${'&a;'.repeat(1000)}</a>`),
  ],
  ['X03 an external entity in a file', declaring('<!ENTITY a SYSTEM "file:///etc/passwd">', '<a>&a;</a>')],
  ['X03 an external entity over http', declaring('<!ENTITY a SYSTEM "http://127.0.0.1:9/x">', '<a>&a;</a>')],
  ['X03 an external entity over ftp', declaring('<!ENTITY a SYSTEM "ftp://127.0.0.1:9/x">', '<a>&a;</a>')],
  ['X04 a parameter entity', declaring('<!ENTITY % a SYSTEM "http://127.0.0.1:9/x">%a;')],
  ['X04 an external DTD', (genuine) => `<!DOCTYPE ${rootOf(genuine)} SYSTEM "http://127.0.0.1:9/x.dtd">${genuine}`],
  ['X04 XInclude', inside('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>')],
  ['X05 two DOCTYPEs', (genuine) => `<!DOCTYPE ${rootOf(genuine)}><!DOCTYPE ${rootOf(genuine)}>${genuine}`],
  ['X05 a DOCTYPE and nothing more', (genuine) => `<!DOCTYPE ${rootOf(genuine)}>${genuine}`],
  ['X06 an entity that spells SUCCESS', declaring('<!ENTITY s "SUCCESS">', '<result_code>&s;</result_code>')],
  ['X06 an entity nobody declared', inside('<a>&s;</a>')],
  ['X07 too many references', inside(`<a>${'&#65;'.repeat(10_000)}</a>`)],
  ['X07 a million references', inside(`<a>${'&#65;'.repeat(1_000_000)}</a>`)],
  ['X08 an entity name to choke on', inside(`<a>&${'a'.repeat(5000)};</a>`)],
  ['X08 an entity name of expressions', inside(`<a>&${'(a+)+'.repeat(1000)}!;</a>`)],
  ...HOSTILE_NAMES.map((name) => [`X09 ${name} as a name`, inside(`<${name}>1</${name}>`)] as const),
  ['X09 __proto__ as root', () => '<__proto__><a>1</a></__proto__>'],
  ['X09 constructor as root', () => '<constructor><a>1</a></constructor>'],
  ['X09 __proto__ as an attribute', inside('<a __proto__="1">1</a>')],
  ...['refund_fee', 'out_refund_no', 'refund_status'].map(
    (name) => [`X10 a doubled ${name}`, inside(`<${name}>1</${name}><${name}>2</${name}>`)] as const,
  ),
  ['X10 a doubled element with an equal value', inside('<a>1</a><a>1</a>')],
  ['X11 two roots', (genuine) => genuine + genuine],
  ['X11 text behind the root', behind('x')],
  ['X11 text before the root', before('x')],
  ['X11 a no-break space behind the root', behind('\u00a0')],
  ['X11 a no-break space between the elements', inside('\u00a0')],
  ['X12 crossed elements', inside('<a><b></a></b>')],
  ['X12 an unclosed element', inside('<a>1')],
  ['X12 an unclosed root', (genuine) => genuine.slice(0, genuine.lastIndexOf('<'))],
  ['X13 a stylesheet', before('<?xml-stylesheet href="x"?>')],
  ['X13 a processing instruction', inside('<?php echo 1 ?>')],
  ['X14 a namespace', inside('<a xmlns="urn:x">1</a>')],
  ['X14 a prefix', inside('<a:refund_fee>1</a:refund_fee>')],
  ['X15 200,000 elements', inside('<a>1</a>'.repeat(200_000))],
  ['X15 129 elements', inside(Array.from({ length: 129 }, (_, n) => `<a${n}>1</a${n}>`).join(''))],
  ['X16 20,000 levels', inside(`${'<a>'.repeat(20_000)}${'</a>'.repeat(20_000)}`)],
  ['X16 2,000 levels', inside(`${'<a>'.repeat(2000)}${'</a>'.repeat(2000)}`)],
  ['X16 a third level', inside('<a><b>1</b></a>')],
  ['X17 a megabyte of value', inside(`<a>${'x'.repeat(2 ** 20)}</a>`)],
  ['X17 a value over 8 KiB', inside(`<a>${'x'.repeat(8193)}</a>`)],
  ['X17 a megabyte of name', inside(`<${'a'.repeat(2 ** 20)}>1</${'a'.repeat(2 ** 20)}>`)],
  ['X17 a name of 65 letters', inside(`<${'a'.repeat(65)}>1</${'a'.repeat(65)}>`)],
  ['X17 10,000 attributes', inside(`<a ${'b="1" '.repeat(10_000)}>1</a>`)],
  ['X17 one attribute', inside('<a b="1">1</a>')],
  ['X18 invalid UTF-8', bytesInside(0xc3, 0x28)],
  ['X18 an overlong form', bytesInside(0xc0, 0xbc)],
  ['X18 a surrogate in UTF-8', bytesInside(0xed, 0xa0, 0x80)],
  ['X18 half a character', bytesInside(0xe9, 0x80)],
  ['X18 UTF-16', (genuine) => Buffer.from(genuine, 'utf16le')],
  ['X18 UTF-16 with its mark', (genuine) => Buffer.from(`\ufeff${genuine}`, 'utf16le')],
  ['X18 GBK declared', before('<?xml version="1.0" encoding="GBK"?>')],
  ['X18 UTF-7 declared', before('<?xml version="1.0" encoding="utf-7"?>')],
  ['X18 XML 1.1, which ends lines otherwise', before('<?xml version="1.1"?>')],
  ['X18 a declaration behind a blank', before(' <?xml version="1.0"?>')],
  ['X20 a BOM twice', before('\ufeff\ufeff')],
  ['X20 a BOM in the middle', inside('<a>1\ufeff</a>')],
  ['X21 CDATA that does not end', inside('<a><![CDATA[1</a>')],
  ['X21 CDATA in CDATA', inside('<a><![CDATA[<![CDATA[1]]>]]></a>')],
  ['X21 a closing bracket in text', inside('<a>1]]>2</a>')],
  ['X21 CDATA between the elements', inside('<![CDATA[1]]>')],
  ['X21 cdata in small letters', inside('<a><![cdata[1]]></a>')],
  ['X22 a comment that splits a value', inside('<a>SUC<!---->CESS</a>')],
  ['X22 a comment between the elements', inside('<!-- a -->')],
  ['X23 mixed content', inside('<a>R1<x/>2</a>')],
  ['X24 NUL', inside('<a>1\u0000</a>')],
  ['X24 a reference to NUL', inside('<a>&#0;</a>')],
  ['X24 a control character', inside('<a>\u0008</a>')],
  ['X24 a reference to a control character', inside('<a>&#8;</a>')],
  ['X24 a reference to a surrogate', inside('<a>&#xD800;</a>')],
  ['X24 what is no character', inside('<a>\ufffe</a>')],
  ['X24 a full-width name', inside('<ａ>1</ａ>')],
  ['X26 nothing', () => ''],
  ['X26 blanks', () => '  \n '],
  ['X26 an empty root', (genuine) => `<${rootOf(genuine)}/>`],
  ['X26 another root', (genuine) => genuine.replaceAll(new RegExp(`${rootOf(genuine)}>`, 'g'), 'other>')],
  ['X26 an HTML page', () => '<html><body>502</body></html>'],
  ['X26 names in capitals', inside('<A>1</A>')],
];
