import { type Json, Stack, unique } from './support/stack.js';
import {
  ACKNOWLEDGED,
  deliver,
  doorOf,
  incidentsOf,
  type KeyedMerchant,
  keyedMerchant,
  paymentNotice,
  refundFields,
  refundNotice,
  REFUSED,
  stored,
} from './support/v2-notices.js';

/** Notices that open under the right key and yet must be judged by what is inside. */
let stack: Stack;
let merchant: KeyedMerchant;
beforeEach(async () => {
  merchant = await keyedMerchant(stack, { simulator: { mute_notices: true } });
});
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());

const made = (of = merchant): Promise<Json> =>
  stack.ok('POST', '/v1/orders', { appid: of.appid, amount: 700, description: 'x', openid: 'o', mch_id: of.mchId });
const now = (order: Json): Promise<Json> => stack.ok('GET', `/v1/orders/${String(order['id'])}`);
const pay = async (order: Json, change: Record<string, string> = {}): Promise<{ status: number; body: string }> => {
  const notice = paymentNotice(merchant, { out_trade_no: String(order['out_trade_no']), total_fee: '700', ...change });
  return deliver(stack, await doorOf(stack, merchant.mchId, 'payment'), notice);
};
const received = { status: 200, body: ACKNOWLEDGED };

describe('a payment notice', () => {
  it('marks its order paid with the number and the time it names', async () => {
    const order = await made();
    expect(await pay(order, { transaction_id: '4200000000000000000000000777', time_end: '20260131080000' })).toEqual(
      received,
    );
    expect(await now(order)).toMatchObject({
      status: 'paid',
      amount_paid: 700,
      verified: true,
      transaction_id: '4200000000000000000000000777',
      paid_at: '2026-01-31T00:00:00.000Z',
    });
  });

  it.each<[string, Record<string, string>]>([
    ['less than was asked for', { total_fee: '699' }],
    ['more than was asked for', { total_fee: '701' }],
    ['nothing', { total_fee: '0' }],
    ['the right amount to another app', { appid: 'wx-another' }],
  ])('of %s leaves the order unpaid, is an incident, and is kept as refused', async (_, change) => {
    const order = await made();
    expect(await pay(order, change)).toEqual(received);
    expect(await now(order)).toMatchObject({ status: 'created', amount_paid: 0, transaction_id: null });
    expect(await stored(stack, merchant.mchId, 'payment')).toEqual([
      expect.objectContaining({ result: 'refused', reason: expect.stringMatching(/^differs: /), order: order['id'] }),
    ]);
    expect(incidentsOf(stack, order['id'])).toEqual(['payment_mismatch']);
    // The true one is still taken.
    expect(await pay(order)).toEqual(received);
    expect(await now(order)).toMatchObject({ status: 'paid' });
  });

  it('to another app of the same merchant leaves both apps’ orders unpaid', async () => {
    const second = `wx${unique()}`;
    await stack.control('POST', '/merchants', { mch_id: merchant.mchId, appids: [second] });
    await stack.ok('POST', '/v1/mini_programs', { appid: second, name: 'second', mch_ids: [merchant.mchId] });
    const [ours, theirs] = [await made(), await made({ ...merchant, appid: second })];
    expect(await pay(ours, { appid: second })).toEqual(received);
    for (const order of [ours, theirs]) expect(await now(order)).toMatchObject({ status: 'created' });
  });

  it('that names the payment of another order pays nothing', async () => {
    const [first, second] = [await made(), await made()];
    const transaction = { transaction_id: '4200000000000000000000000888' };
    expect(await pay(first, transaction)).toEqual(received);
    expect(await pay(second, transaction)).toEqual(received);
    expect(await now(first)).toMatchObject({ status: 'paid', ...transaction });
    expect(await now(second)).toMatchObject({ status: 'created', transaction_id: null });
    expect(await stored(stack, merchant.mchId, 'payment')).toEqual([
      expect.objectContaining({ result: 'refused', reason: 'the transaction_id stands for another order' }),
      expect.objectContaining({ result: 'applied' }),
    ]);
    expect(incidentsOf(stack, second['id'])).toEqual(['payment_mismatch']);
  });

  it('that names another payment of a paid order changes nothing', async () => {
    const order = await made();
    await pay(order, { transaction_id: '4200000000000000000000000999' });
    const before = await now(order);
    expect(await pay(order, { transaction_id: '4200000000000000000000000998' })).toEqual(received);
    expect(await now(order)).toEqual(before);
    expect(incidentsOf(stack, order['id'])).toEqual(['payment_mismatch']);
  });

  it('that comes after the order was closed is booked, and a person hears of it', async () => {
    const order = await made();
    expect(await stack.ok('POST', `/v1/orders/${String(order['id'])}/close`)).toMatchObject({ status: 'closed' });
    expect(await pay(order)).toEqual(received);
    expect(await now(order)).toMatchObject({ status: 'paid', amount_paid: 700, amount_refundable: 700 });
    expect(await stored(stack, merchant.mchId, 'payment')).toEqual([expect.objectContaining({ result: 'applied' })]);
    expect(incidentsOf(stack, order['id'])).toEqual(['paid_after_closed']);
  });

  it('that comes 50 times at once, signed anew each time, is one row and one change', async () => {
    const order = await made();
    const transaction = { transaction_id: '4200000000000000000000000555' };
    const answers = await Promise.all(Array.from({ length: 50 }, () => pay(order, transaction)));
    for (const answer of answers) expect(answer).toEqual(received);
    expect(await stored(stack, merchant.mchId, 'payment')).toEqual([
      expect.objectContaining({ result: 'applied', deliveries: 50, order: order['id'] }),
    ]);
    expect(await now(order)).toMatchObject({ status: 'paid', amount_paid: 700 });
  });

  it('that comes 30 times at once with different trimmings is one change', async () => {
    const order = await made();
    const transaction = { transaction_id: '4200000000000000000000000666' };
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, n) => pay(order, { ...transaction, bank_type: `BANK${n}` })),
    );
    for (const answer of answers) expect(answer).toEqual(received);
    const results = (await stored(stack, merchant.mchId, 'payment')).map(({ result }) => result);
    expect(results).toHaveLength(30);
    expect(results.filter((result) => result === 'applied')).toHaveLength(1);
    expect(new Set(results)).toEqual(new Set(['applied', 'repeat']));
    expect(incidentsOf(stack, order['id'])).toEqual([]);
  });

  it('of an order nobody knows is kept as unmatched', async () => {
    expect(await pay({ out_trade_no: `T${unique()}` })).toEqual(received);
    expect(await stored(stack, merchant.mchId, 'payment')).toEqual([expect.objectContaining({ result: 'unmatched' })]);
  });

  it.each<[string, (other: KeyedMerchant, order: Json) => string]>([
    [
      'that is another merchant’s',
      (other, order) => paymentNotice(other, { out_trade_no: String(order['out_trade_no']), total_fee: '700' }),
    ],
    [
      'signed with another merchant’s key',
      (other, order) =>
        paymentNotice(
          { ...merchant, key: other.key },
          { out_trade_no: String(order['out_trade_no']), total_fee: '700' },
        ),
    ],
    [
      'that failed',
      (_, order) =>
        paymentNotice(merchant, { out_trade_no: String(order['out_trade_no']), total_fee: '700', result_code: 'FAIL' }),
    ],
    [
      'without a time that exists',
      (_, order) =>
        paymentNotice(merchant, {
          out_trade_no: String(order['out_trade_no']),
          total_fee: '700',
          time_end: '20260231080000',
        }),
    ],
    [
      'with an amount in another form',
      (_, order) => paymentNotice(merchant, { out_trade_no: String(order['out_trade_no']), total_fee: '0700' }),
    ],
  ])('%s is refused and kept nowhere', async (_, notice) => {
    const other = await keyedMerchant(stack);
    const order = await made();
    const door = await doorOf(stack, merchant.mchId, 'payment');
    expect(await deliver(stack, door, notice(other, order))).toEqual({ status: 401, body: REFUSED });
    expect(await now(order)).toMatchObject({ status: 'created' });
    for (const { mchId } of [merchant, other]) expect(await stored(stack, mchId, 'payment')).toEqual([]);
  });
});

describe('a refund notice that opens', () => {
  /** A refund WeChat has accepted, its order, and what a true notice about it says. */
  async function accepted(of: KeyedMerchant): Promise<{ refund: Json; order: Json; fields: Record<string, string> }> {
    const paid = await stack.paidOrder(of, 1000);
    const { id } = await stack.refund(paid, { amount: 300 });
    const refund = await stack.until(id, 'accepted');
    const order = await stack.order(paid);
    return { refund, order, fields: refundFields(refund, order) };
  }
  const unmoved = async ({ refund, order }: { refund: Json; order: Json }): Promise<void> => {
    expect(['accepted', 'mismatch']).toContain((await stack.read(String(refund['id']))).state);
    expect(await now(order)).toMatchObject({ amount_reserved: 300, amount_refunded: 0 });
  };

  it.each(['confirm', 'apply'])('without an app is refused and kept nowhere (%s)', async (mode) => {
    const of = await keyedMerchant(stack, { service: { refund_notify: mode } });
    const running = await accepted(of);
    const notice = refundNotice(of, running.fields, { appid: undefined });
    expect(await deliver(stack, await doorOf(stack, of.mchId, 'refund'), notice)).toEqual({
      status: 401,
      body: REFUSED,
    });
    expect(await stored(stack, of.mchId, 'refund')).toEqual([]);
    await unmoved(running);
  });

  it.each(['confirm', 'apply'])(
    'of another app of the same merchant moves no money and says why (%s)',
    async (mode) => {
      const of = await keyedMerchant(stack, { service: { refund_notify: mode } });
      const running = await accepted(of);
      const notice = refundNotice(of, running.fields, { appid: 'wx-another' });
      expect(await deliver(stack, await doorOf(stack, of.mchId, 'refund'), notice)).toEqual(received);
      // One that is to be confirmed waits until WeChat was asked.
      const [row] = await stack.eventually(
        () => stored(stack, of.mchId, 'refund'),
        ([first]) => first?.['result'] !== 'waiting_for_query',
      );
      expect(row).toMatchObject({ result: 'refused', reason: 'differs: appid', refund: running.refund['id'] });
      await unmoved(running);
      expect(await stack.until(String(running.refund['id']), 'accepted')).toMatchObject({ amount: 300 });
      await unmoved(running);
    },
  );

  it('about the refund of another merchant touches it not', async () => {
    const [ours, theirs] = [await keyedMerchant(stack), await keyedMerchant(stack)];
    const running = await accepted(theirs);
    const door = await doorOf(stack, ours.mchId, 'refund');
    expect(await deliver(stack, door, refundNotice(theirs, running.fields))).toEqual({ status: 401, body: REFUSED });
    expect(await deliver(stack, door, refundNotice(ours, running.fields))).toEqual(received);
    expect(await stored(stack, ours.mchId, 'refund')).toEqual([expect.objectContaining({ result: 'unmatched' })]);
    expect(await stored(stack, theirs.mchId, 'refund')).toEqual([]);
    await unmoved(running);
  });

  it.each<[string, Record<string, string>]>([
    ['refund_fee', { refund_fee: '301' }],
    ['total_fee', { total_fee: '1001' }],
    ['transaction_id', { transaction_id: '4200000000000000000000000001' }],
    ['out_trade_no', { out_trade_no: 'T-another' }],
    ['refund_id', { refund_id: '5000000000000000000000000001' }],
  ])('with another %s moves no money, also where notices are booked at once', async (name, change) => {
    const of = await keyedMerchant(stack, { service: { refund_notify: 'apply' } });
    const running = await accepted(of);
    const notice = refundNotice(of, { ...running.fields, ...change });
    expect(await deliver(stack, await doorOf(stack, of.mchId, 'refund'), notice)).toEqual(received);
    expect(await stored(stack, of.mchId, 'refund')).toEqual([
      expect.objectContaining({ result: 'refused', reason: `differs: ${name}` }),
    ]);
    await unmoved(running);
    expect(incidentsOf(stack, running.refund['id'])).toEqual(['mismatch']);
  });
});
