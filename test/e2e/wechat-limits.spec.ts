import { closeWhole } from './support/close-whole.js';
import { fullestSecond, putFirst, sendsOf, slowedAfterMs } from './support/sends.js';
import { type Json, Stack } from './support/stack.js';

/** What WeChat allows of requests, as the simulator's own ledger saw them. */
const SPACING_SECONDS = 2;

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start({ REFUND_SPACING_SECONDS: String(SPACING_SECONDS) });
});
afterAll(() => closeWhole(stack));

it('refunds of many orders keep the spacing of each, from one claim to the next, in the order they were asked for', async () => {
  const merchant = await stack.merchant();
  const orders = await Promise.all(Array.from({ length: 14 }, () => stack.paidOrder(merchant, 1000)));
  const asked = new Map<string, string[]>();
  for (const order of orders) {
    const first = await stack.refund(order, { amount: 10 });
    const second = await stack.refund(order, { amount: 20 });
    asked.set(order.outTradeNo, [first.out_refund_no, second.out_refund_no]);
  }
  const sends = await stack.eventually(
    () => sendsOf(stack, merchant.mchId),
    (rows) => rows.length >= 28,
  );
  expect(sends).toHaveLength(28);
  for (const [outTradeNo, numbers] of asked) {
    const ofOrder = sends.filter((row) => row.outTradeNo === outTradeNo);
    expect(ofOrder.map((row) => row.outRefundNo)).toEqual(numbers);
    const [first, second] = ofOrder;
    expect((second?.receivedMs ?? 0) - (first?.receivedMs ?? 0)).toBeGreaterThanOrEqual(SPACING_SECONDS * 1000 - 1);
  }
  const { violations } = (await stack.control('GET', '/ledger')) as { violations: Json[] };
  expect(violations).toEqual([]);
});

it('a retry of one refund in the middle keeps the spacing of its order too', async () => {
  const merchant = await stack.merchant();
  const order = await stack.paidOrder(merchant, 1000);
  await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'BIZERR_NEED_RETRY' });
  const busy = await stack.refund(order, { amount: 10 });
  await stack.eventually(
    () => stack.read(busy.id),
    ({ attempts }) => attempts === 1,
  );
  const second = await stack.refund(order, { amount: 20 });
  await stack.ok('POST', `/v1/refunds/${busy.id}/retry`);
  await stack.until(busy.id, 'accepted');
  await stack.until(second.id, 'accepted');
  const times = (await sendsOf(stack, merchant.mchId)).map(({ receivedMs }) => receivedMs);
  expect(times).toHaveLength(3);
  for (const [place, at] of times.slice(1).entries())
    expect(at - (times[place] ?? 0)).toBeGreaterThanOrEqual(SPACING_SECONDS * 1000 - 1);
  const { violations } = (await stack.control('GET', '/ledger')) as { violations: Json[] };
  expect(violations).toEqual([]);
});

/** How long after the slot of its first request a merchant was paused, in milliseconds. */
const PAUSED_SQL = `
  SELECT extract(epoch FROM paused_at - (SELECT min(intent_at) FROM gateway_call WHERE mch_id = $1)) * 1000 AS ms
  FROM merchant_rate WHERE mch_id = $1`;

it('a merchant that WeChat refuses altogether is paused at once: at most six failing requests in any second after the first', async () => {
  const merchant = await stack.merchant({ simulator: { no_auth: true } });
  const orders = await Promise.all(Array.from({ length: 60 }, () => stack.paidOrder(merchant, 1000)));
  await Promise.all(orders.map((order) => stack.refund(order, { amount: 100 })));
  const states = async (): Promise<string[]> => {
    const { data } = (await stack.ok('GET', `/v1/refunds?mch_id=${merchant.mchId}&limit=100`)) as { data: Json[] };
    return data.map((refund) => String(refund['state']));
  };
  await stack.eventually(async () => (await stack.ok('GET', `/v1/merchants/${merchant.mchId}`))['paused'], Boolean);
  await stack.eventually(states, (all) => !all.includes('submitting'));
  // Three seconds more: any rolling second would show what goes on.
  const startMs = performance.now();
  await stack.eventually(
    () => sendsOf(stack, merchant.mchId),
    () => performance.now() - startMs > 3000,
  );
  const sends = await sendsOf(stack, merchant.mchId);
  expect(sends.length).toBeGreaterThanOrEqual(3);
  const pausedMs = Number((await stack.database.query<Json>(PAUSED_SQL, [merchant.mchId])).rows[0]?.['ms']);
  // What is claimed when the third answer is booked, for the next half second, leaves too: all within a second, but on a busy machine.
  const firstMs = Math.max(1000, pausedMs + 600);
  expect(sends.length).toBeLessThanOrEqual((30 * firstMs) / 1000);
  const late = sends.filter(({ receivedMs }) => receivedMs - (sends[0]?.receivedMs ?? 0) >= firstMs);
  expect(fullestSecond(late)).toBeLessThanOrEqual(6);
  // The credentials are younger than three seconds at first: what they blocked may be queued again, and waits.
  expect((await states()).filter((state) => state !== 'blocked' && state !== 'queued')).toEqual([]);
  expect(await stack.ok('GET', `/v1/merchants/${merchant.mchId}`)).toMatchObject({
    paused: { reason: 'configuration' },
  });
});

/** How many requests of a merchant met an error that had their slot so long after that of the first; a missed slot is no request. */
const SINCE_SQL = `
  WITH failed AS (SELECT intent_at FROM gateway_call WHERE mch_id = $1 AND outcome = 'later')
  SELECT count(*) AS count FROM failed WHERE intent_at >= (SELECT min(intent_at) FROM failed) + $2 * interval '1 millisecond'`;

it('a merchant whose every refund meets an error is slowed down to what WeChat allows of failing requests', async () => {
  const merchant = await stack.merchant();
  const orders = await Promise.all(Array.from({ length: 80 }, () => stack.paidOrder(merchant, 1000)));
  putFirst(stack);
  await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'BIZERR_NEED_RETRY', times: null });
  await Promise.all(orders.map((order) => stack.refund(order, { amount: 100 })));
  // The burst is over a second after it was known, which is later on a busy machine.
  const burstMs = (await slowedAfterMs(stack, merchant.mchId)) + 1000;
  // WeChat is not asked meanwhile: telling its ledger would keep it from its work.
  await stack.eventually(
    async () => Number((await stack.database.query<Json>(SINCE_SQL, [merchant.mchId, burstMs])).rows[0]?.['count']),
    (count) => count > 15,
    60,
  );
  await stack.control('DELETE', '/faults');
  const sends = await sendsOf(stack, merchant.mchId);
  const late = sends.filter(({ receivedMs }) => receivedMs - (sends[0]?.receivedMs ?? 0) >= burstMs);
  expect(late.length).toBeGreaterThan(10);
  expect(fullestSecond(late)).toBeLessThanOrEqual(6);
});
