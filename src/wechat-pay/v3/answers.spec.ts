import type { SendOutcome } from '../../refunds/refund-gateway.port.js';
import type { Exchange } from '../connections.js';
import {
  factsOf,
  fenOf,
  judgeQuery,
  judgeSend,
  memberOf,
  readAnswer,
  type Reading,
  textOf,
  timeOf,
} from './answers.js';
import { V3_SEND_OUTCOMES } from './outcomes.js';

const MCH_ID = '1900000001';
const SHOWN = {
  refund_id: '50',
  out_refund_no: 'R1',
  transaction_id: '42',
  out_trade_no: 'T000001',
  channel: 'ORIGINAL',
  status: 'PROCESSING',
  user_received_account: '支付用户零钱',
  success_time: '2026-01-01T12:05:06+08:00',
  amount: { total: 1000, refund: 300, currency: 'CNY' },
};

const answered = (status: number, body: unknown): Exchange => ({
  answered: true,
  status,
  headers: {},
  body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  durationMs: 5,
});
const good = () => Promise.resolve(null);
const bad = () => Promise.resolve('bad_signature');
const read = (exchange: Exchange, verify: () => Promise<string | null> = good): Promise<Reading> =>
  readAnswer(exchange, verify);
const sent = async (exchange: Exchange, verify = good as () => Promise<string | null>) =>
  judgeSend(await read(exchange, verify), MCH_ID, 5);
const queried = async (exchange: Exchange) => judgeQuery(await read(exchange), MCH_ID, 5);

/** design.md 5, the v3 column, written out a second time. */
const TABLE: readonly (readonly [number, string, SendOutcome])[] = [
  [403, 'NOT_ENOUGH', 'balance'],
  [401, 'SIGN_ERROR', 'configuration'],
  [403, 'NO_AUTH', 'configuration'],
  [403, 'RULE_LIMIT', 'configuration'],
  [403, 'REQUEST_BLOCKED', 'configuration'],
  [404, 'MCH_NOT_EXISTS', 'configuration'],
  [400, 'INVALID_REQUEST', 'refused'],
  [400, 'PARAM_ERROR', 'refused'],
  [403, 'USER_ACCOUNT_ABNORMAL', 'refused'],
  [404, 'RESOURCE_NOT_EXISTS', 'refused'],
  [403, 'TRADE_OVERDUE', 'refused'],
  [400, 'TRADE_OVERDUE', 'refused'],
  [400, 'REFUND_FEE_MISMATCH', 'differs'],
];

describe('an answer to a v3 refund request', () => {
  it.each(TABLE)('%d %s is %s', async (status, code, outcome) => {
    expect(await sent(answered(status, { code, message: 'text' }))).toMatchObject({ outcome, code, shown: null });
  });

  it('has no other believed code', () => {
    expect(Object.keys(V3_SEND_OUTCOMES).sort()).toEqual([...new Set(TABLE.map(([, code]) => code))].sort());
  });

  it.each<[string, Exchange]>([
    ['no answer', { answered: false, written: true, reason: 'reset', durationMs: 1 }],
    ['202', answered(202, '')],
    ['a redirect', answered(302, SHOWN)],
    ['429, whatever its code', answered(429, { code: 'FREQUENCY_LIMITED', message: '' })],
    ['429 with a code that is believed elsewhere', answered(429, { code: 'NOT_ENOUGH', message: '' })],
    ['500', answered(500, { code: 'SYSTEM_ERROR', message: '' })],
    ['503 with a code that is believed elsewhere', answered(503, { code: 'INVALID_REQUEST', message: '' })],
    ['a code nobody knows', answered(400, { code: 'NEVER_SEEN', message: '' })],
    ['a code that every object inherits', answered(400, { code: 'constructor', message: '' })],
    ['a known code under another status', answered(404, { code: 'NOT_ENOUGH', message: '' })],
    ['an HTML page', answered(400, '<html></html>')],
    ['a list', answered(200, [SHOWN])],
    ['half a body', answered(200, JSON.stringify(SHOWN).slice(0, 50))],
    ['an empty 200', answered(200, '')],
    ['no amount', answered(200, { ...SHOWN, amount: { total: 1000 } })],
    ['an amount that is text', answered(200, { ...SHOWN, amount: { total: 1000, refund: '300' } })],
    ['an amount in parts of a fen', answered(200, { ...SHOWN, amount: { total: 1000, refund: 300.5 } })],
    ['no refund_id', answered(200, { ...SHOWN, refund_id: undefined })],
    ['a status nobody knows', answered(200, { ...SHOWN, status: 'DONE' })],
    ['a status of V2', answered(200, { ...SHOWN, status: 'REFUNDCLOSE' })],
  ])('is unknown: %s', async (_, exchange) => {
    expect(await sent(exchange)).toMatchObject({ outcome: 'unknown', shown: null });
  });

  it('with a signature that does not verify is unknown, whatever it says', async () => {
    expect(await sent(answered(200, SHOWN), bad)).toMatchObject({ outcome: 'unknown', code: 'bad_sign', shown: null });
  });

  it.each([
    ['PROCESSING', 'accepted', null],
    ['SUCCESS', 'succeeded', '2026-01-01T12:05:06+08:00'],
    ['ABNORMAL', 'abnormal', null],
    ['CLOSED', 'closed', null],
  ])('%s shows the refund as %s', async (status, shown, succeededAt) => {
    expect(await sent(answered(200, { ...SHOWN, status }))).toMatchObject({
      outcome: 'shown',
      shown: { status: shown, mchId: MCH_ID, refundId: '50', refundFen: 300, totalFen: 1000, succeededAt },
    });
  });

  it('is kept for the call log by the path of each member', async () => {
    const { fields } = await sent(answered(200, SHOWN));
    expect(fields).toMatchObject({ refund_id: '50', 'amount.refund': '300', 'amount.currency': 'CNY' });
  });
});

describe('an answer to a v3 query', () => {
  it('says "not found" by 404 RESOURCE_NOT_EXISTS alone', async () => {
    expect(await queried(answered(404, { code: 'RESOURCE_NOT_EXISTS' }))).toMatchObject({ outcome: 'not_found' });
    for (const other of [answered(404, { code: 'MCH_NOT_EXISTS' }), answered(400, { code: 'RESOURCE_NOT_EXISTS' })])
      expect(await queried(other)).toMatchObject({ outcome: 'failed' });
    expect(await queried(answered(404, ''))).toMatchObject({ outcome: 'failed' });
  });

  it('shows the refund', async () => {
    expect(await queried(answered(200, { ...SHOWN, status: 'CLOSED' }))).toMatchObject({
      outcome: 'shown',
      shown: { status: 'closed' },
    });
  });
});

describe('what is read from a v3 answer before anything in it is believed', () => {
  const nothing = (code: string | null, message: string): Reading => ({ kind: 'nothing', code, message });
  const refusal = (status: number, code: string, message: string): Reading => ({
    kind: 'refusal',
    status,
    code,
    message,
  });

  it.each<[string, Exchange, Reading]>([
    ['nothing came', { answered: false, written: true, reason: 'reset', durationMs: 1 }, nothing(null, 'reset')],
    ['100', answered(199, SHOWN), nothing('http_199', 'a redirect, not followed')],
    ['200', answered(200, SHOWN), { kind: 'success', body: SHOWN }],
    ['299', answered(299, SHOWN), { kind: 'success', body: SHOWN }],
    ['204 and no body', answered(204, ''), { kind: 'success', body: null }],
    ['200 and no JSON', answered(200, 'x'), nothing('http_200', 'not readable')],
    ['200 and a text', answered(200, '"x"'), nothing('http_200', 'not readable')],
    ['200 and null', answered(200, 'null'), nothing('http_200', 'not readable')],
    ['200 and a list', answered(200, '[]'), nothing('http_200', 'not readable')],
    ['202', answered(202, SHOWN), nothing('http_202', 'taken by the gateway, not yet accepted')],
    ['300', answered(300, SHOWN), nothing('http_300', 'a redirect, not followed')],
    ['399', answered(399, { code: 'X' }), nothing('http_399', 'a redirect, not followed')],
    ['400', answered(400, { code: 'X', message: 'why' }), refusal(400, 'X', 'why')],
    ['400 without a message', answered(400, { code: 'X' }), refusal(400, 'X', 'an answer with status 400')],
    ['499', answered(499, { code: 'X', message: 'why' }), refusal(499, 'X', 'why')],
    ['400 without a code', answered(400, { message: 'why' }), nothing('http_400', 'why')],
    ['400 and no JSON', answered(400, 'x'), nothing('http_400', 'an answer with status 400')],
    ['429', answered(429, { code: 'X', message: 'why' }), nothing('X', 'why')],
    ['500', answered(500, { code: 'X', message: 'why' }), nothing('X', 'why')],
    ['500 and nothing', answered(500, ''), nothing('http_500', 'an answer with status 500')],
  ])('%s', async (_, exchange, reading) => {
    expect(await read(exchange)).toEqual(reading);
  });

  it('is nothing when the signature is wrong, with what is wrong; it is asked for no other kind', async () => {
    expect(await read(answered(200, SHOWN), bad)).toEqual(
      nothing('bad_sign', 'the signature proves nothing: bad_signature'),
    );
    expect(await read(answered(400, { code: 'X', message: '' }), bad)).toEqual(refusal(400, 'X', ''));
  });
});

describe('the whole of a judged v3 answer', () => {
  const shown = {
    outTradeNo: 'T000001',
    outRefundNo: 'R1',
    refundId: '50',
    refundFen: 300,
    totalFen: 1000,
    wechatStatus: 'PROCESSING',
    status: 'accepted',
    mchId: MCH_ID,
    appid: null,
    transactionId: '42',
    userReceivedAccount: '支付用户零钱',
    succeededAt: null,
  };
  const facts = { code: null, message: null, durationMs: 5 };

  it('that shows a refund', async () => {
    const answer = { ...facts, outcome: 'shown', shown, fields: expect.objectContaining({ refund_id: '50' }) };
    expect(await sent(answered(200, SHOWN))).toEqual({ ...answer, pauseSeconds: 0, written: true });
    expect(await queried(answered(200, SHOWN))).toEqual(answer);
  });

  it('that shows none', async () => {
    const answer = { ...facts, message: 'ids or amounts missing', shown: null, fields: {} };
    expect(await sent(answered(200, {}))).toEqual({ ...answer, outcome: 'unknown', pauseSeconds: 0, written: true });
    expect(await queried(answered(200, {}))).toEqual({ ...answer, outcome: 'failed' });
  });

  it('that refuses, or is none', async () => {
    const refused = { code: 'NOT_ENOUGH', message: 'why', fields: null, durationMs: 5, shown: null };
    const exchange = answered(403, { code: 'NOT_ENOUGH', message: 'why' });
    expect(await sent(exchange)).toEqual({ ...refused, outcome: 'balance', pauseSeconds: 0, written: true });
    expect(await queried(exchange)).toEqual({ ...refused, outcome: 'failed' });
    expect(await queried(answered(500, { code: 'RESOURCE_NOT_EXISTS' }))).toMatchObject({ outcome: 'failed' });
    expect(judgeSend({ kind: 'nothing', code: 'NOT_ENOUGH', message: '' }, MCH_ID, 5).outcome).toBe('unknown');
  });

  it('keeps members to a depth of three', () => {
    const reading: Reading = {
      kind: 'success',
      body: { a: { b: { c: 1, d: { e: 2 } } }, f: null, g: 'x', h: true, i: [1] },
    };
    expect(factsOf(reading, 1).fields).toEqual({ 'a.b.c': '1', f: 'null', g: 'x', h: 'true', 'i.0': '1' });
    expect(factsOf({ kind: 'success', body: null }, 1).fields).toEqual({ '': 'null' });
  });
});

describe('a member of an object', () => {
  it.each<[unknown, unknown]>([
    [{ a: 'x' }, 'x'],
    [{ a: 1 }, null],
    [{}, null],
    [null, null],
    ['a', null],
    [undefined, null],
  ])('of %p as a text is %p', (object, text) => {
    expect(textOf(object, 'a')).toBe(text);
  });

  it('is its own, not inherited', () => {
    expect(memberOf({}, 'toString')).toBeUndefined();
    expect(memberOf({ toString: 1 }, 'toString')).toBe(1);
  });

  it.each<[unknown, number | null]>([
    [0, 0],
    [300, 300],
    [-1, null],
    [1.5, null],
    [2 ** 53, null],
    ['300', null],
    [Number.NaN, null],
    [null, null],
  ])('%p as an amount is %p', (value, fen) => {
    expect(fenOf({ a: value }, 'a')).toBe(fen);
  });

  it.each([
    '2026-01-01T12:05:06+08:00',
    '2026-01-01T12:05:06Z',
    '2026-01-01T12:05:06.123456789-03:30',
    '2026-01-01T12:05:06.1+08:00',
  ])('%s is a time', (time) => {
    expect(timeOf({ a: time }, 'a')).toBe(time);
  });

  it.each([
    '',
    '2026-01-01',
    '2026-01-01T12:05:06',
    'x2026-01-01T12:05:06Z',
    '2026-01-01T12:05:06Zx',
    '2026-01-01T12:05:06.+08:00',
    '2026-01-01T12:05:06.1234567890Z',
    '2026-01-01T12:05:06.abcZ',
    '2026-13-01T12:05:06Z',
    '2026-01-01 12:05:06',
    'Thu, 01 Jan 2026 00:00:00 GMT',
    'x2026-01-01T12:05:06+08:00',
  ])('%p is no time', (time) => {
    expect(timeOf({ a: time }, 'a')).toBeNull();
  });
});
