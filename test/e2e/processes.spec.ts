import { setTimeout as sleep } from 'node:timers/promises';
import { type Json, Stack } from './support/stack.js';

const RSS_AFTER_START_MB = 250;
const RSS_UNDER_LOAD_MB = 350;

let stack: Stack;
beforeEach(async () => {
  stack = await Stack.start();
});
afterEach(() => stack.close());

it('a service killed between WeChat’s acceptance and its own booking asks, and ends with one refund', async () => {
  const merchant = await stack.merchant();
  const order = await stack.paidOrder(merchant, 1000);
  await stack.fault({ mch_id: merchant.mchId, fault: 'slow', delay_ms: 5000 });
  const refund = await stack.refund(order, { amount: 300 });
  while ((await stack.accepted(refund.out_refund_no)).length === 0) await sleep(20);
  await stack.instances[0]?.kill();
  await stack.addInstance();
  expect(await stack.read(refund.id)).toMatchObject({ state: 'submitting' });
  await stack.shiftClock('61 seconds');
  await stack.until(refund.id, 'accepted');
  expect(await stack.requests(refund.out_refund_no)).toHaveLength(1);
  expect(await stack.accepted(refund.out_refund_no)).toHaveLength(1);
}, 60_000);

it('a worker stopped past its lease and resumed sends nothing more and changes nothing', async () => {
  const merchant = await stack.merchant();
  const order = await stack.paidOrder(merchant, 1000);
  await stack.fault({ mch_id: merchant.mchId, fault: 'slow', delay_ms: 3000 });
  const refund = await stack.refund(order, { amount: 300 });
  while ((await stack.accepted(refund.out_refund_no)).length === 0) await sleep(20);
  const [stopped] = stack.instances;
  stopped?.signal('SIGSTOP');
  await stack.addInstance();
  stack.instances.reverse();
  await stack.shiftClock('61 seconds');
  await stack.until(refund.id, 'accepted');
  await stack.settle(refund, 'SUCCESS');
  await stack.shiftClock('120 seconds');
  await stack.until(refund.id, 'succeeded');
  const before = (await stack.timeline(refund.id)).filter((entry) => entry['kind'] === 'event');
  stopped?.signal('SIGCONT');
  await sleep(4000);
  const after = (await stack.timeline(refund.id)).filter((entry) => entry['kind'] === 'event');
  expect(after).toEqual(before);
  expect(await stack.requests(refund.out_refund_no)).toHaveLength(1);
  expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_reserved: 0 });
}, 60_000);

it('two instances share one backlog: each refund is sent once, and no second holds more than 150 requests', async () => {
  const merchant = await stack.merchant();
  await stack.addInstance();
  const orders = await Promise.all(Array.from({ length: 250 }, () => stack.paidOrder(merchant, 1000)));
  const refunds = await Promise.all(orders.map((order) => stack.refund(order, { amount: 100 })));
  await Promise.all(refunds.map(({ id }) => stack.until(id, 'accepted', 60)));
  const { requests, accepted } = (await stack.control('GET', '/ledger')) as { requests: Json[]; accepted: Json[] };
  const sends = requests.filter(({ call }) => call === 'refund');
  expect(accepted).toHaveLength(250);
  expect(new Set(sends.map(({ out_refund_no: number }) => number)).size).toBe(250);
  expect(sends).toHaveLength(250);
  const times = sends.map(({ received_ms: ms }) => Number(ms)).sort((a, b) => a - b);
  const fullest = Math.max(...times.map((from, place) => times.slice(place).filter((at) => at - from < 1000).length));
  expect(fullest).toBeLessThanOrEqual(150);
  console.log(`250 refunds in ${Math.round((times.at(-1) ?? 0) - (times[0] ?? 0))} ms, fullest second ${fullest}`);
}, 90_000);

it('refunds of one order leave a minute apart, in the order they were asked for', async () => {
  await stack.close();
  stack = await Stack.start({ REFUND_SPACING_SECONDS: '2' });
  const order = await stack.paidOrder(await stack.merchant(), 1000);
  const refunds: string[] = [];
  for (let n = 0; n < 5; n += 1) refunds.push((await stack.refund(order, { amount: 10 })).out_refund_no);
  let sends: Json[] = [];
  for (let n = 0; n < 200 && sends.length < 5; n += 1) {
    const { requests } = (await stack.control('GET', '/ledger')) as { requests: Json[] };
    sends = requests.filter(({ call }) => call === 'refund');
    await sleep(100);
  }
  expect(sends.map(({ out_refund_no: number }) => number)).toEqual(refunds);
  const times = sends.map(({ received_ms: ms }) => Number(ms));
  for (const [place, at] of times.slice(1).entries()) expect(at - (times[place] ?? 0)).toBeGreaterThanOrEqual(1999);
  const { violations } = (await stack.control('GET', '/ledger')) as { violations: Json[] };
  expect(violations).toEqual([]);
}, 60_000);

it('stays small in memory, after the start and under load', async () => {
  const [instance] = stack.instances;
  const afterStart = (await instance?.rssMb()) ?? 0;
  const merchant = await stack.merchant({ simulator: { settle_after_ms: 100 } });
  const orders = await Promise.all(Array.from({ length: 100 }, () => stack.paidOrder(merchant, 1000)));
  const refunds = await Promise.all(
    orders.flatMap((order) => [1, 2, 3].map((amount) => stack.refund(order, { amount }))),
  );
  await Promise.all(refunds.map(({ id }) => stack.until(id, 'succeeded', 90)));
  const underLoad = (await instance?.rssMb()) ?? 0;
  console.log(`RSS after start ${afterStart} MB, under load ${underLoad} MB`);
  expect(afterStart).toBeLessThan(RSS_AFTER_START_MB);
  expect(underLoad).toBeLessThan(RSS_UNDER_LOAD_MB);
}, 120_000);

it('ends cleanly on SIGTERM: what was accepted is kept, and the process exits with 0', async () => {
  const [instance] = stack.instances;
  const merchant = await stack.merchant();
  const orders = await Promise.all(Array.from({ length: 30 }, () => stack.paidOrder(merchant, 1000)));
  const asked = orders.map((order) => stack.refund(order, { amount: 10 }));
  const refunds = await Promise.all(asked);
  const exit = new Promise<number | null>((resolve) => instance?.child.once('exit', resolve));
  const startMs = Date.now();
  instance?.signal('SIGTERM');
  expect(await exit).toBe(0);
  expect(Date.now() - startMs).toBeLessThan(10_000);
  await stack.addInstance();
  await Promise.all(refunds.map(({ id }) => stack.until(id, 'accepted', 60)));
  for (const { out_refund_no: number } of refunds) expect(await stack.accepted(number)).toHaveLength(1);
}, 90_000);
