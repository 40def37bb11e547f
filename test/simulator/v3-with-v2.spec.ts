import { RawV3 } from './support/raw-v3.js';
import { type Issued, type Json, RawWechat } from './support/raw-wechat.js';

let wechat: RawWechat;
let v3: RawV3;
let shop: Issued;
beforeAll(async () => {
  wechat = await RawWechat.start();
  v3 = new RawV3(wechat);
  shop = await wechat.merchant();
});
beforeEach(() => wechat.set('/limits', { spacing_seconds: 0, failures_per_second: 1000 }));
afterAll(() => wechat.stop());

let count = 0;
const nextOrder = (): string => `T${Date.now()}${(count += 1)}`;
const byNumber = (order: string, mchid = shop.mch_id): string =>
  `/v3/pay/transactions/out-trade-no/${order}?mchid=${mchid}`;
const v3Body = (out_trade_no: string, wish: Json = {}): Json => ({
  appid: shop.appid,
  mchid: shop.mch_id,
  description: 'tea',
  out_trade_no,
  notify_url: 'https://shop.example/n',
  amount: { total: 1000, currency: 'CNY' },
  payer: { openid: 'oPayer' },
  ...wish,
});
const v2Fields = (out_trade_no: string): Record<string, string> => ({
  body: 'tea',
  out_trade_no,
  total_fee: '1000',
  spbill_create_ip: '127.0.0.1',
  notify_url: 'http://127.0.0.1:1/n',
  trade_type: 'JSAPI',
  openid: 'oPayer',
});
const pay = (order: string): Promise<Json> => wechat.set('/payments', { mch_id: shop.mch_id, out_trade_no: order });

describe('one set of books serves both protocols', () => {
  it('an order paid over V2 is refunded over v3, and both show it', async () => {
    const order = nextOrder();
    await wechat.post('/pay/unifiedorder', shop, v2Fields(order));
    await pay(order);
    const refund = await v3.refund(shop, order, { out_refund_no: `R${order}` });
    expect(refund.json).toMatchObject({ status: 'PROCESSING', out_trade_no: order });
    await wechat.set(`/refunds/R${order}/state`, { state: 'CLOSED' });
    const overV2 = await wechat.post('/pay/refundquery', shop, { out_refund_no: `R${order}` }, null);
    expect(overV2.fields).toMatchObject({ refund_status_0: 'REFUNDCLOSE', refund_id_0: refund.json['refund_id'] });
    expect((await v3.query(shop, `R${order}`)).json['status']).toBe('CLOSED');
    expect((await v3.get(shop, byNumber(order))).json['trade_state']).toBe('REFUND');
  });

  it('an order paid over v3 is refunded over V2, and both show it', async () => {
    const order = nextOrder();
    await v3.post(shop, '/v3/pay/transactions/jsapi', v3Body(order));
    await pay(order);
    const { fields } = await wechat.refund(shop, order, { total_fee: '1000', refund_fee: '300' });
    expect(fields).toMatchObject({ result_code: 'SUCCESS' });
    const seen = await v3.query(shop, fields['out_refund_no'] ?? '');
    expect(seen.json).toMatchObject({ refund_id: fields['refund_id'], amount: { refund: 300, total: 1000 } });
  });

  it('a number used over one is that refund over the other, too', async () => {
    const order = await wechat.order(shop, 1000);
    const first = await wechat.refund(shop, order, {
      out_refund_no: `R${order}`,
      total_fee: '1000',
      refund_fee: '400',
    });
    const again = await v3.refund(shop, order, { out_refund_no: `R${order}` });
    expect(again.json['refund_id']).toBe(first.fields['refund_id']);
    const more = await v3.refund(shop, order, { out_refund_no: `R${order}`, amount: { refund: 500 } });
    expect(more.json['code']).toBe('REFUND_FEE_MISMATCH');
  });

  it('sums and the minute between two refunds of an order count over both', async () => {
    const order = await wechat.order(shop, 1000);
    await wechat.refund(shop, order, { total_fee: '1000', refund_fee: '700' });
    expect((await v3.refund(shop, order)).json['code']).toBe('INVALID_REQUEST');
    await wechat.set('/limits', { spacing_seconds: 60 });
    expect((await v3.refund(shop, order, { amount: { refund: 1 } })).json['code']).toBe('FREQUENCY_LIMITED');
  });
});

describe('an order over v3', () => {
  it('has the same prepay_id when it is asked for again, and another order may not have its number', async () => {
    const order = nextOrder();
    const ask = async (wish: Json = {}): Promise<Json> =>
      (await v3.post(shop, '/v3/pay/transactions/jsapi', v3Body(order, wish))).json;
    const first = await ask();
    expect(await ask()).toEqual(first);
    expect((await ask({ amount: { total: 999 } }))['code']).toBe('OUT_TRADE_NO_USED');
    await pay(order);
    expect((await ask())['code']).toBe('ORDERPAID');
  });

  it.each<[string, Json, string]>([
    ['with a property that is not documented', { spbill_create_ip: '127.0.0.1' }, 'PARAM_ERROR'],
    ['of another merchant', { mchid: '1999999999' }, 'PARAM_ERROR'],
    ['of an appid that is not the merchant’s', { appid: 'wx0000000000000001' }, 'APPID_MCHID_NOT_MATCH'],
    ['without a payer', { payer: {} }, 'PARAM_ERROR'],
    ['with a total that is a text', { amount: { total: '1000' } }, 'PARAM_ERROR'],
    ['with a time_expire that is none', { time_expire: '20260101000000' }, 'PARAM_ERROR'],
  ])('%s is refused', async (_what, wish, code) => {
    const { json } = await v3.post(shop, '/v3/pay/transactions/jsapi', v3Body(nextOrder(), wish));
    expect(json['code']).toBe(code);
  });

  it('is shown unpaid, paid and closed, by its number or WeChat’s, to its merchant alone', async () => {
    const order = nextOrder();
    await v3.post(shop, '/v3/pay/transactions/jsapi', v3Body(order));
    const unpaid = await v3.get(shop, byNumber(order));
    expect(unpaid.json).toMatchObject({ out_trade_no: order, trade_state: 'NOTPAY' });
    expect(unpaid.json).not.toHaveProperty('transaction_id');
    const { transaction_id: id } = await pay(order);
    const paid = { trade_state: 'SUCCESS', transaction_id: id, amount: { total: 1000, payer_total: 1000 } };
    expect((await v3.get(shop, byNumber(order))).json).toMatchObject(paid);
    const target = `/v3/pay/transactions/id/${String(id)}?mchid=${shop.mch_id}`;
    expect((await v3.get(shop, target)).json).toMatchObject(paid);
    expect((await v3.get(shop, byNumber('T00000000'))).json['code']).toBe('ORDER_NOT_EXIST');
    const other = await wechat.merchant();
    expect((await v3.get(other, byNumber(order, other.mch_id))).json['code']).toBe('ORDER_NOT_EXIST');
    for (const wrong of [
      byNumber(order, '1999999999'),
      byNumber(order).replace(/\?.*/, ''),
      `${byNumber(order)}&a=1`,
    ]) {
      expect((await v3.get(shop, wrong)).json['code']).toBe('PARAM_ERROR');
    }
  });

  it('is closed once, unless it is paid', async () => {
    const [open, paid] = [nextOrder(), nextOrder()];
    for (const order of [open, paid]) await v3.post(shop, '/v3/pay/transactions/jsapi', v3Body(order));
    await pay(paid);
    const close = async (order: string): Promise<unknown> => {
      const target = `/v3/pay/transactions/out-trade-no/${order}/close`;
      const { status, json } = await v3.post(shop, target, { mchid: shop.mch_id });
      return json['code'] ?? status;
    };
    expect([await close(open), await close(open)]).toEqual([204, 'ORDER_CLOSED']);
    expect([await close(paid), await close('T00000000')]).toEqual(['ORDERPAID', 'ORDER_NOT_EXIST']);
    expect((await v3.get(shop, byNumber(open))).json['trade_state']).toBe('CLOSED');
  });

  it('is found by a number whose characters the path encodes', async () => {
    const order = `T|*-_${Date.now()}`;
    await v3.post(shop, '/v3/pay/transactions/jsapi', v3Body(order));
    const target = byNumber(encodeURIComponent(order).replace('*', '%2A'));
    expect((await v3.get(shop, target)).json['out_trade_no']).toBe(order);
  });
});

describe('the control API for v3', () => {
  it('hands out what a v3 merchant has, and shows it again', async () => {
    const merchant = await wechat.merchant({ api_v3_key: 'a'.repeat(32) });
    const material = {
      api_v3_key: 'a'.repeat(32),
      serial: expect.stringMatching(/^[0-9A-F]{40}$/) as string,
      wechatpay_public_key_id: expect.stringMatching(/^PUB_KEY_ID_\d+$/) as string,
      wechatpay_public_key_pem: expect.stringContaining('BEGIN PUBLIC KEY') as string,
    };
    expect(merchant).toMatchObject(material);
    const again = await wechat.set('/merchants', { mch_id: merchant.mch_id });
    expect(again).toMatchObject({ ...material, wechatpay_public_key_pem: merchant.wechatpay_public_key_pem });
  });

  it('changes one key at a time', async () => {
    const { mch_id, api_v2_key } = await wechat.merchant();
    const change = (body: Json): Promise<Json> => wechat.set(`/merchants/${mch_id}/key`, body);
    expect(await change({ api_v3_key: 'b'.repeat(32) })).toEqual({ mch_id, api_v3_key: 'b'.repeat(32) });
    expect(await change({ kind: 'v3' })).toEqual({ mch_id, api_v3_key: expect.stringMatching(/^\w{32}$/) as string });
    expect(await change({ api_v3_key: null })).toEqual({ mch_id, api_v3_key: null });
    const changed = await change({});
    expect(Object.keys(changed)).toEqual(['mch_id', 'api_v2_key']);
    expect(changed['api_v2_key']).not.toBe(api_v2_key);
  });

  it.each<[string, Json, string]>([
    ['/merchants', { public_key: false, platform_certificates: false }, 'cannot both be off'],
    ['/merchants', { platform_certificates: false, notice_key: 'certificate' }, 'names a key that is off'],
    ['/merchants', { api_v3_key: 'short' }, '32 letters and digits'],
    ['/faults', { call: 'certificate', fault: 'error' }, 'call must be one of'],
    ['/faults', { call: 'certificates', fault: 'error', status: 42 }, 'from 200 to 599'],
  ])('%s %j is refused with the reason', async (path, body, reason) => {
    const wish = path === '/merchants' ? { mch_id: '1700000000', appids: [], ...body } : body;
    const answer = await wechat.control('POST', path, wish);
    expect(answer).toEqual({ status: 400, body: { error: expect.stringContaining(reason) as string } });
  });
});
