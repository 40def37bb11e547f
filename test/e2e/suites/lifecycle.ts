import { closeWhole } from '../support/close-whole.js';
import { type Json, type Order, type Refund, Stack, unique } from '../support/stack.js';

let stack: Stack;

const act = (refund: Refund, action: string, body?: Json) =>
  stack.api('POST', `/v1/refunds/${refund.id}/${action}`, body);

/** A refund that waits for the spacing of its order. */
async function queuedNeverSent(mchId: string, order: Order): Promise<Refund> {
  await stack.database.query(
    'UPDATE payment_order SET next_send_at = tuikuan_now() + interval $$1 hour$$ WHERE mch_id = $1',
    [mchId],
  );
  const refund = await stack.refund(order, { amount: 300 });
  expect(refund.state).toBe('queued');
  return refund;
}

/** What the two protocols call the same thing. */
const WORDS = {
  v2: { refused: 'USER_ACCOUNT_ABNORMAL', certificate: 'CERT_ERROR' },
  v3: { refused: 'USER_ACCOUNT_ABNORMAL', certificate: 'SIGN_ERROR' },
} as const;

/** What happens to a refund after it was asked for, over either protocol. */
export function lifecycle(version: 'v2' | 'v3'): void {
  const words = WORDS[version];

  beforeAll(async () => {
    stack = await Stack.start();
  });
  afterAll(() => closeWhole(stack));

  describe('a refund that WeChat closed', () => {
    it('gives its money free, and retry makes one replacement under a new number, however often it is asked for', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const order = await stack.paidOrder(merchant, 1000);
      const refund = await stack.refund(order, { amount: 1000, reason: '退货' });
      await stack.until(refund.id, 'accepted');
      await stack.settle(refund, 'REFUNDCLOSE');
      expect(await stack.until(refund.id, 'closed')).toMatchObject({
        status: 'failed',
        failure: { code: 'closed_by_wechat' },
      });
      expect(await stack.order(order)).toMatchObject({ amount_reserved: 0, amount_refundable: 1000 });

      const first = await act(refund, 'retry');
      const second = await act(refund, 'retry');
      expect([first.status, second.status]).toEqual([201, 200]);
      expect(second.body['id']).toBe(first.body['id']);
      expect(first.body).toMatchObject({ replaces: refund.id, amount: 1000, reason: '退货' });
      expect(first.body['out_refund_no']).not.toBe(refund.out_refund_no);
      expect(await stack.read(refund.id)).toMatchObject({ replaced_by: first.body['id'] });
      await stack.until(String(first.body['id']), 'accepted');
      expect(await stack.order(order)).toMatchObject({ amount_reserved: 1000 });
    }, 40_000);
  });

  describe('a rejected refund', () => {
    it('can be retried under the same number, if the order still has the money', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const order = await stack.paidOrder(merchant, 1000);
      await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: words.refused });
      const refund = await stack.refund(order, { amount: 700 });
      await stack.until(refund.id, 'rejected');
      const other = await stack.refund(order, { amount: 500 });
      expect(await act(refund, 'retry')).toMatchObject({ status: 422, body: { code: 'amount_exceeds_refundable' } });
      await stack.until(other.id, 'accepted');
      await stack.settle(other, 'REFUNDCLOSE');
      await stack.until(other.id, 'closed');
      // The answer is read after the commit, and by then the worker may have gone on with it: the move is in the timeline.
      expect(await act(refund, 'retry')).toMatchObject({ status: 200, body: { id: refund.id } });
      await stack.until(refund.id, 'accepted');
      const moves = (await stack.timeline(refund.id)).filter(({ title }) => title === 'rejected → queued');
      expect(moves).toEqual([
        expect.objectContaining({ detail: expect.objectContaining({ cause: 'operator', actor: 'admin' }) }),
      ]);
      expect(await stack.accepted(refund.out_refund_no)).toHaveLength(1);
      expect(await stack.order(order)).toMatchObject({ amount_reserved: 700 });
    }, 40_000);
  });

  describe('cancel', () => {
    it('withdraws what was never sent and gives its money free', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const order = await stack.paidOrder(merchant, 1000);
      const refund = await queuedNeverSent(merchant.mchId, order);
      expect(await act(refund, 'cancel', { reason: 'asked twice' })).toMatchObject({
        status: 200,
        body: { status: 'canceled' },
      });
      expect(await stack.order(order)).toMatchObject({ amount_reserved: 0, refunds_remaining: 50 });
      expect(await act(refund, 'cancel', {})).toMatchObject({ status: 409, body: { code: 'invalid_state' } });
    });

    it('of what WeChat accepted is refused', async () => {
      const order = await stack.paidOrder(await stack.merchant({ service: { api_version: version } }), 1000);
      const refund = await stack.refund(order, { amount: 300 });
      await stack.until(refund.id, 'accepted');
      expect(await act(refund, 'cancel', {})).toMatchObject({ status: 409, body: { code: 'invalid_state' } });
    });
  });

  describe('a disabled merchant', () => {
    it('takes no new refunds, sends nothing, and goes on asking', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const order = await stack.paidOrder(merchant, 1000);
      const running = await stack.refund(order, { amount: 100 });
      await stack.until(running.id, 'accepted');
      await stack.ok('PATCH', `/v1/merchants/${merchant.mchId}`, { enabled: false });
      expect(
        await stack.api('POST', '/v1/refunds', { order: order.id, amount: 1, out_refund_no: `R${unique()}` }),
      ).toMatchObject({
        status: 409,
        body: { code: 'merchant_disabled' },
      });
      await stack.settle(running, 'SUCCESS');
      await stack.until(running.id, 'succeeded');
    });
  });

  describe('a refund made by hand in the merchant platform', () => {
    it('is taken in from a signed query while others are reserved, and lowers what can be refunded', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const order = await stack.paidOrder(merchant, 1000);
      const ours = await stack.refund(order, { amount: 300 });
      await stack.until(ours.id, 'accepted');
      const hand = await stack.control('POST', '/refunds', {
        mch_id: merchant.mchId,
        out_trade_no: order.outTradeNo,
        amount: 400,
      });
      await stack.control('POST', `/refunds/${String(hand['out_refund_no'])}/state`, {
        state: 'SUCCESS',
        mch_id: merchant.mchId,
      });
      const external = await stack.eventually(
        async () => {
          const { data } = (await stack.ok('GET', `/v1/refunds?order=${order.id}`)) as { data: Json[] };
          return data.find(({ source }) => source === 'external');
        },
        (found) => found !== undefined,
      );
      expect(external).toMatchObject({ amount: 400, state: 'succeeded', out_refund_no: hand['out_refund_no'] });
      expect(await stack.order(order)).toMatchObject({
        amount_reserved: 300,
        amount_refunded: 400,
        amount_refundable: 300,
        refunds_remaining: 49,
      });
      const over = await stack.api('POST', '/v1/refunds', {
        order: order.id,
        amount: 301,
        out_refund_no: `R${unique()}`,
      });
      expect(over).toMatchObject({ status: 422, body: { code: 'amount_exceeds_refundable' } });
    }, 30_000);

    it('is found by a sync of its order although no notice came, page after page', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const order = await stack.paidOrder(merchant, 1000);
      for (let n = 0; n < 23; n += 1) {
        await stack.control('POST', '/refunds', { mch_id: merchant.mchId, out_trade_no: order.outTradeNo, amount: 10 });
      }
      await stack.ok('POST', `/v1/orders/${order.id}/sync`);
      const now = await stack.eventually(
        () => stack.order(order),
        (seen) => seen['amount_refunded'] === 230,
      );
      expect(now).toMatchObject({ amount_refunded: 230, amount_refundable: 770 });
    }, 30_000);
  });

  describe('a merchant whose certificate is revoked', () => {
    it('is paused after three refusals, says why, and resumes with new credentials without losing or doubling a refund', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const orders = await Promise.all(Array.from({ length: 5 }, () => stack.paidOrder(merchant, 1000)));
      await stack.control('POST', `/merchants/${merchant.mchId}/certificate`, { action: 'revoke' });
      const refunds = await Promise.all(orders.map((order) => stack.refund(order, { amount: 100 })));
      const paused = async (): Promise<Json | undefined> =>
        (await stack.ok('GET', `/v1/merchants/${merchant.mchId}`))['paused'] as Json | undefined;
      expect(await stack.eventually(paused, (value) => value !== undefined)).toMatchObject({
        reason: 'configuration',
        until: expect.any(String),
      });
      const states = (await Promise.all(refunds.map(({ id }) => stack.read(id)))).map(({ state }) => state);
      expect(states.every((state) => ['blocked', 'queued', 'submitting'].includes(state))).toBe(true);

      const issued = await stack.control('POST', `/merchants/${merchant.mchId}/certificate`, { action: 'renew' });
      await stack.credentials(merchant.mchId, issued, []);
      await Promise.all(refunds.map(({ id }) => stack.until(id, 'accepted')));
      expect(await paused()).toBeUndefined();
      for (const { out_refund_no: number } of refunds) expect(await stack.accepted(number)).toHaveLength(1);
    }, 60_000);

    it('and has a single blocked refund gets it going again by new credentials alone', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const order = await stack.paidOrder(merchant, 1000);
      await stack.control('POST', `/merchants/${merchant.mchId}/certificate`, { action: 'revoke' });
      const refund = await stack.refund(order, { amount: 100 });
      expect(await stack.until(refund.id, 'blocked')).toMatchObject({
        status: 'requires_action',
        failure: { code: 'configuration', wechat_code: words.certificate, next_step: expect.any(String) },
      });
      const check = await stack.ok('POST', `/v1/merchants/${merchant.mchId}/check`);
      expect(check['results']).toContainEqual(expect.objectContaining({ kind: 'client_certificate', result: 'wrong' }));
      const issued = await stack.control('POST', `/merchants/${merchant.mchId}/certificate`, { action: 'renew' });
      await stack.credentials(merchant.mchId, issued, []);
      await stack.until(refund.id, 'accepted');
      expect(await stack.accepted(refund.out_refund_no)).toHaveLength(1);
    }, 40_000);
  });

  describe('late truth', () => {
    it('about a rejected refund of an order that has its fifty is booked outside, and nothing is refused to WeChat', async () => {
      const merchant = await stack.merchant({ service: { api_version: version } });
      const order = await stack.paidOrder(merchant, 1000);
      await stack.control('POST', '/limits', { refunds_per_order: 60 });
      // WeChat says no and does it all the same.
      await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: words.refused, after: true });
      const lied = await stack.refund(order, { amount: 10 });
      await stack.until(lied.id, 'rejected');
      const fifty = await Promise.all(Array.from({ length: 50 }, () => stack.refund(order, { amount: 1 })));
      await Promise.all(fifty.map(({ id }) => stack.until(id, 'accepted', 60)));
      await stack.settle(lied, 'SUCCESS');
      await stack.until(lied.id, 'succeeded', 40);
      expect(await stack.order(order)).toMatchObject({
        amount_refunded: 10,
        amount_reserved: 50,
        amount_refundable: 940,
        refunds_remaining: 0,
      });
      const titles = (await stack.timeline(lied.id)).map((entry) => String(entry['title']));
      expect(titles).toContain('rejected → succeeded (incident: late_truth)');
      const { rows } = await stack.database.query(
        'SELECT outside_fen::int, refund_count FROM payment_order WHERE out_trade_no = $1',
        [order.outTradeNo],
      );
      expect(rows).toEqual([{ outside_fen: 10, refund_count: 50 }]);
    }, 90_000);
  });
}
