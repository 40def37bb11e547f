import { setTimeout as sleep } from 'node:timers/promises';
import { type Order, Stack } from './support/stack.js';

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
});

it('stays small in memory, after the start and under load', async () => {
  const [instance] = stack.instances;
  const afterStart = (await instance?.rssMb()) ?? 0;
  const merchant = await stack.merchant({ simulator: { settle_after_ms: 100 } });
  const orders: Order[] = [];
  // A few at a time: a hundred at once wait longer for a connection than a request may where the processors are taken.
  while (orders.length < 100)
    orders.push(...(await Promise.all(Array.from({ length: 10 }, () => stack.paidOrder(merchant, 1000)))));
  const refunds = await Promise.all(
    orders.flatMap((order) => [1, 2, 3].map((amount) => stack.refund(order, { amount }))),
  );
  await stack.untilAll(refunds, 'succeeded', 90);
  const underLoad = (await instance?.rssMb()) ?? 0;
  console.log(`RSS after start ${afterStart} MB, under load ${underLoad} MB`);
  expect(afterStart).toBeLessThan(RSS_AFTER_START_MB);
  expect(underLoad).toBeLessThan(RSS_UNDER_LOAD_MB);
});
