import { type Issued, RawWechat, signOf } from './support/raw-wechat.js';

let wechat: RawWechat;
let shop: Issued;
beforeAll(async () => {
  wechat = await RawWechat.start();
  await wechat.set('/limits', { spacing_seconds: 0, failures_per_second: 1000 });
  shop = await wechat.merchant();
});
afterEach(() => wechat.control('DELETE', '/faults'));
afterAll(() => wechat.stop());

const accepted = async (number: string): Promise<number> =>
  (await wechat.ledger('accepted')).filter((row) => row['out_refund_no'] === number).length;
let count = 0;
const nextNumber = (): string => `N${(count += 1)}`;

it.each(['MD5', 'HMAC-SHA256'])('answers are signed as the request was: %s', async (sign_type) => {
  const order = await wechat.order(shop, 1000);
  const { fields } = await wechat.refund(shop, order, { sign_type, total_fee: '1000', refund_fee: '1' });
  expect(fields['sign']).toBe(signOf(fields, shop.api_v2_key, sign_type));
});

it('a query gives ten records a page, oldest first, and the total on every page', async () => {
  const order = await wechat.order(shop, 1000);
  const numbers = Array.from({ length: 23 }, nextNumber);
  for (const out_refund_no of numbers) {
    await wechat.refund(shop, order, { out_refund_no, total_fee: '1000', refund_fee: '2' });
  }
  const pages = await Promise.all(
    ['0', '10', '20'].map((offset) => wechat.post('/pay/refundquery', shop, { out_trade_no: order, offset }, null)),
  );
  const found = pages.flatMap(({ fields }) =>
    Array.from({ length: Number(fields['refund_count']) }, (_, n) => fields[`out_refund_no_${n}`]),
  );
  expect(found).toEqual(numbers);
  expect(pages.map(({ fields }) => fields['total_refund_count'])).toEqual(['23', '23', '23']);
  const beyond = await wechat.post('/pay/refundquery', shop, { out_trade_no: order, offset: '23' }, null);
  expect(beyond.fields).toMatchObject({ result_code: 'FAIL', err_code: 'PARAM_ERROR' });
});

it('a new refund is not found while the merchant’s visibility lags', async () => {
  const slow = await wechat.merchant({ visibility_lag_ms: 5000 });
  const order = await wechat.order(slow, 1000);
  const { fields } = await wechat.refund(slow, order, { total_fee: '1000', refund_fee: '2' });
  const query = { out_refund_no: fields['out_refund_no'] ?? '' };
  const unseen = await wechat.post('/pay/refundquery', slow, query, null);
  expect(unseen.fields).toMatchObject({ err_code: 'REFUNDNOTEXIST' });
  await wechat.set('/clock', { advance_s: 5 });
  const seen = await wechat.post('/pay/refundquery', slow, query, null);
  expect(seen.fields).toMatchObject({ out_refund_no_0: query.out_refund_no, refund_status_0: 'PROCESSING' });
});

describe('a planted fault', () => {
  it.each([
    ['bad_sign', { return_code: 'SUCCESS', result_code: 'SUCCESS' }, 1],
    ['other_refund', { return_code: 'SUCCESS', result_code: 'SUCCESS' }, 1],
    ['no_result', { return_code: 'SUCCESS' }, 1],
    ['error', { result_code: 'FAIL', err_code: 'BIZERR_NEED_RETRY' }, 0],
    ['return_fail', { return_code: 'FAIL', return_msg: 'BIZERR_NEED_RETRY' }, 0],
  ])('%s answers so and moves money as documented', async (fault, answer, moved) => {
    const order = await wechat.order(shop, 1000);
    const out_refund_no = nextNumber();
    await wechat.set('/faults', { call: 'refund', fault, out_refund_no, code: 'BIZERR_NEED_RETRY' });
    const { fields } = await wechat.refund(shop, order, { out_refund_no, total_fee: '1000', refund_fee: '2' });
    expect(fields).toMatchObject(answer);
    expect(fields['sign'] === signOf(fields, shop.api_v2_key)).toBe(!['bad_sign', 'return_fail'].includes(fault));
    expect(fields['out_refund_no'] === out_refund_no).toBe(['bad_sign', 'no_result'].includes(fault));
    expect(await accepted(out_refund_no)).toBe(moved);
    const next = await wechat.refund(shop, order, { out_refund_no, total_fee: '1000', refund_fee: '2' });
    expect(next.fields).toMatchObject({ result_code: 'SUCCESS', out_refund_no });
  });

  it('html answers a page, redirect a 302, reset cuts the connection', async () => {
    const order = await wechat.order(shop, 1000);
    const wish = { total_fee: '1000', refund_fee: '2' };
    const planted = (fault: string): Promise<unknown> => wechat.set('/faults', { call: 'refund', fault });
    await planted('html');
    expect((await wechat.refund(shop, order, wish)).text).toContain('502 Bad Gateway');
    await planted('redirect');
    expect((await wechat.refund(shop, order, wish)).status).toBe(302);
    await planted('reset');
    await expect(wechat.refund(shop, order, wish)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('stays for as many requests as `times` says, or for ever with null, until it is deleted', async () => {
    const order = await wechat.order(shop, 1000);
    const send = async (): Promise<string | undefined> =>
      (await wechat.refund(shop, order, { total_fee: '1000', refund_fee: '2' })).fields['err_code'];
    await wechat.set('/faults', { call: 'refund', fault: 'error', code: 'SYSTEMERROR', times: 2 });
    expect([await send(), await send(), await send()]).toEqual(['SYSTEMERROR', 'SYSTEMERROR', undefined]);
    await wechat.set('/faults', { call: 'refund', fault: 'error', code: 'ERROR', times: null });
    expect([await send(), await send(), await send()]).toEqual(['ERROR', 'ERROR', 'ERROR']);
    await wechat.control('DELETE', '/faults');
    expect(await send()).toBeUndefined();
  });
});

describe('the control API', () => {
  it.each<[string, string, Record<string, unknown>, string]>([
    ['POST', '/faults', { call: 'refund', fault: 'unheard' }, 'fault must be one of'],
    ['POST', '/faults', { call: 'pay', fault: 'error' }, 'call must be one of'],
    ['POST', '/orders', { mch_id: 'nobody' }, 'mch_id names no merchant'],
    ['POST', '/refunds/unheard/state', { state: 'SUCCESS' }, 'out_refund_no names no refund'],
    ['POST', '/notices/unheard', {}, 'out_refund_no names no refund'],
    ['POST', '/limits', { spacing_seconds: '60' }, 'spacing_seconds must be a whole number'],
  ])('%s %s %j is refused with the reason', async (method, path, body, reason) => {
    const answer = await wechat.control(method, path, body);
    expect(answer).toEqual({ status: 400, body: { error: expect.stringContaining(reason) as string } });
  });

  it('a call it does not know is answered with those that it does', async () => {
    const answer = await wechat.control('GET', '/nothing');
    expect(answer).toMatchObject({ status: 404, body: { calls: expect.arrayContaining(['GET /ledger']) as string[] } });
  });

  it('the ledger shows the certificate and the connection of every request', async () => {
    const order = await wechat.order(shop, 1000);
    const out_refund_no = nextNumber();
    await wechat.refund(shop, order, { out_refund_no, total_fee: '1000', refund_fee: '2' });
    const row = (await wechat.ledger('requests')).find((entry) => entry['out_refund_no'] === out_refund_no);
    expect(row).toMatchObject({ cert_mch_id: shop.mch_id, mch_id: shop.mch_id, answered: 'SUCCESS', accepted: true });
    expect(row?.['connection']).toBeGreaterThan(0);
  });
});
