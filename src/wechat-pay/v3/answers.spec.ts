import type { SendOutcome } from '../../refunds/refund-gateway.port.js';
import type { Exchange } from '../connections.js';
import { judgeQuery, judgeSend, readAnswer, type Reading } from './answers.js';
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
