import fc from 'fast-check';
import { NOTICE_BYTES_MAX, readXml, writeXml } from './xml.js';

const read = (text: string | Buffer): ReadonlyMap<string, string> => readXml(Buffer.from(text), { root: 'xml' });
const inXml = (inner: string): string => `<xml>${inner}</xml>`;
const GENUINE =
  '<xml><return_code><![CDATA[SUCCESS]]></return_code>\n<appid><![CDATA[wx0000000000000001]]></appid><refund_fee>990</refund_fee></xml>';

describe('the XML reader', () => {
  it('reads what WeChat sends: CDATA, plain text, blanks between elements, a declaration, an empty value', () => {
    expect(Object.fromEntries(read(GENUINE))).toEqual({
      return_code: 'SUCCESS',
      appid: 'wx0000000000000001',
      refund_fee: '990',
    });
    expect(Object.fromEntries(read(`<?xml version="1.0" encoding="UTF-8"?>\n ${GENUINE} \n`)).refund_fee).toBe('990');
    expect([...read('\ufeff<xml><a><![CDATA[]]></a><b></b><c/></xml>')]).toEqual([
      ['a', ''],
      ['b', ''],
      ['c', ''],
    ]);
  });

  it('keeps values as text and as they are: digits, blanks, entities, Chinese', () => {
    const fields = read(
      inXml('<a>007</a><b> x </b><c>&lt;&amp;&#20013;</c><d><![CDATA[退款 & <b>]]></d><e> </e><f>1e3</f>'),
    );
    expect(Object.fromEntries(fields)).toEqual({ a: '007', b: ' x ', c: '<&中', d: '退款 & <b>', e: ' ', f: '1e3' });
  });

  it('reads back what the writer writes', () => {
    const text = fc
      .string({ unit: 'binary' })
      .filter((value) => !/[^\t\n -\ud7ff\ue000-\ufefe\uff00-\ufffd]/u.test(value));
    const property = fc.property(fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9_]{0,20}$/), text), (object) => {
      const fields = new Map(Object.entries(object).filter(([, value]) => value !== '' && !value.includes('\r')));
      expect([...read(writeXml(fields))]).toEqual([...fields]);
    });
    fc.assert(property, { numRuns: 300 });
  });

  const entity = (body: string): string => `<!DOCTYPE xml [${body}]>`;
  it.each<[string, string | Buffer]>([
    [
      'X01 billion laughs',
      `${entity('<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY c "&b;&b;">')}${inXml('<a>&c;</a>')}`,
    ],
    [
      'X02 quadratic blow-up',
      `${entity(`<!ENTITY a "${'x'.repeat(20_000)}">`)}${inXml(`<a>${'&a;'.repeat(100)}</a>`)}`,
    ],
    ['X03 an external entity', `${entity('<!ENTITY a SYSTEM "file:///etc/passwd">')}${inXml('<a>&a;</a>')}`],
    ['X04 a parameter entity', `${entity('<!ENTITY % a SYSTEM "http://example.invalid/x">%a;')}${inXml('<a>1</a>')}`],
    ['X04 an external DTD', `<!DOCTYPE xml SYSTEM "http://example.invalid/x.dtd">${inXml('<a>1</a>')}`],
    ['X05 two DOCTYPEs', `<!DOCTYPE xml><!DOCTYPE xml>${inXml('<a>1</a>')}`],
    [
      'X06 an entity that spells SUCCESS',
      `${entity('<!ENTITY s "SUCCESS">')}${inXml('<result_code>&s;</result_code>')}`,
    ],
    ['X06 an entity nobody declared', inXml('<a>&s;</a>')],
    ['X07 too many references', inXml(`<a>${'&#65;'.repeat(10_000)}</a>`)],
    ['X08 a long entity name', inXml(`<a>&${'a'.repeat(5000)};</a>`)],
    ['X09 __proto__ as a name', inXml('<__proto__>1</__proto__>')],
    ['X09 __proto__ as root', '<__proto__><a>1</a></__proto__>'],
    ['X10 a doubled element', inXml('<refund_fee>1</refund_fee><refund_fee>2</refund_fee>')],
    ['X10 a doubled element with an equal value', inXml('<a>1</a><a>1</a>')],
    ['X11 two roots', `${GENUINE}${GENUINE}`],
    ['X11 text after the root', `${GENUINE}x`],
    ['X11 text before the root', `x${GENUINE}`],
    ['X12 crossed elements', inXml('<a><b></a></b>')],
    ['X12 an unclosed element', '<xml><a>1</xml>'],
    ['X13 a processing instruction', `<?xml-stylesheet href="x"?>${GENUINE}`],
    ['X13 a processing instruction inside', inXml('<?php echo 1 ?><a>1</a>')],
    ['X14 a namespace', '<xml xmlns:a="urn:x"><a:refund_fee>1</a:refund_fee></xml>'],
    ['X15 200,000 elements', `<xml>${'<a>1</a>'.repeat(200_000)}</xml>`],
    ['X15 129 elements', inXml(Array.from({ length: 129 }, (_, n) => `<a${n}>1</a${n}>`).join(''))],
    ['X16 20,000 levels', `${'<xml>'.repeat(20_000)}${'</xml>'.repeat(20_000)}`],
    ['X17 a megabyte of value', inXml(`<a>${'x'.repeat(1_000_000)}</a>`)],
    ['X17 a value over 8 KiB', inXml(`<a>${'x'.repeat(8193)}</a>`)],
    ['X17 a long name', inXml(`<${'a'.repeat(65)}>1</${'a'.repeat(65)}>`)],
    ['X17 attributes', inXml(`<a ${'b="1" '.repeat(100)}>1</a>`)],
    [
      'X18 invalid UTF-8',
      Buffer.concat([Buffer.from('<xml><a>'), Buffer.from([0xc3, 0x28]), Buffer.from('</a></xml>')]),
    ],
    [
      'X18 an overlong form',
      Buffer.concat([Buffer.from('<xml><a>'), Buffer.from([0xc0, 0xbc]), Buffer.from('</a></xml>')]),
    ],
    ['X18 UTF-16', Buffer.from(GENUINE, 'utf16le')],
    ['X18 GBK declared', `<?xml version="1.0" encoding="GBK"?>${GENUINE}`],
    ['X18 UTF-7 declared', `<?xml version="1.0" encoding="utf-7"?>${GENUINE}`],
    ['X20 a BOM twice', `\ufeff\ufeff${GENUINE}`],
    ['X20 a BOM in the middle', inXml('<a>1\ufeff</a>')],
    ['X21 CDATA that does not end', '<xml><a><![CDATA[1</a></xml>'],
    ['X21 a closing bracket in text', inXml('<a>1]]>2</a>')],
    ['X22 a comment that splits a value', inXml('<a>SUC<!---->CESS</a>')],
    ['X23 mixed content', inXml('<a>R1<x/>2</a>')],
    ['X24 NUL', inXml('<a>1\u0000</a>')],
    ['X24 a reference to NUL', inXml('<a>&#0;</a>')],
    ['X24 a control character', inXml('<a>\u0008</a>')],
    ['X24 a reference to a surrogate', inXml('<a>&#xD800;</a>')],
    ['X26 nothing', ''],
    ['X26 blanks', '  \n '],
    ['X26 another root', '<root><a>1</a></root>'],
    ['X26 an HTML page', '<html><body>502</body></html>'],
    ['upper-case names', inXml('<A>1</A>')],
  ])('refuses %s', (_, input) => {
    const start = performance.now();
    expect(() => read(input)).toThrow();
    expect(performance.now() - start).toBeLessThan(200);
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
  });

  it.each([
    ['X21 a tag', '<![CDATA[<b>1</b>]]>', '<b>1</b>'],
    ['X21 two sections', '<![CDATA[a]]><![CDATA[b]]>', 'ab'],
    ['X25 another way to write a number', '0x10', '0x10'],
  ])('keeps %s in a value as text', (_, inner, value) => {
    expect(read(inXml(`<a>${inner}</a>`)).get('a')).toBe(value);
  });

  it('refuses a genuine message cut off at any byte', () => {
    const bytes = Buffer.from(GENUINE);
    for (let length = 0; length < bytes.length; length += 1) expect(() => read(bytes.subarray(0, length))).toThrow();
  });

  it('refuses what is longer than a notice', () => {
    expect(() => read(inXml(`<a>1</a>${' '.repeat(NOTICE_BYTES_MAX)}`))).toThrow('too long');
  });

  it('reads a changed message only if it still says what its text says', () => {
    const change = fc.tuple(
      fc.nat(GENUINE.length - 1),
      fc.constantFrom('<', '>', '&', '/', ']', '!', 'a', '0', ' ', '"', '\u0000'),
    );
    const property = fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const text = changes.reduce((now, [at, char]) => now.slice(0, at) + char + now.slice(at + 1), GENUINE);
      let fields: ReadonlyMap<string, string>;
      try {
        fields = read(text);
      } catch {
        return;
      }
      for (const [name, value] of fields) {
        expect(text).toContain(`<${name}>`);
        if (!/[<&>]/.test(value)) expect(text).toContain(value);
      }
    });
    fc.assert(property, { numRuns: 3000 });
  });
});
