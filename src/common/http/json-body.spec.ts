import { readJsonBody } from './json-body.js';

const read = (text: string): unknown => readJsonBody(Buffer.from(text));

describe('the JSON reader', () => {
  it('gives plain values back unchanged', () => {
    expect(read('{"a":1,"b":["x",{"c":null}],"d":"退款 \\"q\\": \\\\"}')).toEqual({
      a: 1,
      b: ['x', { c: null }],
      d: '退款 "q": \\',
    });
    expect(read('')).toEqual({});
    // Nothing in a text is taken for a number or a key.
    const text = '1e2, -0 and 0.5 are ": 9007199254740993';
    expect(read(JSON.stringify({ [text]: text, n: -12, m: [0, 9007199254740991] }))).toEqual({
      [text]: text,
      n: -12,
      m: [0, 9007199254740991],
    });
  });

  it.each([
    ['a doubled key', '{"amount":1,"amount":2}'],
    ['a doubled key with an equal value', '{"amount":1,"amount":1}'],
    ['a doubled key deep inside', '{"a":[{"b":{"c":1,"c":1}}]}'],
    ['a doubled key written with an escape', '{"amount":1,"\\u0061mount":1}'],
    ['an exponent', '{"amount":1e2}'],
    ['a fraction', '{"amount":1.5}'],
    ['a whole number written as a fraction', '{"amount":1.0}'],
    ['minus zero', '{"amount":-0}'],
    ['a number beyond 2^53', '{"amount":9007199254740993}'],
    ['a fraction in a list behind a text with quotes', '{"a":["\\"\\\\",1.5]}'],
    ['an infinite number', '{"amount":1e400}'],
    ['NaN', '{"amount":NaN}'],
    ['a prototype key', '{"__proto__":{"admin":true}}'],
    ['a constructor key', '{"a":{"constructor":{"prototype":{}}}}'],
    ['a key that every object inherits', '{"hasOwnProperty":1}'],
    ['NUL', '{"a":"\\u0000"}'],
    ['a lone surrogate', '{"a":"\\ud800"}'],
    ['deep nesting', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['text behind the value', '{} {}'],
    ['half a body', '{"a":'],
  ])('refuses %s', (_, text) => {
    expect(() => read(text)).toThrow('validation_failed');
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('admin');
  });

  it('refuses bytes that are not UTF-8', () => {
    expect(() => readJsonBody(Buffer.from([0x7b, 0xff, 0x7d]))).toThrow('cannot be read');
  });
});
