import { IsInt, IsOptional, Matches, Min, ValidateNested, validateSync } from 'class-validator';
import fc from 'fast-check';
import { fits } from './fits.js';
import { PaymentNoticeFields, RefundNoticeFields } from './v2/notices.js';
import { NoticeEnvelope, RefundNoticeContent } from './v3/notices.js';

/** Replays with SEED=<the seed that a failure prints>. */
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

class Amount {
  @IsInt()
  @Min(1)
  total: number;

  @IsOptional()
  @Matches(/^[A-Z]{3}$/)
  currency?: string;
}

/** A message that fits, for each class. */
const MESSAGES: readonly (readonly [new () => object, Readonly<Record<string, unknown>>])[] = [
  [Amount, { total: 1, currency: 'CNY' }],
  [
    RefundNoticeFields,
    {
      transaction_id: '4200000001',
      out_trade_no: 'T-1',
      refund_id: '50000001',
      out_refund_no: 'R-1',
      total_fee: '100',
      refund_fee: '1',
      refund_status: 'SUCCESS',
      success_time: '2026-01-31 08:00:00',
      refund_recv_accout: '支付用户零钱',
    },
  ],
  [
    PaymentNoticeFields,
    {
      return_code: 'SUCCESS',
      result_code: 'SUCCESS',
      appid: 'wx1',
      out_trade_no: 'T-1',
      transaction_id: '4200000001',
      total_fee: '100',
      time_end: '20260131080000',
    },
  ],
  [NoticeEnvelope, { id: 'EV-1', event_type: 'REFUND.SUCCESS', resource_type: 'encrypt-resource', resource: {} }],
  [
    RefundNoticeContent,
    {
      mchid: '1900000001',
      transaction_id: '4200000001',
      out_trade_no: 'T-1',
      refund_id: '50000001',
      out_refund_no: 'R-1',
      refund_status: 'SUCCESS',
      amount: { total: 100, refund: 1 },
    },
  ],
];
const ODD = [
  undefined,
  null,
  '',
  ' ',
  '0',
  '01',
  '1\n',
  '1.5',
  1,
  0,
  -1,
  1.5,
  NaN,
  true,
  [],
  ['1'],
  {},
  '退款',
  'x'.repeat(201),
];

const report = (type: new () => object, members: object): unknown[] => validateSync(Object.assign(new type(), members));

describe('fits', () => {
  it.each(MESSAGES.map(([type, message]) => ({ name: type.name, type, message })))(
    '$name takes what class-validator takes, and nothing else',
    ({ type, message }) => {
      expect(fits(type, message)).toBe(true);
      expect(fits(type, { ...message, another: 'member' })).toBe(true);
      const names = Object.keys(message);
      const seen = { taken: 0, refused: 0 };
      const changes = fc.array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...ODD)), { maxLength: 3 });
      const property = fc.property(changes, (changed) => {
        const members = { ...message, ...Object.fromEntries(changed) };
        const taken = fits(type, members);
        seen[taken ? 'taken' : 'refused'] += 1;
        expect(taken).toBe(report(type, members).length === 0);
      });
      fc.assert(property, { numRuns: 500, seed });
      expect(Math.min(seen.taken, seen.refused)).toBeGreaterThan(0);
    },
  );

  it.each([null, undefined, 'text', 1, [], [{ total: 1 }]])('takes nothing but objects: %p', (value) => {
    expect(fits(Amount, value)).toBe(false);
  });

  it('refuses a missing member that has a rule', () => {
    expect(fits(Amount, { currency: 'CNY' })).toBe(false);
    expect(fits(Amount, { total: 1, currency: null })).toBe(true);
  });

  it('does not pass over a kind of rule that it does not know', () => {
    class Nested {
      @ValidateNested()
      amount: Amount;
    }
    class Each {
      @Matches(/^a$/, { each: true })
      names: string[];
    }
    expect(() => fits(Nested, { amount: {} })).toThrow('no other kind of rule');
    expect(() => fits(Each, { names: ['b'] })).toThrow('whole members');
  });
});
