import { closeWhole } from './support/close-whole.js';
import { type Json, Stack, unique } from './support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => closeWhole(stack));

describe('refunds of one order', () => {
  it('are paid out part by part to the last fen, and no further', async () => {
    const merchant = await stack.merchant({ simulator: { settle_after_ms: 0 } });
    const order = await stack.paidOrder(merchant, 1000);
    for (const amount of [1, 332, 667]) {
      const refund = await stack.refund(order, { amount });
      const done = await stack.until(refund.id, 'succeeded');
      expect(done).toMatchObject({ status: 'succeeded', amount, in_doubt: false });
    }
    expect(await stack.order(order)).toMatchObject({
      amount_refunded: 1000,
      amount_refundable: 0,
      amount_reserved: 0,
      refund_status: 'full',
    });
    const more = await stack.api('POST', '/v1/refunds', { order: order.id, amount: 1, out_refund_no: `R${unique()}` });
    expect(more).toMatchObject({ status: 422, body: { code: 'amount_exceeds_refundable' } });
  });

  it('asked for by 200 callers at once never exceed what was paid', async () => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 1000);
    const answers = await Promise.all(
      Array.from({ length: 200 }, () =>
        stack.api('POST', '/v1/refunds', { order: order.id, amount: 30, out_refund_no: `R${unique()}` }),
      ),
    );
    const taken = answers.filter(({ status }) => status === 201);
    expect(taken).toHaveLength(33);
    const refused = answers.filter(({ status }) => status !== 201).map(({ status, body }) => [status, body['code']]);
    expect(new Set(refused.map(String))).toEqual(new Set(['422,amount_exceeds_refundable']));
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 990, amount_refundable: 10 });
  });

  it('are at most fifty', async () => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 100);
    const answers = await Promise.all(
      Array.from({ length: 51 }, () =>
        stack.api('POST', '/v1/refunds', { order: order.id, amount: 1, out_refund_no: `R${unique()}` }),
      ),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(50);
    expect(answers.find(({ status }) => status !== 201)).toMatchObject({
      status: 422,
      body: { code: 'refund_count_exceeded' },
    });
    expect(await stack.order(order)).toMatchObject({ refunds_remaining: 0 });
  });

  it('without an amount take all that is left', async () => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 500);
    await stack.refund(order, { amount: 123 });
    expect(await stack.refund(order)).toMatchObject({ amount: 377 });
    const none = await stack.api('POST', '/v1/refunds', { order: order.id, out_refund_no: `R${unique()}` });
    expect(none).toMatchObject({ status: 422, body: { code: 'amount_exceeds_refundable' } });
  });
});

describe('a repeat', () => {
  it('with the same number gives the first refund back and reserves nothing', async () => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 500);
    const wish = { order: order.id, amount: 100, out_refund_no: `R${unique()}`, reason: '商品售罄' };
    const first = await stack.api('POST', '/v1/refunds', wish);
    const again = await stack.api('POST', '/v1/refunds', { ...wish });
    expect([first.status, again.status]).toEqual([201, 200]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(again.body['id']).toBe(first.body['id']);
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 100 });
    // The order named in another way is the same order.
    const { order: _order, ...rest } = wish;
    const named = await stack.api('POST', '/v1/refunds', { ...rest, out_trade_no: order.outTradeNo });
    expect([named.status, named.body['id']]).toEqual([200, first.body['id']]);
  });

  it.each([
    ['amount', { amount: 101 }],
    ['reason', { reason: 'another' }],
    ['metadata', { metadata: { a: 'b' } }],
  ])('with the same number and another %s is refused', async (_, change) => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 500);
    const wish = { order: order.id, amount: 100, out_refund_no: `R${unique()}` };
    await stack.refund(order, wish);
    const changed = await stack.api('POST', '/v1/refunds', { ...wish, ...change });
    expect(changed).toMatchObject({ status: 409, body: { code: 'out_refund_no_conflict' } });
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 100 });
  });

  it('with the same Idempotency-Key is the same refund, and with another body refused', async () => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 500);
    const key = { 'idempotency-key': `key ${unique()}` };
    const first = await stack.api('POST', '/v1/refunds', { order: order.id, amount: 100 }, key);
    const again = await stack.api('POST', '/v1/refunds', { order: order.id, amount: 100 }, key);
    const other = await stack.api('POST', '/v1/refunds', { order: order.id, amount: 99 }, key);
    expect([first.status, again.status, again.body['id']]).toEqual([201, 200, first.body['id']]);
    expect(first.body['out_refund_no']).toBe(first.body['id']);
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } });
  });

  it('sent 30 times at once makes one refund', async () => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 500);
    const wish = { order: order.id, amount: 500, out_refund_no: `R${unique()}` };
    const answers = await Promise.all(Array.from({ length: 30 }, () => stack.api('POST', '/v1/refunds', wish)));
    const ids = new Set(answers.filter(({ status }) => status < 300).map(({ body }) => body['id']));
    expect(ids.size).toBe(1);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.every(({ status, body }) => status < 300 || body['code'] === 'idempotency_key_in_use')).toBe(true);
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 500 });
  });

  it('needs a number or a key', async () => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 500);
    expect(await stack.api('POST', '/v1/refunds', { order: order.id })).toMatchObject({
      status: 400,
      body: { code: 'idempotency_key_required' },
    });
  });
});

describe('bad input', () => {
  let order: { id: string };
  beforeAll(async () => {
    order = await stack.paidOrder(await stack.merchant(), 1000);
  });

  it.each([
    '0',
    '-1',
    '1.5',
    '"1"',
    '"1e2"',
    '1e2',
    '" 1"',
    '"0x10"',
    'null',
    '[]',
    '{}',
    '9007199254740992',
    '9223372036854775808',
    'NaN',
    'true',
  ])('amount %s is refused and stores nothing', async (amount) => {
    const body = `{"order":"${order.id}","out_refund_no":"R${unique()}","amount":${amount}}`;
    const answer = await stack.api('POST', '/v1/refunds', body);
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect(await stack.order({ ...order, mchId: '', outTradeNo: '' })).toMatchObject({ amount_reserved: 0 });
  });

  it.each<[string, Json]>([
    ['an unknown field', { state: 'succeeded' }],
    ['a number with a blank', { out_refund_no: 'a b' }],
    ['a number of 65 characters', { out_refund_no: 'a'.repeat(65) }],
    ['a look-alike in the number', { out_refund_no: 'Ｒ１' }],
    ['a reason of 81 characters', { reason: 'x'.repeat(81) }],
    ['items that do not add up', { amount: 10, items: [{ ref: 'a', amount: 9 }] }],
    ['two names for the order', { out_trade_no: 'T123456' }],
    ['another funds_account', { funds_account: 'UNSETTLED' }],
    ['metadata that is nested', { metadata: { a: { b: 'c' } } }],
  ])('%s is refused', async (_, change) => {
    const answer = await stack.api('POST', '/v1/refunds', {
      order: order.id,
      out_refund_no: `R${unique()}`,
      ...change,
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect(answer.body['errors']).toEqual(
      expect.arrayContaining([expect.objectContaining({ field: expect.any(String) })]),
    );
  });

  it('an unknown order, an unpaid one and one whose time is over are told apart', async () => {
    const merchant = await stack.merchant();
    const wish = { out_refund_no: `R${unique()}` };
    expect(await stack.api('POST', '/v1/refunds', { ...wish, out_trade_no: 'T0000000' })).toMatchObject({
      status: 404,
      body: { code: 'order_not_found' },
    });
    const created = await stack.ok('POST', '/v1/orders', {
      appid: merchant.appid,
      amount: 5,
      description: 'x',
      openid: 'o1',
    });
    expect(await stack.api('POST', '/v1/refunds', { ...wish, order: created['id'] })).toMatchObject({
      status: 422,
      body: { code: 'order_not_paid' },
    });
    const outTradeNo = `T${unique()}`;
    const paidAt = new Date(Date.now() - 365 * 86_400_000).toISOString();
    await stack.control('POST', '/orders', {
      mch_id: merchant.mchId,
      appid: merchant.appid,
      out_trade_no: outTradeNo,
      total_fee: 5,
      paid_at: paidAt,
    });
    await stack.ok('POST', '/v1/orders/register', { appid: merchant.appid, out_trade_no: outTradeNo, amount: 5 });
    expect(await stack.api('POST', '/v1/refunds', { ...wish, out_trade_no: outTradeNo })).toMatchObject({
      status: 422,
      body: { code: 'refund_window_expired' },
    });
  });
});
