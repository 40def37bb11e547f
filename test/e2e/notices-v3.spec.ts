import { closeWhole } from './support/close-whole.js';
import { type Json, type Merchant, type Order, type Refund, Stack } from './support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start({ LOG_LEVEL: 'info' });
});
afterAll(() => closeWhole(stack));

interface Running {
  readonly merchant: Merchant;
  readonly order: Order;
  readonly refund: Refund;
}

const v3Merchant = (simulator: Json = {}): Promise<Merchant> =>
  stack.merchant({ service: { api_version: 'v3' }, simulator });

/** A refund over v3 that WeChat has accepted; its own notices are silenced unless asked for. */
async function accepted(simulator: Json = { mute_notices: true }): Promise<Running> {
  const merchant = await v3Merchant(simulator);
  const order = await stack.paidOrder(merchant, 1000);
  const refund = await stack.refund(order, { amount: 300 });
  await stack.until(refund.id, 'accepted');
  return { merchant, order, refund };
}

const send = async (refund: Refund, wish: Json): Promise<{ status: number; body: string }[]> => {
  const { answers } = await stack.control('POST', `/notices/${refund.out_refund_no}`, {
    mch_id: refund['mch_id'],
    ...wish,
  });
  return answers as { status: number; body: string }[];
};

const stored = async (merchant: Merchant, kind = 'refund'): Promise<Json[]> =>
  (await stack.ok('GET', `/v1/notifications?mch_id=${merchant.mchId}&kind=${kind}`))['data'] as Json[];

const refusals = (reason: string): Json[] =>
  (stack.instances[0]?.log ?? '')
    .split('\n')
    .filter((line) => line.includes('"notice refused"') && line.includes(`"${reason}"`))
    .map((line) => JSON.parse(line) as Json);

describe('a v3 refund notice', () => {
  it('is signed, so it is booked at once and answered 204 with an empty body', async () => {
    const { merchant, order, refund } = await accepted();
    await stack.settle(refund, 'SUCCESS');
    expect(await send(refund, {})).toEqual([expect.objectContaining({ status: 204, body: '' })]);
    expect(await stack.read(refund.id)).toMatchObject({ state: 'succeeded', succeeded_at: expect.any(String) });
    expect(await stored(merchant)).toEqual([
      expect.objectContaining({
        result: 'applied',
        version: 'v3',
        refund: refund.id,
        content: expect.objectContaining({
          refund_status: 'SUCCESS',
          amount: expect.objectContaining({ refund: 300 }),
        }),
      }),
    ]);
    const events = (await stack.timeline(refund.id)).filter((entry) => entry['kind'] === 'event');
    expect(events.at(-1)).toMatchObject({ title: 'accepted → succeeded', detail: { cause: 'notice' } });
    expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_reserved: 0 });
  });

  it('that comes 50 times at once is one row, one change and 50 times 204', async () => {
    const { merchant, order, refund } = await accepted();
    await stack.settle(refund, 'SUCCESS');
    const answers = await send(refund, { times: 50 });
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
    expect(await stored(merchant)).toEqual([expect.objectContaining({ deliveries: 50, result: 'applied' })]);
    expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_reserved: 0 });
  });

  it('with the same content under a new event id is a second row and no second change', async () => {
    const { merchant, refund } = await accepted();
    await stack.settle(refund, 'SUCCESS');
    await send(refund, {});
    await send(refund, {});
    expect((await stored(merchant)).map(({ result }) => result)).toEqual(['repeat', 'applied']);
    const booked = (await stack.timeline(refund.id)).filter(({ title }) => String(title).endsWith('→ succeeded'));
    expect(booked).toHaveLength(1);
  });

  it('that comes before the answer to the request is not lost', async () => {
    const merchant = await v3Merchant();
    const order = await stack.paidOrder(merchant, 1000);
    await stack.fault({ mch_id: merchant.mchId, fault: 'slow', delay_ms: 2000 });
    const refund = await stack.refund(order, { amount: 300 });
    while ((await stack.accepted(refund.out_refund_no)).length === 0) await stack.read(refund.id);
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded');
    expect(await stack.requests(refund.out_refund_no)).toHaveLength(1);
  });

  it.each([
    ['bad_sign', 'bad_signature'],
    ['signtest', 'signtest_probe'],
    ['old_timestamp', 'stale'],
    ['future_timestamp', 'stale'],
    ['unknown_serial', 'unknown_serial'],
    ['reserialised', 'bad_signature'],
    ['other_key', 'not_decryptable'],
    ['short_tag', 'not_decryptable'],
    ['wrong_aad', 'not_decryptable'],
    ['wrong_event', 'events_disagree'],
    ['other_merchant', 'wrong_merchant'],
  ])('%s is refused with the same 401, counted as %s, and stores nothing', async (forge, reason) => {
    const { merchant, order, refund } = await accepted();
    await stack.settle(refund, 'SUCCESS');
    const before = refusals(reason).length;
    const [answer] = await send(refund, { forge });
    expect(answer).toMatchObject({ status: 401, body: '{"code":"FAIL","message":"FAIL"}' });
    // Ordinary lines are written at the end of the turn, which may be after the answer.
    const lines = await stack.eventually(
      () => Promise.resolve(refusals(reason).slice(before)),
      (found) => found.length > 0,
    );
    expect(lines).toEqual([
      expect.objectContaining({ status: 401, level: reason === 'signtest_probe' ? 'info' : 'warn' }),
    ]);
    expect(await stored(merchant)).toEqual([]);
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 300, amount_refunded: 0 });
  });

  it('that was a probe comes again correctly signed, and is booked then', async () => {
    const { merchant, refund } = await accepted({ signtest_every: 2 });
    await stack.control('POST', '/clock', { signatures: 'machine' });
    await stack.settle(refund, 'SUCCESS');
    for (let n = 0; n < 4 && (await stack.read(refund.id)).state !== 'succeeded'; n += 1)
      await stack.control('POST', '/clock', { advance_s: 15 });
    await stack.until(refund.id, 'succeeded');
    expect((await stored(merchant)).filter(({ result }) => result === 'applied').length).toBeLessThanOrEqual(1);
    await stack.control('POST', '/clock', { signatures: 'simulated' });
  });

  it('with another amount is a mismatch that WeChat’s signed answer heals', async () => {
    const { order, refund } = await accepted();
    await stack.settle(refund, 'SUCCESS');
    expect((await send(refund, { forge: 'other_amount' }))[0]).toMatchObject({ status: 204 });
    await stack.until(refund.id, 'succeeded', 40);
    const titles = (await stack.timeline(refund.id)).map((entry) => String(entry['title']));
    expect(titles).toEqual(
      expect.arrayContaining(['accepted → mismatch (incident: mismatch)', 'mismatch → succeeded']),
    );
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 0, amount_refunded: 300 });
  });

  it('about a refund of our order that is not ours waits for a signed answer, and books nothing by itself', async () => {
    const { merchant, order, refund } = await accepted();
    await stack.settle(refund, 'SUCCESS');
    expect(await send(refund, { forge: 'unknown_refund' })).toEqual([expect.objectContaining({ status: 204 })]);
    expect(await stored(merchant)).toEqual([
      expect.objectContaining({ result: 'waiting_for_query', order: order.id, reason: 'the refund is not ours' }),
    ]);
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 300, amount_refunded: 0 });
  });

  it('at the payment address, of another merchant, or with a doubled header is refused', async () => {
    const { refund, merchant } = await accepted();
    const other = await v3Merchant();
    const urlsOf = async ({ mchId }: Merchant): Promise<Json> =>
      (await stack.ok('GET', `/v1/merchants/${mchId}`))['notify_urls'] as Json;
    for (const url of [(await urlsOf(merchant))['payment'], (await urlsOf(other))['refund']])
      expect((await send(refund, { url }))[0]).toMatchObject({ status: 401 });
    expect([...(await stored(merchant)), ...(await stored(other))]).toEqual([]);
  });

  it('opens with the previous APIv3 key after the key was changed', async () => {
    const { merchant, refund } = await accepted();
    await stack.ok('PUT', `/v1/merchants/${merchant.mchId}/credentials`, { api_v3_key: '4'.repeat(32) });
    await stack.settle(refund, 'SUCCESS');
    expect((await send(refund, {}))[0]).toMatchObject({ status: 204 });
    expect(await stack.read(refund.id)).toMatchObject({ state: 'succeeded' });
  });

  it('in V2 form, about a refund that went over v3, books nothing by itself even in apply mode: a signed query does', async () => {
    const merchant = await stack.merchant({
      service: { api_version: 'v3', refund_notify: 'apply' },
      simulator: { mute_notices: true },
    });
    const order = await stack.paidOrder(merchant, 1000);
    const refund = await stack.refund(order, { amount: 300 });
    await stack.until(refund.id, 'accepted');
    await stack.settle(refund, 'SUCCESS');
    expect((await send(refund, { version: 'v2' }))[0]).toMatchObject({ status: 200 });
    await stack.until(refund.id, 'succeeded');
    const events = (await stack.timeline(refund.id)).filter((entry) => entry['kind'] === 'event');
    expect(events.at(-1)).toMatchObject({ title: 'accepted → succeeded', detail: { cause: 'query' } });
  });

  it('can be worked on again: it wakes a question and changes nothing by itself', async () => {
    const { merchant, refund } = await accepted();
    await stack.settle(refund, 'SUCCESS');
    await send(refund, {});
    const [row] = await stored(merchant);
    const again = await stack.ok('POST', `/v1/notifications/${String(row?.['id'])}/reprocess`);
    expect(again).toMatchObject({ result: 'repeat', refund: refund.id });
    expect(await stack.read(refund.id)).toMatchObject({ state: 'succeeded' });
  });
});

describe('a v3 payment notice', () => {
  it('marks the order paid, once, and its content is kept', async () => {
    const merchant = await v3Merchant();
    const order = await stack.ok('POST', '/v1/orders', {
      appid: merchant.appid,
      amount: 700,
      description: 'x',
      openid: 'o1',
    });
    await stack.control('POST', '/payments', { mch_id: merchant.mchId, out_trade_no: order['out_trade_no'] });
    const now = await stack.eventually(
      () => stack.ok('GET', `/v1/orders/${String(order['id'])}`),
      ({ status }) => status === 'paid',
    );
    expect(now).toMatchObject({ amount_paid: 700, verified: true, transaction_id: expect.any(String) });
    expect(await stored(merchant, 'payment')).toEqual([
      expect.objectContaining({
        result: 'applied',
        version: 'v3',
        content: expect.objectContaining({ trade_state: 'SUCCESS' }),
      }),
    ]);
  });
});
