import fc from 'fast-check';
import { HOSTILE_XML } from '../../../test/faults/support/hostile-xml.js';
import { NOTICE_BYTES_MAX, readXml, writeXml, XmlUnreadable } from './xml.js';

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

  it.each(HOSTILE_XML.map(([name, bytes]) => [name, bytes(GENUINE)] as const))('refuses %s', (_, input) => {
    const start = performance.now();
    expect(() => read(input)).toThrow(XmlUnreadable);
    expect(performance.now() - start).toBeLessThan(200);
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

  it('reads every line end as LF, as any XML reader does', () => {
    expect([...read('<xml>\r\n<a>1\r\n2\r3\n4</a>\r<b><![CDATA[\r]]></b><c>&#13;</c></xml>\r\n')]).toEqual([
      ['a', '1\n2\n3\n4'],
      ['b', '\n'],
      ['c', '\r'],
    ]);
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
