import { CSV_HEAD, csvLines } from './refunds-csv.js';
import type { RefundView } from './refund.view.js';

const REFUND: RefundView = {
  id: 're_1',
  object: 'refund',
  status: 'failed',
  state: 'rejected',
  mch_id: '1900000001',
  appid: 'wx1',
  order: 'ord_1',
  out_trade_no: 'T1',
  transaction_id: '4200000215201811190261405420',
  out_refund_no: 'R1',
  refund_id: null,
  amount: 105,
  currency: 'CNY',
  reason: '退货',
  items: null,
  funds_account: null,
  failure: {
    code: 'refused_by_wechat',
    wechat_code: 'USER_ACCOUNT_ABNORMAL',
    message: null,
    retryable: false,
    what: '用户账户注销',
    why: null,
    next_step: null,
    who: null,
  },
  in_doubt: false,
  user_received_account: null,
  attempts: 1,
  next_attempt_at: null,
  api_version: 'v2',
  source: 'api',
  replaces: null,
  replaced_by: null,
  created_by: 'key_1',
  created_at: '2026-11-25T01:02:03.000Z',
  updated_at: '2026-11-25T01:02:03.000Z',
  succeeded_at: null,
  note: null,
  metadata: {},
};
const columns = CSV_HEAD.slice(1, -2).split(',');
const cells = (change: Partial<RefundView>): Record<string, string> => {
  const line = csvLines([{ ...REFUND, ...change }]);
  expect(line.endsWith('\r\n')).toBe(true);
  const values = line.slice(0, -2).match(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g) ?? [];
  return Object.fromEntries(columns.map((name, place) => [name, (values[place] ?? '').replace(/,$/, '')]));
};

it('the head begins with a byte order mark and ends its line as RFC 4180 has it', () => {
  expect(CSV_HEAD.startsWith('\ufeffid,created_at,status,state,amount_yuan,')).toBe(true);
  expect(CSV_HEAD.endsWith(',note\r\n')).toBe(true);
});

it('a refund is one line, what is not there an empty cell, long numbers kept from rounding', () => {
  expect(csvLines([REFUND, REFUND])).toBe(
    "re_1,2026-11-25T01:02:03.000Z,failed,rejected,1.05,R1,,T1,'4200000215201811190261405420,1900000001,wx1,ord_1,退货,refused_by_wechat,用户账户注销,,,api,key_1,\r\n".repeat(
      2,
    ),
  );
});

it.each([
  [1, '0.01'],
  [10, '0.10'],
  [100, '1.00'],
  [105, '1.05'],
  [1990, '19.90'],
  [1_000_000_000_000, '10000000000.00'],
])('%i fen are %s yuan', (amount, text) => {
  expect(cells({ amount })['amount_yuan']).toBe(text);
});

it.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '＝1', '＋1', '－1', '＠1'])(
  'a text that a spreadsheet would calculate is not: %j',
  (text) => {
    expect(cells({ note: text })['note']).toBe(`'${text}`);
    expect(cells({ reason: text, out_refund_no: text })).toMatchObject({
      reason: `'${text}`,
      out_refund_no: `'${text}`,
    });
  },
);

it.each([
  ['a,b', '"a,b"'],
  ['say "no"', '"say ""no"""'],
  ['two\nlines', '"two\nlines"'],
  ['\r=1', `"'\r=1"`],
  ['a=1', 'a=1'],
])('%j is written as %j', (text, cell) => {
  expect(cells({ note: text })['note']).toBe(cell);
});
