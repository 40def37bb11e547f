import { createPublicKey, verify, X509Certificate } from 'node:crypto';
import { closeWhole } from './support/close-whole.js';
import { type Json, type Merchant, type Refund, Stack, unique } from './support/stack.js';

/** What is particular to API v3 and to moving between the protocols. */
let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start({ LOG_LEVEL: 'trace' });
});
afterAll(() => closeWhole(stack));

const v3Merchant = (simulator: Json = {}): Promise<Merchant> =>
  stack.merchant({ service: { api_version: 'v3' }, simulator });
const requestsOf = async ({ mchId }: Merchant): Promise<Json[]> =>
  ((await stack.control('GET', '/ledger')) as { requests: Json[] }).requests.filter((row) => row['mch_id'] === mchId);
const act = (refund: Refund, action: string, body?: Json) =>
  stack.api('POST', `/v1/refunds/${refund.id}/${action}`, body);

describe('an abnormal refund', () => {
  const CARD = {
    type: 'USER_BANK_CARD',
    bank_type: 'CMB_DEBIT',
    bank_account: '6225880012345678',
    real_name: '收款人',
  };

  async function abnormal(simulator: Json = {}): Promise<{ refund: Refund; merchant: Merchant }> {
    const merchant = await v3Merchant(simulator);
    const order = await stack.paidOrder(merchant, 1000);
    const refund = await stack.refund(order, { amount: 300 });
    await stack.until(refund.id, 'accepted');
    await stack.settle(refund, 'ABNORMAL');
    expect(await stack.until(refund.id, 'abnormal')).toMatchObject({
      status: 'requires_action',
      failure: { code: 'payer_account_abnormal', wechat_code: 'ABNORMAL' },
    });
    return { refund, merchant };
  }

  it.each([
    ['the payer’s card', CARD, {}],
    ['the payer’s card, encrypted for a platform certificate', CARD, { public_key: false }],
    ['the merchant’s own account', { type: 'MERCHANT_BANK_CARD' }, {}],
  ])('is repaired to %s, accepted again, and succeeds', async (_, wish, simulator) => {
    const { refund } = await abnormal(simulator);
    expect(await act(refund, 'repair', wish)).toMatchObject({
      status: 202,
      body: { state: 'accepted', status: 'processing' },
    });
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded');
    const call = (await stack.timeline(refund.id)).find(({ title }) => title === 'repair asked of WeChat');
    expect(call).toMatchObject({ detail: { api_version: 'v3', outcome: 'shown' } });
  });

  it('keeps the card nowhere: not in the database, the log or an answer', async () => {
    const { refund } = await abnormal();
    const answer = await act(refund, 'repair', CARD);
    const { rows } = await stack.database.query<{ text: string }>(`
      SELECT (SELECT coalesce(string_agg(c::text, ''), '') FROM gateway_call c) || (SELECT coalesce(string_agg(r::text, ''), '') FROM refund r)
        || (SELECT coalesce(string_agg(e::text, ''), '') FROM refund_event e) AS text`);
    const timeline = JSON.stringify(await stack.timeline(refund.id));
    for (const text of [JSON.stringify(answer.body), rows[0]?.text ?? '', timeline, stack.instances[0]?.log ?? '']) {
      expect(text).not.toContain(CARD.bank_account);
      expect(text).not.toContain(CARD.real_name);
    }
  });

  it('takes a whole card or none, and only while it is abnormal', async () => {
    const { refund } = await abnormal();
    const { real_name: _name, ...half } = CARD;
    expect(await act(refund, 'repair', half)).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'real_name' }] },
    });
    expect(await act(refund, 'repair', { ...CARD, type: 'MERCHANT_BANK_CARD' })).toMatchObject({ status: 400 });
    expect(await act(refund, 'repair', { ...CARD, bank_type: 'XXX_DEBIT' })).toMatchObject({ status: 400 });
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded');
    expect(await act(refund, 'repair', CARD)).toMatchObject({ status: 409, body: { code: 'invalid_state' } });
  });

  it('whose repair WeChat refuses or does not answer stays abnormal, and can be tried again', async () => {
    const { refund, merchant } = await abnormal();
    await stack.fault({ call: 'abnormal_refund', mch_id: merchant.mchId, fault: 'error', code: 'INVALID_REQUEST' });
    expect(await act(refund, 'repair', CARD)).toMatchObject({ status: 422, body: { code: 'wechat_refused' } });
    await stack.fault({ call: 'abnormal_refund', mch_id: merchant.mchId, fault: 'reset', after: false });
    expect(await act(refund, 'repair', CARD)).toMatchObject({ status: 503, body: { code: 'wechat_unavailable' } });
    expect(await stack.read(refund.id)).toMatchObject({ state: 'abnormal' });
    expect(await act(refund, 'repair', CARD)).toMatchObject({ status: 202 });
  });

  it('of V2 cannot be repaired over the API', async () => {
    const order = await stack.paidOrder(await stack.merchant(), 1000);
    const refund = await stack.refund(order, { amount: 300 });
    await stack.until(refund.id, 'accepted');
    await stack.settle(refund, 'CHANGE');
    await stack.until(refund.id, 'abnormal');
    expect(await act(refund, 'repair', CARD)).toMatchObject({ status: 409, body: { code: 'invalid_state' } });
  });
});

describe('a merchant that moves from V2 to v3', () => {
  it('refunds over v3 what was paid over V2, while a refund that went over V2 ends over V2', async () => {
    const merchant = await stack.merchant({ simulator: { public_key: true } });
    const order = await stack.paidOrder(merchant, 1000);
    const before = await stack.refund(order, { amount: 100 });
    await stack.until(before.id, 'accepted');

    const issued = await stack.control('POST', '/merchants', { mch_id: merchant.mchId });
    await stack.ok('PUT', `/v1/merchants/${merchant.mchId}/credentials`, {
      api_v3_key: issued['api_v3_key'],
      wechatpay_public_key_id: issued['wechatpay_public_key_id'],
      wechatpay_public_key_pem: issued['wechatpay_public_key_pem'],
    });
    await stack.ok('PATCH', `/v1/merchants/${merchant.mchId}`, { api_version: 'v3' });
    const after = await stack.refund(order, { amount: 200 });
    await stack.until(after.id, 'accepted');
    expect(await stack.read(before.id)).toMatchObject({ api_version: 'v2' });
    expect(await stack.read(after.id)).toMatchObject({ api_version: 'v3' });

    await stack.settle(before, 'SUCCESS');
    await stack.settle(after, 'SUCCESS');
    await stack.until(before.id, 'succeeded');
    await stack.until(after.id, 'succeeded');
    const versions = async (refund: Refund, call: string): Promise<unknown[]> => [
      ...new Set((await stack.requests(refund.out_refund_no, call)).map(({ version }) => version)),
    ];
    expect([await versions(before, 'refund'), await versions(before, 'refundquery')]).toEqual([['v2'], ['v2']]);
    expect(await versions(after, 'refund')).toEqual(['v3']);
    expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_refundable: 700 });
  });

  it('hears of refunds made by hand in V2 form, and takes them in from a signed v3 answer', async () => {
    const merchant = await v3Merchant();
    const order = await stack.paidOrder(merchant, 1000);
    const wish = { mch_id: merchant.mchId, out_trade_no: order.outTradeNo, amount: 400 };
    const hand = await stack.control('POST', '/refunds', wish);
    await stack.control('POST', `/refunds/${String(hand['out_refund_no'])}/state`, {
      state: 'SUCCESS',
      mch_id: merchant.mchId,
    });
    const now = await stack.eventually(
      () => stack.order(order),
      (seen) => seen['amount_refunded'] === 400,
    );
    expect(now).toMatchObject({ amount_refunded: 400, amount_refundable: 600 });
    const asked = await stack.requests(String(hand['out_refund_no']), 'refundquery');
    expect(new Set(asked.map(({ version }) => version))).toEqual(new Set(['v3']));
  });
});

describe('payment orders over v3', () => {
  it('give parameters for wx.requestPayment that verify with the merchant’s certificate', async () => {
    const merchant = await v3Merchant();
    const wish = {
      appid: merchant.appid,
      amount: 1990,
      description: '手冲咖啡',
      openid: 'o1',
      attach: 'a',
      out_trade_no: `T|*${unique()}`,
    };
    const order = await stack.ok('POST', '/v1/orders', wish);
    const payment = order['payment'] as Record<string, string>;
    expect(payment).toMatchObject({ signType: 'RSA', package: expect.stringMatching(/^prepay_id=/) });
    const { rows } = await stack.database.query<{ pem: string }>(
      `SELECT public_part AS pem FROM credential WHERE mch_id = $1 AND kind = 'client_certificate'`,
      [merchant.mchId],
    );
    const message = [merchant.appid, payment['timeStamp'], payment['nonceStr'], payment['package'], ''].join('\n');
    const key = new X509Certificate(rows[0]?.pem ?? '').publicKey;
    expect(verify('RSA-SHA256', Buffer.from(message), key, Buffer.from(payment['paySign'] ?? '', 'base64'))).toBe(true);

    const again = await stack.ok('POST', '/v1/orders', wish);
    expect((again['payment'] as Json)['package']).toBe(payment['package']);
    await stack.control('POST', '/payments', { mch_id: merchant.mchId, out_trade_no: wish.out_trade_no });
    const synced = await stack.ok('POST', `/v1/orders/${String(order['id'])}/sync`);
    expect(synced).toMatchObject({ status: 'paid', amount_paid: 1990, verified: true });
  });

  it('are closed, and one that was paid meanwhile is booked as paid', async () => {
    const merchant = await v3Merchant();
    const make = (): Promise<Json> =>
      stack.ok('POST', '/v1/orders', { appid: merchant.appid, amount: 5, description: 'x', openid: 'o1' });
    const close = (order: Json) => stack.api('POST', `/v1/orders/${String(order['id'])}/close`);
    const unpaid = await make();
    expect(await close(unpaid)).toMatchObject({ status: 200, body: { status: 'closed' } });
    await stack.control('POST', '/merchants', { mch_id: merchant.mchId, mute_notices: true });
    const paid = await make();
    await stack.control('POST', '/payments', { mch_id: merchant.mchId, out_trade_no: paid['out_trade_no'] });
    expect(await close(paid)).toMatchObject({ status: 409, body: { code: 'order_already_paid' } });
    expect(await stack.ok('GET', `/v1/orders/${String(paid['id'])}`)).toMatchObject({ status: 'paid' });
  });

  it('prepaid over V2 before the merchant moved are signed as V2 wants it while that prepay_id lives', async () => {
    const merchant = await stack.merchant();
    const wish = { appid: merchant.appid, amount: 5, description: 'x', openid: 'o1', out_trade_no: `T${unique()}` };
    const first = (await stack.ok('POST', '/v1/orders', wish))['payment'] as Json;
    const issued = await stack.control('POST', '/merchants', { mch_id: merchant.mchId });
    await stack.ok('PUT', `/v1/merchants/${merchant.mchId}/credentials`, { api_v3_key: issued['api_v3_key'] });
    await stack.ok('PATCH', `/v1/merchants/${merchant.mchId}`, { api_version: 'v3' });
    const second = (await stack.ok('POST', '/v1/orders', wish))['payment'] as Json;
    expect(second).toMatchObject({ package: first['package'], signType: 'HMAC-SHA256' });
  });
});

describe('the keys WeChat signs with', () => {
  it('may be a platform certificate that was downloaded, a public key, or either during a switch', async () => {
    const merchant = await v3Merchant({ notice_key: 'certificate' });
    const order = await stack.paidOrder(merchant, 10_000);
    const ended: Promise<unknown>[] = [];
    for (let n = 0; n < 12; n += 1) {
      const refund = await stack.refund(order, { amount: 10 });
      ended.push(
        stack
          .until(refund.id, 'accepted')
          .then(() => stack.settle(refund, 'SUCCESS'))
          .then(() => stack.until(refund.id, 'succeeded')),
      );
      // The switch goes on while refunds and notices are under way.
      await stack.control('POST', '/merchants', {
        mch_id: merchant.mchId,
        notice_key: n % 2 === 0 ? 'public_key' : 'certificate',
      });
      if (n === 6)
        await stack.control('POST', `/merchants/${merchant.mchId}/platform_certificate`, { action: 'rotate' });
    }
    await Promise.all(ended);
    const { acks } = (await stack.control('GET', '/ledger')) as { acks: Json[] };
    expect(acks.length).toBeGreaterThan(0);
    expect(await stack.order(order)).toMatchObject({ amount_refunded: 120 });
    const downloads = (await requestsOf(merchant)).filter(({ call }) => call === 'certificates');
    expect(downloads.length).toBeGreaterThanOrEqual(1);
    expect(downloads.length).toBeLessThanOrEqual(2);
  });

  it('of a merchant without a public key are its certificates, downloaded once for all who wait', async () => {
    const merchant = await v3Merchant({ public_key: false });
    const orders = await Promise.all(Array.from({ length: 10 }, () => stack.paidOrder(merchant, 100)));
    const refunds = await Promise.all(orders.map((order) => stack.refund(order, { amount: 1 })));
    await stack.untilAll(refunds, 'accepted');
    const downloads = (await requestsOf(merchant)).filter(({ call }) => call === 'certificates');
    expect(downloads).toHaveLength(1);
  });
});

describe('two merchants in one process', () => {
  it('never share a key, a certificate or a connection', async () => {
    const merchants = [await v3Merchant(), await stack.merchant(), await v3Merchant({ public_key: false })];
    const orders = await Promise.all(
      merchants.flatMap((merchant) => Array.from({ length: 8 }, () => stack.paidOrder(merchant, 100))),
    );
    const refunds = await Promise.all(orders.map((order) => stack.refund(order, { amount: 1 })));
    await stack.untilAll(refunds, 'accepted', 60);
    const rows = (await Promise.all(merchants.map(requestsOf))).flat();
    expect(rows.length).toBeGreaterThan(24);
    for (const row of rows) expect([row['call'], row['cert_mch_id']]).toEqual([row['call'], row['mch_id']]);
    const ownersOf = new Map<unknown, Set<unknown>>();
    for (const row of rows)
      ownersOf.set(row['connection'], (ownersOf.get(row['connection']) ?? new Set()).add(row['mch_id']));
    expect([...ownersOf.values()].filter((owners) => owners.size > 1)).toEqual([]);
    for (const { mchId } of merchants) {
      const issued = await stack.control('POST', '/merchants', { mch_id: mchId });
      const serials = rows
        .filter((row) => row['mch_id'] === mchId && row['version'] === 'v3')
        .map((row) => row['serial_no']);
      expect(new Set(serials).size).toBeLessThanOrEqual(1);
      for (const serial of serials) expect(serial).toBe(issued['serial']);
    }
  });
});

describe('the clock', () => {
  it('beside WeChat’s shows in /health/ready, and a skew of minutes is an incident', async () => {
    const merchant = await v3Merchant();
    await stack.paidOrder(merchant, 100);
    expect(Math.abs(Number((await stack.ok('GET', '/health/ready'))['clock_skew_seconds']))).toBeLessThan(60);
    await stack.control('POST', '/clock', { advance_s: 200 });
    await stack.paidOrder(merchant, 100);
    expect(Number((await stack.ok('GET', '/health/ready'))['clock_skew_seconds'])).toBeLessThan(-150);
    expect(stack.instances[0]?.log).toContain('"incident":"clock_skew"');
  });
});

it('no key of v3 stands in the log at trace', async () => {
  const merchant = await v3Merchant();
  const issued = await stack.control('POST', '/merchants', { mch_id: merchant.mchId });
  const log = stack.instances[0]?.log ?? '';
  expect(log.length).toBeGreaterThan(1000);
  for (const secret of [String(issued['api_v3_key']), 'PRIVATE KEY', 'WECHATPAY2-SHA256-RSA2048'])
    expect(log).not.toContain(secret);
  expect(createPublicKey(String(issued['wechatpay_public_key_pem'])).asymmetricKeyType).toBe('rsa');
});
