import { fenFromText, fenFromYuanText, isAmountFen } from './fen.js';

describe('money', () => {
  it.each([1, 100, 1_000_000_000_000])('%p is an amount', (value) => expect(isAmountFen(value)).toBe(true));

  it.each([0, -1, 1.5, NaN, Infinity, 1_000_000_000_001, '1', null, undefined, [], {}, 2 ** 53])(
    '%p is no amount',
    (value) => expect(isAmountFen(value)).toBe(false),
  );

  it.each(['0x10', '1e3', '007', '+1', '1.0', ' 1', '1 ', '', '-1', '١', '９', '12345678901234'])(
    '%p of WeChat is no number of fen',
    (text) => expect(fenFromText(text)).toBeNull(),
  );

  it('reads fen as they stand', () => expect(['0', '1', '1990'].map(fenFromText)).toEqual([0, 1, 1990]));

  it.each(['1.005', '1', '.5', '1.5', '-1.00', '1,000.00', '1e2', '01.00'])('%p is no yuan text', (text) =>
    expect(fenFromYuanText(text)).toBeNull(),
  );
});
