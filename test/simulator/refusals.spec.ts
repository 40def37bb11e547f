import { type Fields, type Issued, RawWechat } from './support/raw-wechat.js';

let wechat: RawWechat;
let shop: Issued;
let other: Issued;

beforeAll(async () => {
  wechat = await RawWechat.start();
  [shop, other] = await Promise.all([wechat.merchant(), wechat.merchant()]);
});
afterAll(() => wechat.stop());
/** Failing requests are rationed too; the rules under test are switched on by their tests. */
beforeEach(() => wechat.set('/limits', { spacing_seconds: 0, failures_per_second: 1000, requests_per_second: 150 }));

const accepted = async (order: string): Promise<number> =>
  (await wechat.ledger('accepted')).filter((row) => row['out_trade_no'] === order).length;
const violations = async (order: string): Promise<unknown[]> =>
  (await wechat.ledger('violations')).filter((row) => row['out_trade_no'] === order).map((row) => row['rule']);

const GOOD: Fields = { total_fee: '1000', refund_fee: '400' };
const refusedAs = (code: string): unknown =>
  expect.objectContaining({ return_code: 'SUCCESS', result_code: 'FAIL', err_code: code }) as unknown;
const SUCCESS = expect.objectContaining({ return_code: 'SUCCESS', result_code: 'SUCCESS' }) as unknown;

describe('the simulated WeChat Pay, asked by hand-made requests, refuses a refund', () => {
  it('without a client certificate, before it reads anything', async () => {
    const order = await wechat.order(shop, 1000);
    const answer = await wechat.refund(shop, order, GOOD, null);
    expect(answer).toMatchObject({
      status: 400,
      text: expect.stringContaining('No required SSL certificate') as string,
    });
    expect(await accepted(order)).toBe(0);
  });

  it('under another merchant’s certificate', async () => {
    const order = await wechat.order(shop, 1000);
    const answer = await wechat.refund(shop, order, GOOD, other);
    expect(answer.fields).toEqual(refusedAs('CERT_ERROR'));
    expect([await accepted(order), await violations(order)]).toEqual([0, ['certificate']]);
  });

  it('under a certificate of an unknown authority or past its end', async () => {
    const order = await wechat.order(shop, 1000);
    const stranger = await RawWechat.start(null);
    try {
      const foreign = await stranger.merchant({ mch_id: shop.mch_id });
      const expired = await wechat.merchant({ valid_days: -1 });
      for (const certificate of [foreign, expired]) {
        const answer = await wechat.refund(shop, order, GOOD, certificate);
        expect(answer).toMatchObject({ status: 400, text: expect.stringContaining('SSL certificate error') as string });
      }
    } finally {
      stranger.stop();
    }
    expect(await accepted(order)).toBe(0);
  });

  it('under a revoked certificate, and takes it again once that is restored', async () => {
    const merchant = await wechat.merchant();
    const order = await wechat.order(merchant, 1000);
    await wechat.set(`/merchants/${merchant.mch_id}/certificate`, { action: 'revoke' });
    expect((await wechat.refund(merchant, order, GOOD)).fields).toEqual(refusedAs('CERT_ERROR'));
    await wechat.set(`/merchants/${merchant.mch_id}/certificate`, { action: 'restore' });
    expect((await wechat.refund(merchant, order, GOOD)).fields).toEqual(SUCCESS);
  });

  it('with a wrong sign, one of another key, or another algorithm than it names', async () => {
    const order = await wechat.order(shop, 1000);
    for (const wish of [{ sign: '0'.repeat(32) }, { sign: '' }, { sign_type: 'SHA1' }] as readonly Fields[]) {
      const answer = await wechat.refund(shop, order, { ...GOOD, ...wish });
      expect(answer.fields).toEqual({ return_code: 'FAIL', return_msg: '签名错误' });
    }
    const underOtherKey = await wechat.refund({ ...shop, api_v2_key: other.api_v2_key }, order, GOOD, shop);
    expect(underOtherKey.fields).toEqual({ return_code: 'FAIL', return_msg: '签名错误' });
    expect(await accepted(order)).toBe(0);
  });

  it('with a sign over a text that an XML reader reads otherwise: every line ends in a line feed', async () => {
    const order = await wechat.order(shop, 1000);
    for (const text of ['a\r\nb', 'a\rb'])
      expect((await wechat.refund(shop, order, { ...GOOD, refund_desc: text })).fields).toEqual({
        return_code: 'FAIL',
        return_msg: '签名错误',
      });
    expect(await accepted(order)).toBe(0);
    expect((await wechat.refund(shop, order, { ...GOOD, refund_desc: 'a\nb' })).fields).toEqual(SUCCESS);
  });

  it('and takes the same request signed with MD5 or HMAC-SHA256', async () => {
    const order = await wechat.order(shop, 1000);
    expect((await wechat.refund(shop, order, GOOD)).fields).toEqual(SUCCESS);
    expect((await wechat.refund(shop, order, { ...GOOD, sign_type: 'HMAC-SHA256' })).fields).toEqual(SUCCESS);
    expect(await accepted(order)).toBe(2);
  });

  it.each<[string, Fields, string]>([
    ['with a total that is not the order’s', { total_fee: '999' }, 'REFUND_FEE_MISMATCH'],
    ['with an amount that is no whole number of fen', { refund_fee: '4.00' }, 'PARAM_ERROR'],
    ['with a number outside WeChat’s alphabet', { out_refund_no: 'refund 1' }, 'PARAM_ERROR'],
    ['with a notify_url that carries parameters', { notify_url: 'https://shop.example/n?a=1' }, 'PARAM_ERROR'],
    ['of more than was paid', { refund_fee: '1001' }, 'ERROR'],
    ['of an order it does not know', { out_trade_no: 'T00000000' }, 'ORDERNOTEXIST'],
  ])('%s', async (_what, wish, code) => {
    const order = await wechat.order(shop, 1000);
    expect((await wechat.refund(shop, order, { ...GOOD, ...wish })).fields).toEqual(refusedAs(code));
    expect(await accepted(order)).toBe(0);
  });

  it('of an order of another merchant or another mini-program', async () => {
    const order = await wechat.order(shop, 1000);
    expect((await wechat.refund(other, order, GOOD)).fields).toEqual(refusedAs('ORDERNOTEXIST'));
    const elsewhere = { ...GOOD, appid: other.appid };
    expect((await wechat.refund(shop, order, elsewhere)).fields).toEqual(refusedAs('APPID_MCHID_NOT_MATCH'));
    expect(await accepted(order)).toBe(0);
  });

  it('of the same number with another amount, and answers the same amount again without moving more money', async () => {
    const order = await wechat.order(shop, 1000);
    const out_refund_no = 'same-number';
    const first = await wechat.refund(shop, order, { ...GOOD, out_refund_no });
    const again = await wechat.refund(shop, order, { ...GOOD, out_refund_no });
    expect(again.fields['refund_id']).toBe(first.fields['refund_id']);
    const changed = await wechat.refund(shop, order, { ...GOOD, refund_fee: '401', out_refund_no });
    expect(changed.fields).toEqual(refusedAs('REFUND_FEE_MISMATCH'));
    expect(await accepted(order)).toBe(1);
  });

  it('that brings the sum over what was paid, to the fen', async () => {
    const order = await wechat.order(shop, 1000);
    await wechat.refund(shop, order, { ...GOOD, refund_fee: '600' });
    expect((await wechat.refund(shop, order, { ...GOOD, refund_fee: '401' })).fields).toEqual(refusedAs('ERROR'));
    expect((await wechat.refund(shop, order, { ...GOOD, refund_fee: '400' })).fields).toEqual(SUCCESS);
  });

  it('that is the 51st of its order', async () => {
    const order = await wechat.order(shop, 1000);
    for (let count = 0; count < 50; count += 1) {
      expect((await wechat.refund(shop, order, { ...GOOD, refund_fee: '1' })).fields).toEqual(SUCCESS);
    }
    expect((await wechat.refund(shop, order, { ...GOOD, refund_fee: '1' })).fields).toEqual(
      refusedAs('INVALID_REQUEST'),
    );
    expect(await accepted(order)).toBe(50);
  });

  it('366 days after the payment, but not 364 days after it', async () => {
    const paidAt = (daysAgo: number): string => new Date(Date.now() - daysAgo * 86_400_000).toISOString();
    const late = await wechat.order(shop, 1000, { paid_at: paidAt(366) });
    const intime = await wechat.order(shop, 1000, { paid_at: paidAt(364) });
    expect((await wechat.refund(shop, late, GOOD)).fields).toEqual(refusedAs('TRADE_OVERDUE'));
    expect((await wechat.refund(shop, intime, GOOD)).fields).toEqual(SUCCESS);
  });

  it('that is the second of its order within 60 seconds', async () => {
    await wechat.set('/limits', { spacing_seconds: 60 });
    const order = await wechat.order(shop, 1000);
    expect((await wechat.refund(shop, order, GOOD)).fields).toEqual(SUCCESS);
    expect((await wechat.refund(shop, order, GOOD)).fields).toEqual(refusedAs('FREQUENCY_LIMITED'));
    expect([await accepted(order), await violations(order)]).toEqual([1, ['spacing']]);
    await wechat.set('/clock', { advance_s: 60 });
    expect((await wechat.refund(shop, order, GOOD)).fields).toEqual(SUCCESS);
  });

  it('without enough unsettled funds, from an address that is not allowed', async () => {
    const poor = await wechat.merchant({ balance_fen: 0 });
    const order = await wechat.order(poor, 1000);
    await wechat.set(`/merchants/${poor.mch_id}/balance`, { balance_fen: 399 });
    expect((await wechat.refund(poor, order, GOOD)).fields).toEqual(refusedAs('NOTENOUGH'));
    await wechat.set(`/merchants/${poor.mch_id}/balance`, { add_fen: 1 });
    expect((await wechat.refund(poor, order, GOOD)).fields).toEqual(SUCCESS);
    await wechat.set('/merchants', { mch_id: poor.mch_id, no_auth: true });
    expect((await wechat.refund(poor, order, GOOD)).fields).toEqual(refusedAs('NOAUTH'));
  });
});

describe('the simulated WeChat Pay rations requests', () => {
  it('and refuses the 151st of a second', async () => {
    const merchant = await wechat.merchant();
    const orders = await Promise.all(Array.from({ length: 10 }, () => wechat.order(merchant, 100_000)));
    const answers = await wechat.burst(
      merchant,
      Array.from({ length: 151 }, (_, place) => ({
        out_trade_no: orders[place % orders.length] ?? '',
        out_refund_no: `burst-${place}`,
        total_fee: '100000',
        refund_fee: '1',
      })),
    );
    const codes = answers.map(({ fields }) => fields['err_code'] ?? fields['result_code']);
    expect(codes.sort()).toEqual(['FREQUENCY_LIMITED', ...Array<string>(150).fill('SUCCESS')]);
    const broken = (await wechat.ledger('violations')).filter((row) => row['mch_id'] === merchant.mch_id);
    expect(broken.map((row) => row['rule'])).toEqual(['requests_per_second']);
  });

  it('and refuses the 7th failing one of a second', async () => {
    await wechat.set('/limits', { failures_per_second: 6 });
    const merchant = await wechat.merchant();
    const order = await wechat.order(merchant, 1000);
    const wrong = { ...GOOD, out_trade_no: order, total_fee: '999' };
    const answers = await wechat.burst(
      merchant,
      Array.from({ length: 7 }, (_, place) => ({ ...wrong, out_refund_no: `failing-${place}` })),
    );
    const codes = answers.map(({ fields }) => fields['err_code']);
    expect(codes).toEqual([...Array<string>(6).fill('REFUND_FEE_MISMATCH'), 'INVALID_REQ_TOO_MUCH']);
  });
});
