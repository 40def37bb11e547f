import { createHash, createHmac } from 'node:crypto';
import { type Fields, sign, signTypeOf, stringToSign, verifies } from './signature.js';

const KEY = '192006250b4c09247ec02edce69f6a2d';
const fields = (object: Readonly<Record<string, string>>): Fields => new Map(Object.entries(object));

describe('a V2 signature', () => {
  it('is made over every field that is not empty but sign, in byte order, and the key', () => {
    const text = stringToSign(fields({ b: '2', sign: 'x', a: '1', empty: '', B: '3', a_b: '退款' }), KEY);
    expect(text).toBe(`B=3&a=1&a_b=退款&b=2&key=${KEY}`);
  });

  it('is upper-case hex, over UTF-8', () => {
    const of = fields({ a: '退款' });
    const text = `a=退款&key=${KEY}`;
    expect(sign(of, KEY, 'MD5')).toBe(createHash('md5').update(text, 'utf8').digest('hex').toUpperCase());
    expect(sign(of, KEY, 'HMAC-SHA256')).toBe(
      createHmac('sha256', KEY).update(text, 'utf8').digest('hex').toUpperCase(),
    );
  });

  it.each(['MD5', 'HMAC-SHA256'] as const)('verifies under its own key and algorithm only: %s', (type) => {
    const of = fields({ a: '1' });
    const signed = new Map([...of, ['sign', sign(of, KEY, type)]]);
    expect(verifies(signed, KEY, type)).toBe(true);
    expect(verifies(signed, `${KEY}x`, type)).toBe(false);
    expect(verifies(signed, KEY, type === 'MD5' ? 'HMAC-SHA256' : 'MD5')).toBe(false);
    expect(verifies(new Map([...signed, ['a', '2']]), KEY, type)).toBe(false);
  });

  it.each([undefined, '', 'A', '0'.repeat(32), '0'.repeat(64), '退'.repeat(32)])('is not %p', (given) => {
    const signed = fields(given === undefined ? { a: '1' } : { a: '1', sign: given });
    for (const type of ['MD5', 'HMAC-SHA256'] as const) expect(verifies(signed, KEY, type)).toBe(false);
  });

  it.each<[Readonly<Record<string, string>>, string]>([
    [{ sign_type: 'MD5', sign: '0'.repeat(64) }, 'MD5'],
    [{ sign_type: 'HMAC-SHA256', sign: '0'.repeat(32) }, 'HMAC-SHA256'],
    [{ sign: '0'.repeat(64) }, 'HMAC-SHA256'],
    [{ sign: '0'.repeat(32) }, 'MD5'],
    [{ sign_type: 'NONE', sign: '0'.repeat(64) }, 'HMAC-SHA256'],
    [{ sign_type: '', sign: '0'.repeat(32) }, 'MD5'],
    [{}, 'MD5'],
  ])('of %p is of the type %s', (object, type) => {
    expect(signTypeOf(fields(object))).toBe(type);
  });
});
