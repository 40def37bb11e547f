import { createHmac } from 'node:crypto';
import { type Answer, type Json, type Merchant, Stack, unique } from './support/stack.js';

let stack: Stack;
let merchant: Merchant;
beforeAll(async () => {
  stack = await Stack.start();
  merchant = await stack.merchant();
});
afterAll(() => stack.close());

const wishFor = (change: Json = {}): Json => ({
  appid: merchant.appid,
  out_trade_no: `T${unique()}`,
  amount: 1234,
  description: '测试商品',
  openid: 'oPayer-1',
  ...change,
});
const create = (wish: Json): Promise<Answer> => stack.api('POST', '/v1/orders', wish);
const pay = (order: Json): Promise<Json> =>
  stack.control('POST', '/payments', { mch_id: merchant.mchId, out_trade_no: order['out_trade_no'] });
const orderOf = (order: Json): Promise<Json> => stack.ok('GET', `/v1/orders/${String(order['id'])}`);
const prepays = async (order: Json): Promise<number> => {
  const { requests } = (await stack.control('GET', '/ledger')) as { requests: Json[] };
  return requests.filter((row) => row['call'] === 'unifiedorder' && row['out_trade_no'] === order['out_trade_no'])
    .length;
};

describe('an order', () => {
  it('is made, paid by the user, and booked as paid by the notice, once', async () => {
    const { status, body } = await create(wishFor({ metadata: { shop: '7' } }));
    expect(status).toBe(201);
    expect(body).toMatchObject({
      object: 'order',
      status: 'created',
      mch_id: merchant.mchId,
      amount: 1234,
      amount_paid: 0,
      amount_refundable: 0,
      refund_status: 'none',
      paid_at: null,
      metadata: { shop: '7' },
    });
    await pay(body);
    const paid = await stack.eventually(
      () => orderOf(body),
      (order) => order['status'] === 'paid',
    );
    expect(paid).toMatchObject({ amount_paid: 1234, amount_refundable: 1234, verified: true, refunds_remaining: 50 });
    expect(paid['transaction_id']).toMatch(/^4200/);
    expect(Date.parse(String(paid['refundable_until'])) - Date.parse(String(paid['paid_at']))).toBe(365 * 86_400_000);
  });

  it('comes with parameters for wx.requestPayment that the mini-program can verify', async () => {
    const { body } = await create(wishFor());
    const payment = body['payment'] as Record<string, string>;
    expect(payment['timeStamp']).toMatch(/^[0-9]{10}$/);
    expect(payment['package']).toMatch(/^prepay_id=wx/);
    const { api_v2_key: key } = await stack.control('POST', `/merchants/${merchant.mchId}/key`, {
      api_v2_key: 'k'.repeat(32),
    });
    expect(key).toBe('k'.repeat(32));
    await stack.ok('PUT', `/v1/merchants/${merchant.mchId}/credentials`, { api_v2_key: key });
    const signed = (await stack.ok('POST', '/v1/orders', wishFor()))['payment'] as Record<string, string>;
    const { paySign, ...fields } = signed;
    const text = Object.entries({ ...fields, appId: merchant.appid })
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `${name}=${value}`)
      .join('&');
    const sign = createHmac('sha256', String(key))
      .update(`${text}&key=${String(key)}`)
      .digest('hex')
      .toUpperCase();
    expect([fields['signType'], paySign]).toEqual(['HMAC-SHA256', sign]);
  });

  it('asked for again is the same order, whose prepay_id is signed anew', async () => {
    const wish = wishFor();
    const first = await create(wish);
    const again = await create(wish);
    expect([first.status, again.status, again.body['id']]).toEqual([201, 200, first.body['id']]);
    const [one, two] = [first, again].map(({ body }) => body['payment'] as Json);
    expect(two?.['package']).toBe(one?.['package']);
    expect(two?.['nonceStr']).not.toBe(one?.['nonceStr']);
    expect(await prepays(first.body)).toBe(1);
  });

  it('asked for again after two hours gets a prepay_id that lives', async () => {
    const wish = wishFor();
    const { body } = await create(wish);
    await stack.shiftClock('2 hours');
    try {
      expect((await create(wish)).status).toBe(200);
      expect(await prepays(body)).toBe(2);
    } finally {
      await stack.shiftClock('0');
    }
  });

  it.each([
    ['amount', { amount: 1235 }],
    ['description', { description: 'another' }],
    ['openid', { openid: 'oSomebodyElse' }],
    ['metadata', { metadata: { a: 'b' } }],
  ])('with a number that is used and another %s is refused', async (_, change) => {
    const wish = wishFor();
    await create(wish);
    expect(await create({ ...wish, ...change })).toMatchObject({
      status: 409,
      body: { code: 'out_trade_no_conflict' },
    });
  });

  it('made 20 times at once is one order', async () => {
    const wish = wishFor();
    const answers = await Promise.all(Array.from({ length: 20 }, () => create(wish)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(new Set(answers.map(({ body }) => body['id'])).size).toBe(1);
  });

  it('whose prepay is not answered waits for the same request', async () => {
    const wish = wishFor();
    await stack.fault({ call: 'unifiedorder', fault: 'reset', mch_id: merchant.mchId });
    const lost = await create(wish);
    expect(lost).toMatchObject({ status: 503, body: { code: 'wechat_unavailable', retryable: true } });
    expect(lost.headers.get('retry-after')).not.toBeNull();
    const { data } = (await stack.ok('GET', `/v1/orders?out_trade_no=${String(wish['out_trade_no'])}`)) as {
      data: Json[];
    };
    expect(data).toEqual([expect.objectContaining({ status: 'created' })]);
    expect(await create(wish)).toMatchObject({ status: 200, body: { id: data[0]?.['id'], status: 'created' } });
  });

  it('that WeChat refuses says why', async () => {
    await stack.fault({ call: 'unifiedorder', fault: 'error', code: 'NOAUTH', mch_id: merchant.mchId });
    const answer = await create(wishFor());
    expect(answer).toMatchObject({ status: 422, body: { code: 'wechat_refused' } });
    expect(answer.body['detail']).toContain('NOAUTH');
  });

  it.each<[string, Json]>([
    ['amount', { amount: 0 }],
    ['amount', { amount: '1' }],
    ['amount', { amount: null }],
    ['out_trade_no', { out_trade_no: 'short' }],
    ['out_trade_no', { out_trade_no: 'has blank 1' }],
    ['openid', { openid: '' }],
    ['description', { description: 'x'.repeat(128) }],
    ['description', { description: undefined }],
    ['expires_at', { expires_at: 'soon' }],
    ['expires_at', { expires_at: new Date(Date.now() + 240_000).toISOString() }],
    ['payer_client_ip', { payer_client_ip: '300.1.1.1' }],
    ['total_fee', { total_fee: 1 }],
    ['metadata', { metadata: { a: 1 } }],
  ])('with a wrong %s is refused and stored nowhere: %j', async (field, change) => {
    const wish = wishFor(change);
    const answer = await create(wish);
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect((answer.body['errors'] as Json[]).map((error) => error['field'])).toContain(field);
    const { rows } = await stack.database.query('SELECT 1 FROM payment_order WHERE out_trade_no = $1', [
      wish['out_trade_no'],
    ]);
    expect(rows).toEqual([]);
  });
});

describe('closing an order', () => {
  it('closes it at WeChat, once, and it can no longer be paid or refunded', async () => {
    const wish = wishFor();
    const { body } = await create(wish);
    const close = (): Promise<Answer> => stack.api('POST', `/v1/orders/${String(body['id'])}/close`);
    expect(await close()).toMatchObject({ status: 200, body: { status: 'closed' } });
    expect(await close()).toMatchObject({ status: 200, body: { status: 'closed' } });
    expect(await create(wish)).toMatchObject({ status: 409, body: { code: 'order_closed' } });
    await expect(pay(body)).rejects.toThrow('no order that can be paid');
    expect(
      await stack.api('POST', '/v1/refunds', { order: body['id'], amount: 1, out_refund_no: `R${unique()}` }),
    ).toMatchObject({ status: 422, body: { code: 'order_not_paid' } });
  });

  it('that was paid meanwhile books the payment and says so', async () => {
    const unheard = await stack.merchant({ simulator: { mute_notices: true } });
    const { body } = await create(wishFor({ appid: unheard.appid }));
    await stack.control('POST', '/payments', { mch_id: unheard.mchId, out_trade_no: body['out_trade_no'] });
    const answer = await stack.api('POST', `/v1/orders/${String(body['id'])}/close`);
    expect(answer).toMatchObject({ status: 409, body: { code: 'order_already_paid' } });
    expect(await orderOf(body)).toMatchObject({ status: 'paid', amount_paid: 1234 });
  });

  it('that WeChat does not answer leaves it as it was', async () => {
    const { body } = await create(wishFor());
    await stack.fault({ call: 'closeorder', fault: 'reset', mch_id: merchant.mchId, after: false });
    const answer = await stack.api('POST', `/v1/orders/${String(body['id'])}/close`);
    expect(answer).toMatchObject({ status: 503, body: { code: 'wechat_unavailable' } });
    expect(await orderOf(body)).toMatchObject({ status: 'created' });
  });
});

describe('a payment whose notice never came', () => {
  it('is found by the query of the reconciler', async () => {
    const unheard = await stack.merchant({ simulator: { mute_notices: true } });
    const { body } = await create(wishFor({ appid: unheard.appid }));
    await stack.control('POST', '/payments', { mch_id: unheard.mchId, out_trade_no: body['out_trade_no'] });
    await stack.shiftClock('2 minutes');
    try {
      const found = await stack.eventually(
        () => orderOf(body),
        (order) => order['status'] === 'paid',
      );
      expect(found).toMatchObject({ status: 'paid', amount_paid: 1234 });
    } finally {
      await stack.shiftClock('0');
    }
  });

  it('is found by sync', async () => {
    const unheard = await stack.merchant({ simulator: { mute_notices: true } });
    const { body } = await create(wishFor({ appid: unheard.appid }));
    const sync = (): Promise<Answer> => stack.api('POST', `/v1/orders/${String(body['id'])}/sync`);
    expect(await sync()).toMatchObject({ status: 200, body: { status: 'created' } });
    await stack.control('POST', '/payments', { mch_id: unheard.mchId, out_trade_no: body['out_trade_no'] });
    expect(await sync()).toMatchObject({ status: 200, body: { status: 'paid', amount_paid: 1234 } });
    await stack.fault({ call: 'orderquery', fault: 'bad_sign', mch_id: unheard.mchId });
    expect(await sync()).toMatchObject({ status: 503, body: { code: 'wechat_unavailable' } });
  });
});

describe('registering an order that was paid elsewhere', () => {
  const paidElsewhere = async (amount: number, of: Merchant = merchant): Promise<string> => {
    const outTradeNo = `T${unique()}`;
    await stack.control('POST', '/orders', {
      mch_id: of.mchId,
      appid: of.appid,
      out_trade_no: outTradeNo,
      total_fee: amount,
    });
    return outTradeNo;
  };
  const register = (wish: Json, headers?: Record<string, string>): Promise<Answer> =>
    stack.api('POST', '/v1/orders/register', { appid: merchant.appid, ...wish }, headers);
  const operator = async (): Promise<Record<string, string>> => {
    const { key } = await stack.ok('POST', '/v1/api_keys', { name: 'op', role: 'operator' });
    return { authorization: `Bearer ${String(key)}` };
  };
  const stored = async (outTradeNo: string): Promise<number> => {
    const { rows } = await stack.database.query('SELECT 1 FROM payment_order WHERE out_trade_no = $1', [outTradeNo]);
    return rows.length;
  };

  it('asks WeChat, and an exact repeat is the same order', async () => {
    const number = await paidElsewhere(700);
    const first = await register({ out_trade_no: number, amount: 700 });
    expect(first).toMatchObject({ status: 201, body: { status: 'paid', amount_paid: 700, verified: true } });
    expect(await register({ out_trade_no: number, amount: 700 })).toMatchObject({
      status: 200,
      body: { id: first.body['id'] },
    });
    expect(await register({ out_trade_no: number, amount: 701 })).toMatchObject({
      status: 409,
      body: { code: 'out_trade_no_conflict' },
    });
  });

  it('for another amount or transaction_id than WeChat shows stores nothing', async () => {
    const number = await paidElsewhere(700);
    for (const change of [{ amount: 699 }, { amount: 700, transaction_id: '4200000000000000000000000001' }]) {
      expect(await register({ out_trade_no: number, ...change })).toMatchObject({
        status: 422,
        body: { code: 'order_mismatch' },
      });
    }
    expect(await stored(number)).toBe(0);
  });

  it('that WeChat does not know, or does not answer for, stores nothing', async () => {
    const unknown = `T${unique()}`;
    expect(await register({ out_trade_no: unknown, amount: 1 })).toMatchObject({
      status: 422,
      body: { code: 'order_not_paid' },
    });
    const number = await paidElsewhere(700);
    await stack.fault({ call: 'orderquery', fault: 'html', mch_id: merchant.mchId });
    expect(await register({ out_trade_no: number, amount: 700 })).toMatchObject({
      status: 503,
      body: { code: 'wechat_unavailable' },
    });
    expect([await stored(unknown), await stored(number)]).toEqual([0, 0]);
  });

  it('unverified is an admin’s word with its time, and a sync replaces it by what WeChat shows', async () => {
    const number = await paidElsewhere(900);
    const paidAt = new Date(Date.now() - 3_600_000).toISOString();
    const wish = { out_trade_no: number, amount: 800, paid_at: paidAt, verify: false };
    expect(await register(wish, await operator())).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    const { paid_at: _, ...untimed } = wish;
    expect(await register(untimed)).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    const future = { ...wish, paid_at: new Date(Date.now() + 3_600_000).toISOString() };
    expect(await register(future)).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    const made = await register(wish);
    expect(made).toMatchObject({ status: 201, body: { verified: false, amount_paid: 800, paid_at: paidAt } });
    const synced = await stack.ok('POST', `/v1/orders/${String(made.body['id'])}/sync`);
    expect(synced).toMatchObject({ verified: true, amount_paid: 900, amount: 900 });
  });

  it('unverified with another amount stays as it is once it has a refund', async () => {
    const number = await paidElsewhere(900);
    const made = await register({
      out_trade_no: number,
      amount: 800,
      paid_at: new Date(Date.now() - 60_000).toISOString(),
      verify: false,
    });
    await stack.ok('POST', '/v1/refunds', { order: made.body['id'], amount: 1, out_refund_no: `R${unique()}` });
    expect(await stack.api('POST', `/v1/orders/${String(made.body['id'])}/sync`)).toMatchObject({
      status: 409,
      body: { code: 'order_mismatch' },
    });
    expect(await orderOf(made.body)).toMatchObject({ amount_paid: 800 });
  });

  it('stays within the bindings of the mini-program', async () => {
    const [one, two] = [await stack.merchant(), await stack.merchant()];
    const number = await paidElsewhere(10, one);
    const wish = { appid: one.appid, out_trade_no: number, amount: 10 };
    expect(await register({ ...wish, mch_id: two.mchId })).toMatchObject({
      status: 422,
      body: { code: 'mini_program_not_bound' },
    });
    expect(await register({ ...wish, mch_id: '1900000000' })).toMatchObject({
      status: 404,
      body: { code: 'merchant_not_found' },
    });
    expect(await register({ ...wish, appid: 'wx-unknown' })).toMatchObject({
      status: 404,
      body: { code: 'mini_program_not_found' },
    });
    await stack.ok('PATCH', `/v1/mini_programs/${one.appid}`, { mch_ids: [one.mchId, two.mchId] });
    expect(await register(wish)).toMatchObject({ status: 422, body: { code: 'mch_id_required' } });
    expect(await register({ ...wish, mch_id: one.mchId })).toMatchObject({ status: 201, body: { mch_id: one.mchId } });
  });
});

describe('two merchants with an order of the same number', () => {
  it('are told apart by mch_id or appid', async () => {
    const [one, two] = [await stack.merchant(), await stack.merchant()];
    const number = `T${unique()}`;
    for (const { mchId, appid } of [one, two]) {
      await stack.control('POST', '/orders', { mch_id: mchId, appid, out_trade_no: number, total_fee: 100 });
      await stack.ok('POST', '/v1/orders/register', { appid, out_trade_no: number, amount: 100 });
    }
    const ask = (narrowed: Json): Promise<Answer> =>
      stack.api('POST', '/v1/refunds', { out_trade_no: number, amount: 1, out_refund_no: `R${unique()}`, ...narrowed });
    expect(await ask({})).toMatchObject({ status: 422, body: { code: 'mch_id_required' } });
    expect(await ask({ mch_id: two.mchId })).toMatchObject({ status: 201, body: { mch_id: two.mchId } });
    expect(await ask({ appid: one.appid })).toMatchObject({ status: 201, body: { mch_id: one.mchId } });
  });
});

describe('a disabled merchant', () => {
  it('takes no new orders and refunds, sends nothing, and goes on where it stopped', async () => {
    const one = await stack.merchant({ simulator: { settle_after_ms: 0 } });
    const order = await stack.paidOrder(one, 100);
    await stack.ok('PATCH', `/v1/merchants/${one.mchId}`, { enabled: false });
    const disabled = { status: 409, body: { code: 'merchant_disabled' } };
    expect(await create(wishFor({ appid: one.appid }))).toMatchObject(disabled);
    const wish = { order: order.id, amount: 1, out_refund_no: `R${unique()}` };
    expect(await stack.api('POST', '/v1/refunds', wish)).toMatchObject(disabled);
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 0 });
    await stack.ok('PATCH', `/v1/merchants/${one.mchId}`, { enabled: true });
    const refund = await stack.refund(order, wish);
    expect(await stack.until(refund.id, 'succeeded')).toMatchObject({ amount: 1 });
  });
});
