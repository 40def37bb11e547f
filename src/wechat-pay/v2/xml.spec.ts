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

  const messageOf = (text: string | Buffer, root: 'xml' | 'root' = 'xml', answer = false): string | null => {
    try {
      readXml(Buffer.from(text), { root, answer });
      return null;
    } catch (error) {
      if (error instanceof XmlUnreadable) return error.message;
      throw error;
    }
  };
  const many = (count: number): string => inXml(Array.from({ length: count }, (_, n) => `<a${n}>1</a${n}>`).join(''));
  const filled = (bytes: number): string => `<xml><a>1</a>${' '.repeat(bytes - '<xml><a>1</a></xml>'.length)}</xml>`;

  it.each<[string, string | Buffer, string | null]>([
    ['32 KiB', filled(NOTICE_BYTES_MAX), null],
    ['a byte more', filled(NOTICE_BYTES_MAX + 1), 'too long'],
    ['128 elements', many(128), null],
    ['129 elements', many(129), 'another root, or too many elements'],
    ['a value of 8 KiB', inXml(`<a>${'x'.repeat(8192)}</a>`), null],
    ['a longer value', inXml(`<a>${'x'.repeat(8193)}</a>`), 'a value is too long'],
    ['no elements', '<xml></xml>', null],
    ['blanks for elements', '<xml> \n\t</xml>', null],
    ['no UTF-8', Buffer.from([0x3c, 0xff]), 'not UTF-8'],
    ['a forbidden character', inXml('<a>\u0001</a>'), 'a forbidden character'],
    ['a reference to one', inXml('<a>&#1;</a>'), 'not XML'],
    ['a reference to what is no character', inXml('<a>&#xFFFE;</a>'), 'not XML'],
    ['a reference to half of one', inXml('<a>&#xD800;</a>'), 'not XML'],
    ['a reference to none', inXml('<a>&#x110000;</a>'), 'not XML'],
    ['an empty root', '<xml/>', 'another root'],
    ['another root', '<root></root>', 'another root'],
    ['a root that ends as another', '<xml></root>', 'another root, or too many elements'],
    ['no element', inXml('x'), 'not a flat message'],
    ['an end that is another', inXml('<a>1</b>'), 'not a flat message'],
    ['the end of CDATA in text', inXml('<a>]]></a>'), 'not a flat message'],
    ['the end of CDATA behind CDATA', inXml('<a><![CDATA[a]]>]]></a>'), 'not a flat message'],
    ['a doubled element', inXml('<a>1</a><a>2</a>'), 'an element stands twice'],
  ])('of %s says what is wrong, and nothing of the message', (_, text, message) => {
    expect(messageOf(text)).toBe(message);
    expect(new XmlUnreadable('x').name).toBe('XmlUnreadable');
  });

  it('takes from an answer 256 KiB and 1024 elements, and no more', () => {
    const of = (text: string): string | null => messageOf(text, 'xml', true);
    expect([of(filled(256 * 1024)), of(filled(256 * 1024 + 1))]).toEqual([null, 'too long']);
    expect([of(many(1024)), of(many(1025))]).toEqual([null, 'another root, or too many elements']);
  });

  it.each([
    '<?xml version="1.0"?>',
    "<?xml version='1.0' encoding='utf-8'?>",
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>',
    '<?xml version="1.0" standalone="no" \n?>\n\t ',
  ])('takes the declaration %j', (declaration) => {
    expect(messageOf(declaration + GENUINE)).toBeNull();
  });

  it('reads names of every kind it takes, with values in pieces', () => {
    const name = `a${'b'.repeat(63)}`;
    const text = inXml(`\n<${name}>x&amp;<![CDATA[y]]><![CDATA[]]> z]]</${name}> <a_9/>\t<z1><![CDATA[]]]]></z1>\n`);
    expect([...read(text)]).toEqual([
      [name, 'x&y z]]'],
      ['a_9', ''],
      ['z1', ']]'],
    ]);
    expect([...readXml(Buffer.from('<root><a>1</a></root>'), { root: 'root' })]).toEqual([['a', '1']]);
  });

  it('writes empty values not at all, and the end of CDATA in two pieces', () => {
    expect(writeXml(new Map(Object.entries({ a: 'x', b: '', c: '1]]>2]]>3' })))).toBe(
      '<xml><a><![CDATA[x]]></a><c><![CDATA[1]]]]><![CDATA[>2]]]]><![CDATA[>3]]></c></xml>',
    );
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
