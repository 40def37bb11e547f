import { closeWhole } from './support/close-whole.js';
import { type Json, Stack } from './support/stack.js';

/** What takes minutes, hours and days, on a database clock that the test moves. One stack, since its time is one. */
let stack: Stack;
let offsetSeconds = 0;

beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => closeWhole(stack));

async function forward(seconds: number): Promise<void> {
  offsetSeconds += seconds;
  await stack.shiftClock(`${offsetSeconds} seconds`);
}

const titles = async (id: string): Promise<string[]> =>
  (await stack.timeline(id)).filter((entry) => entry['kind'] === 'event').map((entry) => String(entry['title']));

it('ERROR for ever ends blocked after ten sends, once it is certain that WeChat holds nothing', async () => {
  const merchant = await stack.merchant();
  const order = await stack.paidOrder(merchant, 1000);
  await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'ERROR', times: null });
  const refund = await stack.refund(order, { amount: 100 });
  for (let send = 1; send <= 10; send += 1) {
    const seen = await stack.eventually(
      () => stack.read(refund.id),
      ({ state, attempts }) => state === 'outcome_unknown' && attempts === send,
    );
    expect(seen).toMatchObject({ state: 'outcome_unknown', attempts: send, in_doubt: true });
    await forward(11);
  }
  expect(await stack.requests(refund.out_refund_no)).toHaveLength(10);
  await forward(25 * 60);
  expect(await stack.until(refund.id, 'blocked')).toMatchObject({
    in_doubt: false,
    failure: { code: 'too_many_attempts' },
  });
  expect(await stack.order(order)).toMatchObject({ amount_reserved: 100 });
  // A person mends the cause; the same number goes through.
  await stack.control('DELETE', '/faults');
  await stack.ok('POST', `/v1/refunds/${refund.id}/retry`);
  await stack.until(refund.id, 'accepted');
  expect(await stack.accepted(refund.out_refund_no)).toHaveLength(1);
});

it('ten hours without balance leave the refund waiting for its next try', async () => {
  const merchant = await stack.merchant();
  const order = await stack.paidOrder(merchant, 1000);
  await stack.control('POST', `/merchants/${merchant.mchId}/balance`, { balance_fen: 0 });
  const refund = await stack.refund(order, { amount: 100 });
  await stack.until(refund.id, 'insufficient_balance');
  for (let hour = 1; hour <= 10; hour += 1) {
    await forward(3601);
    await stack.eventually(
      () => stack.requests(refund.out_refund_no),
      (requests) => requests.length > hour,
    );
    await stack.until(refund.id, 'insufficient_balance');
  }
  expect(await stack.requests(refund.out_refund_no)).toHaveLength(11);
  const waiting = await stack.read(refund.id);
  expect(waiting).toMatchObject({ attempts: 0, next_attempt_at: expect.any(String), in_doubt: false });
  await stack.control('POST', `/merchants/${merchant.mchId}/balance`, { add_fen: 1000 });
  await forward(3601);
  await stack.until(refund.id, 'accepted');
});

it('a swapped answer is a mismatch in doubt, which nobody may resolve to closed until WeChat is asked late enough', async () => {
  const merchant = await stack.merchant({ simulator: { visibility_lag_ms: 100_000_000 } });
  const order = await stack.paidOrder(merchant, 1000);
  await stack.fault({ mch_id: merchant.mchId, fault: 'other_refund' });
  const refund = await stack.refund(order, { amount: 100 });
  expect(await stack.until(refund.id, 'mismatch')).toMatchObject({ in_doubt: true, status: 'requires_action' });
  const resolve = (outcome: string) =>
    stack.api('POST', `/v1/refunds/${refund.id}/resolve`, { outcome, reason: 'looked it up in the merchant platform' });
  await forward(11);
  expect(await resolve('closed')).toMatchObject({ status: 409, body: { code: 'send_in_doubt' } });
  await forward(11);
  expect(await resolve('rejected')).toMatchObject({ status: 409, body: { code: 'send_in_doubt' } });
  expect(await stack.order(order)).toMatchObject({ amount_reserved: 100 });
  // WeChat shows it in the end: its answer wins over the person's.
  await stack.control('POST', '/merchants', { mch_id: merchant.mchId, visibility_lag_ms: 0 });
  await forward(11);
  expect(await resolve('closed')).toMatchObject({ status: 200, body: { state: 'accepted' } });
});

it('cancel is refused while a send is in doubt, and allowed once WeChat was asked twenty minutes later', async () => {
  const merchant = await stack.merchant();
  const order = await stack.paidOrder(merchant, 1000);
  await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'SYSTEMERROR' });
  const refund = await stack.refund(order, { amount: 100 });
  await stack.until(refund.id, 'outcome_unknown');
  await stack.ok('PATCH', `/v1/merchants/${merchant.mchId}`, { enabled: false });
  const cancel = () => stack.api('POST', `/v1/refunds/${refund.id}/cancel`, {});
  expect(await cancel()).toMatchObject({ status: 409, body: { code: 'invalid_state' } });
  await forward(11);
  await stack.until(refund.id, 'queued');
  expect(await cancel()).toMatchObject({ status: 409, body: { code: 'send_in_doubt' } });
  expect(await stack.order(order)).toMatchObject({ amount_reserved: 100 });
  await forward(21 * 60);
  await stack.eventually(
    () => stack.read(refund.id),
    (seen) => seen['in_doubt'] === false,
  );
  expect(await cancel()).toMatchObject({ status: 200, body: { state: 'canceled' } });
  expect(await stack.order(order)).toMatchObject({ amount_reserved: 0 });
});

it('a refund nobody tells us about is found by asking, in ever larger gaps', async () => {
  const merchant = await stack.merchant({ simulator: { mute_notices: true } });
  const order = await stack.paidOrder(merchant, 1000);
  const refund = await stack.refund(order, { amount: 100 });
  await stack.until(refund.id, 'accepted');
  for (const [place, gap] of [10, 30, 60, 300, 900, 1800, 3600, 21_600, 21_600].entries()) {
    await forward(gap + 1);
    const queries = await stack.eventually(
      () => stack.requests(refund.out_refund_no, 'refundquery'),
      (requests) => requests.length > place,
    );
    expect(queries).toHaveLength(place + 1);
  }
  await stack.settle(refund, 'SUCCESS');
  await forward(21_601);
  await stack.until(refund.id, 'succeeded');
});

it('a refund that waited past the refund window is rejected before its first send', async () => {
  const merchant = await stack.merchant();
  const outTradeNo = `T${Date.now().toString(36)}`;
  const paidAt = new Date(Date.now() + offsetSeconds * 1000 - 365 * 86_400_000 + 3_600_000).toISOString();
  await stack.control('POST', '/orders', {
    mch_id: merchant.mchId,
    appid: merchant.appid,
    out_trade_no: outTradeNo,
    total_fee: 500,
    paid_at: paidAt,
  });
  const registered = await stack.ok('POST', '/v1/orders/register', {
    appid: merchant.appid,
    out_trade_no: outTradeNo,
    amount: 500,
  });
  const order = { id: String(registered['id']), mchId: merchant.mchId, outTradeNo };
  await stack.ok('PATCH', `/v1/merchants/${merchant.mchId}`, { enabled: false });
  await stack.database.query('UPDATE merchant SET enabled = true WHERE mch_id = $1', [merchant.mchId]);
  await stack.database.query(
    'UPDATE payment_order SET next_send_at = tuikuan_now() + interval $$61 minutes$$ WHERE out_trade_no = $1',
    [outTradeNo],
  );
  let refund: Json = {};
  for (let n = 0; n < 50 && refund['id'] === undefined; n += 1) {
    refund = (await stack.api('POST', '/v1/refunds', { order: order.id, amount: 100, out_refund_no: `R${outTradeNo}` }))
      .body;
  }
  await forward(3700);
  expect(await stack.until(String(refund['id']), 'rejected')).toMatchObject({
    failure: { code: 'refund_window_expired' },
  });
  expect(await stack.requests(`R${outTradeNo}`)).toHaveLength(0);
  expect(await stack.order(order)).toMatchObject({ amount_reserved: 0, refunds_remaining: 50 });
  expect(await titles(String(refund['id']))).toContain('queued → rejected');
});
