import type { Instance } from './support/instance.js';
import { type Answer, type Json, type Merchant, Stack, unique } from './support/stack.js';

/** The end of a process while callers wait for it. */
let stack: Stack;
let merchant: Merchant;
beforeEach(async () => {
  stack = await Stack.start({ REFUND_SPACING_SECONDS: '60' });
  merchant = await stack.merchant();
});
afterEach(() => stack.close());

/** How the process ended, and after how many seconds. */
async function ended({ child }: Instance): Promise<{ code: number | null; seconds: number }> {
  const began = performance.now();
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { code, seconds: (performance.now() - began) / 1000 };
}

/** A request that is held, once its refund is in this state. */
async function held(body: Json, state: string): Promise<{ readonly answer: Promise<Answer> }> {
  const answer = stack.api('POST', '/v1/refunds', body, { prefer: 'wait=30' });
  const taken = await stack.eventually(
    async () => (await stack.ok('GET', `/v1/refunds?out_refund_no=${String(body['out_refund_no'])}`))['data'] as Json[],
    ([row]) => row?.['state'] === state,
  );
  expect(taken).toMatchObject([{ state }]);
  return { answer };
}

it('on SIGTERM whoever waits is answered with the refund as it is, and the process ends well', async () => {
  const [instance] = stack.instances;
  if (!instance) throw new Error('there is an instance');
  const order = await stack.paidOrder(merchant, 1000);
  await stack.until((await stack.refund(order, { amount: 1 })).id, 'accepted');
  // The second of an order waits a minute for its turn; one of another order waits for WeChat.
  const slow = await stack.paidOrder(merchant, 1000);
  await stack.fault({ mch_id: merchant.mchId, fault: 'slow', delay_ms: 4000, times: 1 });
  const numbers = [`R${unique()}`, `R${unique()}`];
  const submitting = await held({ order: slow.id, amount: 1, out_refund_no: numbers[1] }, 'submitting');
  const queued = await held({ order: order.id, amount: 1, out_refund_no: numbers[0] }, 'queued');
  const end = ended(instance);
  instance.signal('SIGTERM');
  const answers = await Promise.all([queued.answer, submitting.answer]);
  expect(answers[0]).toMatchObject({
    status: 201,
    body: { out_refund_no: numbers[0], status: 'pending', state: 'queued' },
  });
  expect(answers[1]).toMatchObject({ status: 201, body: { out_refund_no: numbers[1] } });
  expect(['submitting', 'accepted']).toContain(answers[1]?.body['state']);
  const { code, seconds } = await end;
  expect(code).toBe(0);
  expect(seconds).toBeLessThan(10);
  // What was answered is true: the next process knows it.
  await stack.addInstance();
  for (const { body } of answers) expect(await stack.read(String(body['id']))).toMatchObject({ amount: 1 });
  await stack.until(String(answers[1]?.body['id']), 'accepted');
  expect(await stack.accepted(numbers[1] ?? '')).toHaveLength(1);
  expect(await stack.accepted(numbers[0] ?? '')).toHaveLength(0);
});
