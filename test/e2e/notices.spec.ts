import { closeWhole } from './support/close-whole.js';
import { type Json, type Merchant, type Order, type Refund, Stack } from './support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => closeWhole(stack));

interface Running {
  readonly merchant: Merchant;
  readonly order: Order;
  readonly refund: Refund;
}

/** A refund that WeChat has accepted. */
async function accepted(service: Json = {}, amount = 300): Promise<Running> {
  const merchant = await stack.merchant({ service });
  const order = await stack.paidOrder(merchant, 1000);
  const refund = await stack.refund(order, { amount });
  await stack.until(refund.id, 'accepted');
  return { merchant, order, refund };
}

const send = async (refund: Refund, wish: Json): Promise<{ status: number; body: string }[]> => {
  const path = `/notices/${refund.out_refund_no}`;
  const { answers } = await stack.control('POST', path, { mch_id: refund['mch_id'], ...wish });
  return answers as { status: number; body: string }[];
};

const stored = async (merchant: Merchant, kind = 'refund'): Promise<Json[]> =>
  (await stack.ok('GET', `/v1/notifications?mch_id=${merchant.mchId}&kind=${kind}`))['data'] as Json[];

const SUCCESS = '<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>';

describe('a refund notice', () => {
  it('in confirm mode books nothing by itself: it wakes a query whose signed answer is booked', async () => {
    const { merchant, order, refund } = await accepted();
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded');
    const events = (await stack.timeline(refund.id)).filter((entry) => entry['kind'] === 'event');
    expect(events.at(-1)).toMatchObject({ title: 'accepted → succeeded', detail: { cause: 'query' } });
    expect(await stored(merchant)).toEqual([
      expect.objectContaining({ result: 'applied', refund: refund.id, deliveries: 1, version: 'v2' }),
    ]);
    expect(await stack.order(order)).toMatchObject({ amount_refunded: 300 });
  });

  it('in apply mode is booked at once', async () => {
    const { refund } = await accepted({ refund_notify: 'apply' });
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded');
    const events = (await stack.timeline(refund.id)).filter((entry) => entry['kind'] === 'event');
    expect(events.at(-1)).toMatchObject({ title: 'accepted → succeeded', detail: { cause: 'notice' } });
  });

  it.each(['confirm', 'apply'])(
    'that comes 50 times at once is one row, one change and 50 times SUCCESS (%s)',
    async (mode) => {
      const { merchant, order, refund } = await accepted({ refund_notify: mode });
      await stack.control('POST', '/merchants', { mch_id: merchant.mchId, mute_notices: true });
      await stack.settle(refund, 'SUCCESS');
      const answers = await send(refund, { times: 50 });
      expect(new Set(answers.map(({ status, body }) => `${status} ${body}`))).toEqual(new Set([`200 ${SUCCESS}`]));
      await stack.until(refund.id, 'succeeded');
      expect(await stored(merchant)).toEqual([expect.objectContaining({ deliveries: 50, result: 'applied' })]);
      const booked = (await stack.timeline(refund.id)).filter((entry) =>
        String(entry['title']).endsWith('→ succeeded'),
      );
      expect(booked).toHaveLength(1);
      expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_reserved: 0 });
    },
  );

  it.each(['confirm', 'apply'])('that comes before the answer to the request is not lost (%s)', async (mode) => {
    const merchant = await stack.merchant({ service: { refund_notify: mode } });
    const order = await stack.paidOrder(merchant, 1000);
    await stack.fault({ mch_id: merchant.mchId, fault: 'slow', delay_ms: 2000 });
    const refund = await stack.refund(order, { amount: 300 });
    while ((await stack.accepted(refund.out_refund_no)).length === 0) await stack.read(refund.id);
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded');
    expect(await stack.requests(refund.out_refund_no)).toHaveLength(1);
    expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_reserved: 0 });
  });

  it.each([
    ['encrypted with another key', 'wrong_key'],
    ['cut short', 'truncated'],
    ['in an envelope of another merchant', 'other_merchant'],
  ])('%s is refused, changes nothing and is not stored', async (_, forge) => {
    await stack.merchant();
    const { merchant, order, refund } = await accepted({ refund_notify: 'apply' });
    const [answer] = await send(refund, { forge });
    expect(answer).toMatchObject({ status: 401, body: expect.stringContaining('FAIL') });
    expect(await stored(merchant)).toEqual([]);
    expect(await stack.read(refund.id)).toMatchObject({ state: 'accepted' });
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 300, amount_refunded: 0 });
  });

  it('of one merchant sent to the address of another is refused', async () => {
    const { refund } = await accepted();
    const other = await stack.merchant();
    const { notify_urls: urls } = (await stack.ok('GET', `/v1/merchants/${other.mchId}`)) as { notify_urls: Json };
    const [answer] = await send(refund, { url: urls['refund'] });
    expect(answer).toMatchObject({ status: 401 });
    expect(await stored(other)).toEqual([]);
  });

  it('at an unknown address, at the payment address or too long is refused with the same text', async () => {
    const { merchant, refund } = await accepted();
    const { notify_urls: urls } = (await stack.ok('GET', `/v1/merchants/${merchant.mchId}`)) as { notify_urls: Json };
    const token = '0'.repeat(32);
    const [unknown] = await send(refund, { url: `${stack.url}/notify/wechat/${token}/refund` });
    const [payment] = await send(refund, { url: urls['payment'] });
    expect([unknown?.status, payment?.status]).toEqual([401, 401]);
    expect(unknown?.body).toBe(payment?.body);
    const long = await fetch(String(urls['refund']), {
      method: 'POST',
      body: `<xml><a>${'x'.repeat(33_000)}</a></xml>`,
    });
    expect(long.status).toBe(413);
  });

  it('with another amount never moves money: the query decides and the notice is refused', async () => {
    const { merchant, order, refund } = await accepted();
    const [answer] = await send(refund, { forge: 'wrong_amount' });
    expect(answer).toMatchObject({ status: 200, body: SUCCESS });
    const rows = await stack.eventually(
      () => stored(merchant),
      ([row]) => row?.['result'] === 'refused',
    );
    expect(rows).toEqual([
      expect.objectContaining({ result: 'refused', reason: expect.stringContaining('refund_fee') }),
    ]);
    expect(await stack.read(refund.id)).toMatchObject({ state: 'accepted' });
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 300, amount_refunded: 0 });
  });

  it('with another amount in apply mode is a mismatch that WeChat’s signed answer heals', async () => {
    const { order, refund } = await accepted({ refund_notify: 'apply' });
    await send(refund, { forge: 'wrong_amount' });
    await stack.until(refund.id, 'accepted', 40);
    const titles = (await stack.timeline(refund.id)).map((entry) => String(entry['title']));
    expect(titles).toEqual(expect.arrayContaining(['accepted → mismatch (incident: mismatch)', 'mismatch → accepted']));
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 300, amount_refunded: 0 });
  });

  it('spliced from two others moves no money that WeChat did not move', async () => {
    const { order, refund, merchant } = await accepted();
    const second = await stack.refund(order, { amount: 200 });
    await stack.until(second.id, 'accepted');
    await send(refund, { forge: 'splice' });
    await stack.until(refund.id, 'accepted');
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 500, amount_refunded: 0 });
    for (const row of await stored(merchant)) expect(row['result']).not.toBe('applied');
  });

  it('about a refund and an order that are not ours is kept as unmatched and answered SUCCESS', async () => {
    const { merchant, refund } = await accepted();
    const [answer] = await send(refund, { forge: 'unknown_refund' });
    expect(answer).toMatchObject({ status: 200, body: SUCCESS });
    expect(await stored(merchant)).toEqual([expect.objectContaining({ result: 'unmatched' })]);
  });

  it('CHANGE needs a person and keeps the money reserved; SUCCESS after it is booked', async () => {
    const { order, refund } = await accepted();
    await stack.settle(refund, 'CHANGE');
    expect(await stack.until(refund.id, 'abnormal')).toMatchObject({ status: 'requires_action' });
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 300 });
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded', 40);
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 0, amount_refunded: 300 });
  });

  it('N12 opens with the previous key after the key was changed', async () => {
    const { merchant, refund } = await accepted({ refund_notify: 'apply' });
    const key = 'k'.repeat(31) + '2';
    await stack.ok('PUT', `/v1/merchants/${merchant.mchId}/credentials`, { api_v2_key: key });
    const [answer] = await send(refund, {});
    expect(answer).toMatchObject({ status: 200 });
    const { credentials } = (await stack.ok('GET', `/v1/merchants/${merchant.mchId}`)) as { credentials: Json[] };
    expect(credentials.find(({ kind }) => kind === 'api_v2_key')).toMatchObject({ previous_until: expect.any(String) });
  });
});

describe('a payment notice', () => {
  it('marks the order paid once, and one with another amount does not', async () => {
    const merchant = await stack.merchant();
    const order = await stack.ok('POST', '/v1/orders', {
      appid: merchant.appid,
      amount: 700,
      description: 'x',
      openid: 'o1',
    });
    expect(order['payment']).toMatchObject({ package: expect.stringMatching(/^prepay_id=/), signType: 'HMAC-SHA256' });
    const wish = { mch_id: merchant.mchId, out_trade_no: order['out_trade_no'] };
    await stack.control('POST', '/payments', wish);
    const now = await stack.eventually(
      () => stack.ok('GET', `/v1/orders/${String(order['id'])}`),
      ({ status }) => status === 'paid',
    );
    expect(now).toMatchObject({ status: 'paid', amount_paid: 700, verified: true, transaction_id: expect.any(String) });
    expect(await stored(merchant, 'payment')).toEqual([expect.objectContaining({ result: 'applied' })]);
  });

  it('that is unsigned or wrongly signed is refused', async () => {
    const merchant = await stack.merchant();
    const { notify_urls: urls } = (await stack.ok('GET', `/v1/merchants/${merchant.mchId}`)) as { notify_urls: Json };
    const fields = `<return_code>SUCCESS</return_code><result_code>SUCCESS</result_code><appid>${merchant.appid}</appid><mch_id>${merchant.mchId}</mch_id><out_trade_no>T0000001</out_trade_no><total_fee>1</total_fee><transaction_id>42</transaction_id><time_end>20260101120000</time_end>`;
    for (const sign of ['', '<sign>00000000000000000000000000000000</sign>']) {
      const answer = await fetch(String(urls['payment']), { method: 'POST', body: `<xml>${fields}${sign}</xml>` });
      expect(answer.status).toBe(401);
    }
    expect(await stored(merchant, 'payment')).toEqual([]);
  });
});
