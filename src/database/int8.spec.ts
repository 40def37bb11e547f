import { int8 } from './int8.js';

describe('int8', () => {
  it.each([
    ['0', 0],
    ['-1', -1],
    ['1000000000000', 1_000_000_000_000],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    [null, null],
  ])('reads %s as %s', (text, value) => {
    expect(int8.from(text)).toBe(value);
  });

  it.each(['9007199254740993', '9223372036854775807', 'NaN', '1.5', ''])(
    'refuses %j rather than rounding it',
    (text) => {
      expect(() => int8.from(text) as unknown).toThrow('safe integer');
    },
  );

  it('refuses to write what is no safe integer', () => {
    for (const value of [1.5, Number.NaN, 2 ** 53]) expect(() => int8.to(value) as unknown).toThrow('safe integer');
    expect([int8.to(7), int8.to(null)]).toEqual([7, null]);
  });
});
