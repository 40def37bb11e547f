import { type Change, RawV3, refundBody, type V3Answer } from './support/raw-v3.js';
import { type Issued, type Json, RawWechat } from './support/raw-wechat.js';

let wechat: RawWechat;
let v3: RawV3;
let shop: Issued;
let other: Issued;

beforeAll(async () => {
  wechat = await RawWechat.start();
  v3 = new RawV3(wechat);
  [shop, other] = await Promise.all([wechat.merchant(), wechat.merchant()]);
});
afterAll(() => wechat.stop());
/** Failing requests are rationed too; the rules under test are switched on by their tests. */
beforeEach(() => wechat.set('/limits', { spacing_seconds: 0, failures_per_second: 1000, requests_per_second: 150 }));

const accepted = async (order: string): Promise<number> =>
  (await wechat.ledger('accepted')).filter((row) => row['out_trade_no'] === order).length;
const said = ({ status, json }: V3Answer): unknown[] => [status, json['code'] ?? json['status']];
const TAKEN = [200, 'PROCESSING'];
const atSeconds = (off: number): number => Math.floor(Date.now() / 1000) + off;
const wechatpayHeaders = ({ headers }: V3Answer): string[] =>
  Object.keys(headers).filter((name) => name.startsWith('wechatpay-'));

describe('the simulated WeChat Pay, asked over v3 by hand-made requests, refuses as not signed a refund', () => {
  const without = { headers: { authorization: undefined } };
  const halved = { headers: { authorization: 'WECHATPAY2-SHA256-RSA2048 mchid="1900000001",nonce_str="a"' } };
  it.each<[string, (nowSeconds: number) => Change]>([
    ['without an Authorization header', () => without],
    ['with an Authorization header that lacks fields', () => halved],
    ['with another scheme', () => ({ scheme: 'WECHATPAY2-SM2-WITH-SM3' })],
    ['under another merchant’s serial', () => ({ serial_no: other.serial })],
    ['signed with another merchant’s key', () => ({ key: other.private_key_pem })],
    ['under another merchant’s serial, with its key', () => ({ serial_no: other.serial, key: other.private_key_pem })],
    ['with a nonce longer than 32', () => ({ nonce_str: 'n'.repeat(33) })],
    ['with a body one blank longer than what was signed', () => ({ sentBody: (body) => `${body} ` })],
    ['with a body that differs in one digit', () => ({ sentBody: (body) => body.replace('400', '401') })],
    ['on a path other than the signed one', () => ({ sentTarget: '/v3/refund/domestic/refunds?' })],
    ['signed more than five minutes ago', (now) => ({ timestamp: now - 302 })],
    ['signed for more than five minutes from now', (now) => ({ timestamp: now + 302 })],
  ])('%s', async (_what, change) => {
    const order = await wechat.order(shop, 1000);
    const now = Math.floor(Date.parse(String((await wechat.set('/clock', {}))['now'])) / 1000);
    const answer = await v3.refund(shop, order, {}, change(now));
    expect(said(answer)).toEqual([401, 'SIGN_ERROR']);
    expect(wechatpayHeaders(answer)).toEqual([]);
    expect(await accepted(order)).toBe(0);
  });

  it('under a certificate that is revoked, expired or no longer in force', async () => {
    const [merchant, expired] = await Promise.all([wechat.merchant(), wechat.merchant({ valid_days: -1 })]);
    const order = await wechat.order(merchant, 1000);
    const path = `/merchants/${merchant.mch_id}/certificate`;
    await wechat.set(path, { action: 'revoke' });
    expect(said(await v3.refund(merchant, order))).toEqual([401, 'SIGN_ERROR']);
    await wechat.set(path, { action: 'restore' });
    expect(said(await v3.refund(merchant, order))).toEqual(TAKEN);
    const renewed = { ...merchant, ...((await wechat.set(path, { action: 'renew' })) as unknown as Issued) };
    expect(said(await v3.refund(merchant, order))).toEqual([401, 'SIGN_ERROR']);
    expect(said(await v3.refund(renewed, order))).toEqual(TAKEN);
    expect(said(await v3.refund(expired, await wechat.order(expired, 1000)))).toEqual([401, 'SIGN_ERROR']);
  });

  it('and judges time by the simulated clock, which its Date header shows', async () => {
    const skewed = await RawWechat.start();
    try {
      const raw = new RawV3(skewed);
      const merchant = await skewed.merchant();
      const order = await skewed.order(merchant, 1000);
      await skewed.set('/clock', { advance_s: 600 });
      const refused = await raw.refund(merchant, order);
      expect(said(refused)).toEqual([401, 'SIGN_ERROR']);
      const ahead = Math.round((Date.parse(String(refused.headers.date)) - Date.now()) / 1000);
      expect(ahead).toBeGreaterThan(595);
      expect(said(await raw.refund(merchant, order, {}, { timestamp: atSeconds(600) }))).toEqual(TAKEN);
      await skewed.set('/clock', { signatures: 'machine', advance_s: 60 });
      expect(said(await raw.refund(merchant, order))).toEqual(TAKEN);
    } finally {
      skewed.stop();
    }
  });

  it('but takes one whose five fields come in another order', async () => {
    const order = await wechat.order(shop, 1000);
    expect(said(await v3.refund(shop, order, {}, { reversed: true }))).toEqual(TAKEN);
  });
});

describe('the simulated WeChat Pay, asked over v3 by hand-made requests, refuses a refund', () => {
  it('without Accept or User-Agent', async () => {
    const order = await wechat.order(shop, 1000);
    for (const name of ['accept', 'user-agent']) {
      const answer = await v3.refund(shop, order, {}, { headers: { [name]: undefined } });
      expect(said(answer)).toEqual([400, 'INVALID_REQUEST']);
    }
  });

  it('of a merchant it does not know, and one that names an unknown Wechatpay-Serial', async () => {
    const order = await wechat.order(shop, 1000);
    expect(said(await v3.refund(shop, order, {}, { mchid: '1999999999' }))).toEqual([404, 'MCH_NOT_EXISTS']);
    for (const serial of ['PUB_KEY_ID_0000', other.wechatpay_public_key_id, 'A'.repeat(40), shop.serial]) {
      const answer = await v3.refund(shop, order, {}, { headers: { 'wechatpay-serial': serial } });
      expect(said(answer)).toEqual([400, 'PARAM_ERROR']);
    }
    expect(await accepted(order)).toBe(0);
  });

  it.each<[string, Json]>([
    ['with a property that is not documented', { remark: 'tea' }],
    ['with an appid', { appid: 'wx0000000000000001' }],
    ['with a mchid', { mchid: '1900000001' }],
    ['with an undocumented property inside the amount', { amount: { refund_fee: 400 } }],
    ['without a currency', { amount: { currency: undefined } }],
    ['in another currency', { amount: { currency: 'USD' } }],
    ['with an amount that is a text', { amount: { refund: '400' } }],
    ['with an amount that is a fraction', { amount: { refund: 4.5 } }],
    ['with an amount of nothing', { amount: { refund: 0 } }],
    ['without an amount', { amount: undefined }],
    ['with an empty notify_url', { notify_url: '' }],
    ['with a notify_url that carries parameters', { notify_url: 'https://shop.example/n?a=1' }],
    ['with a plain http notify_url elsewhere', { notify_url: 'http://shop.example/n' }],
    ['with a number outside WeChat’s alphabet', { out_refund_no: 'refund 1' }],
    ['with a reason longer than 80', { reason: '退'.repeat(81) }],
    ['that names its order twice', { transaction_id: '4200000000000000000000000001' }],
    ['that names no order', { out_trade_no: undefined }],
  ])('%s: 400 PARAM_ERROR', async (_what, wish) => {
    const order = await wechat.order(shop, 1000);
    const body = { ...refundBody(order, wish), ...('amount' in wish && wish['amount'] === undefined ? wish : {}) };
    expect(said(await v3.post(shop, '/v3/refund/domestic/refunds', body))).toEqual([400, 'PARAM_ERROR']);
    expect(await accepted(order)).toBe(0);
  });

  it('whose body is no JSON object, or not called JSON', async () => {
    for (const body of ['', '[]', '{', 'null', '"refund"']) {
      expect(said(await v3.post(shop, '/v3/refund/domestic/refunds', body))).toEqual([400, 'PARAM_ERROR']);
    }
    const order = await wechat.order(shop, 1000);
    const answer = await v3.refund(shop, order, {}, { headers: { 'content-type': 'text/plain' } });
    expect(said(answer)).toEqual([400, 'INVALID_REQUEST']);
  });

  it.each<[string, Json, unknown[]]>([
    ['with a total that is not the order’s', { amount: { total: 999 } }, [400, 'REFUND_FEE_MISMATCH']],
    ['of more than was paid', { amount: { refund: 1001 } }, [400, 'INVALID_REQUEST']],
    ['of an order it does not know', { out_trade_no: 'T00000000' }, [404, 'RESOURCE_NOT_EXISTS']],
  ])('%s', async (_what, wish, refusal) => {
    const order = await wechat.order(shop, 1000);
    expect(said(await v3.refund(shop, order, wish))).toEqual(refusal);
    expect(await accepted(order)).toBe(0);
  });

  it('of an order of another merchant', async () => {
    const order = await wechat.order(shop, 1000);
    expect(said(await v3.refund(other, order))).toEqual([404, 'RESOURCE_NOT_EXISTS']);
    expect(await accepted(order)).toBe(0);
  });

  it('of the same number with another amount, and answers the same amount again without moving more money', async () => {
    const order = await wechat.order(shop, 1000);
    const out_refund_no = 'v3-same-number';
    const first = await v3.refund(shop, order, { out_refund_no });
    const again = await v3.refund(shop, order, { out_refund_no });
    expect([said(first), again.json['refund_id']]).toEqual([TAKEN, first.json['refund_id']]);
    const changed = await v3.refund(shop, order, { out_refund_no, amount: { refund: 401 } });
    expect(said(changed)).toEqual([400, 'REFUND_FEE_MISMATCH']);
    expect(await accepted(order)).toBe(1);
  });

  it('that brings the sum over what was paid, to the fen', async () => {
    const order = await wechat.order(shop, 1000);
    await v3.refund(shop, order, { amount: { refund: 600 } });
    expect(said(await v3.refund(shop, order, { amount: { refund: 401 } }))).toEqual([400, 'INVALID_REQUEST']);
    expect(said(await v3.refund(shop, order, { amount: { refund: 400 } }))).toEqual(TAKEN);
  });

  it('that is the 51st of its order', async () => {
    const order = await wechat.order(shop, 1000);
    const one = { amount: { refund: 1 } };
    for (let count = 0; count < 50; count += 1) expect(said(await v3.refund(shop, order, one))).toEqual(TAKEN);
    expect(said(await v3.refund(shop, order, one))).toEqual([400, 'INVALID_REQUEST']);
    expect(await accepted(order)).toBe(50);
  });

  it('366 days after the payment, but not 364 days after it', async () => {
    const paidAt = (daysAgo: number): string => new Date(Date.now() - daysAgo * 86_400_000).toISOString();
    const late = await wechat.order(shop, 1000, { paid_at: paidAt(366) });
    const intime = await wechat.order(shop, 1000, { paid_at: paidAt(364) });
    expect(said(await v3.refund(shop, late))).toEqual([400, 'TRADE_OVERDUE']);
    expect(said(await v3.refund(shop, intime))).toEqual(TAKEN);
  });

  it('that is the second of its order within 60 seconds', async () => {
    await wechat.set('/limits', { spacing_seconds: 60 });
    const order = await wechat.order(shop, 1000);
    expect(said(await v3.refund(shop, order))).toEqual(TAKEN);
    expect(said(await v3.refund(shop, order))).toEqual([429, 'FREQUENCY_LIMITED']);
    expect(await accepted(order)).toBe(1);
    await wechat.set('/clock', { advance_s: 60 });
    expect(said(await v3.refund(shop, order))).toEqual(TAKEN);
  });

  it('without enough unsettled funds, from an address that is not allowed', async () => {
    const poor = await wechat.merchant({ balance_fen: 0 });
    const order = await wechat.order(poor, 1000);
    await wechat.set(`/merchants/${poor.mch_id}/balance`, { balance_fen: 399 });
    expect(said(await v3.refund(poor, order))).toEqual([403, 'NOT_ENOUGH']);
    await wechat.set(`/merchants/${poor.mch_id}/balance`, { add_fen: 1 });
    expect(said(await v3.refund(poor, order))).toEqual(TAKEN);
    await wechat.set('/merchants', { mch_id: poor.mch_id, no_auth: true });
    expect(said(await v3.refund(poor, order))).toEqual([403, 'NO_AUTH']);
  });
});

describe('the simulated WeChat Pay rations v3 requests', () => {
  it('and refuses the 31st of a second that has room for thirty', async () => {
    // 151 signatures take a busy machine longer than the second; V2, which has none, is tried with the real limit.
    await wechat.set('/limits', { requests_per_second: 30 });
    const merchant = await wechat.merchant();
    const orders = await Promise.all(Array.from({ length: 10 }, () => wechat.order(merchant, 100_000)));
    const bodies = Array.from({ length: 31 }, (_, place) =>
      refundBody(orders[place % orders.length] ?? '', { amount: { refund: 1, total: 100_000 } }),
    );
    const statuses = (await v3.burst(merchant, bodies)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([...Array<number>(30).fill(200), 429]);
    const broken = (await wechat.ledger('violations')).filter((row) => row['mch_id'] === merchant.mch_id);
    expect(broken.map((row) => row['rule'])).toEqual(['requests_per_second']);
  });

  it('and refuses the 7th failing one of a second', async () => {
    await wechat.set('/limits', { failures_per_second: 6 });
    const merchant = await wechat.merchant();
    const order = await wechat.order(merchant, 1000);
    const bodies = Array.from({ length: 7 }, () => refundBody(order, { amount: { total: 999 } }));
    const answers = await v3.burst(merchant, bodies);
    expect(answers.map(({ status }) => status)).toEqual([...Array<number>(6).fill(400), 429]);
  });
});
