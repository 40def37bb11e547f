import { closeWhole } from './support/close-whole.js';
import { type Json, type Merchant, type Order, type Refund, Stack } from './support/stack.js';

/** WeChat says SUCCESS and CLOSED about one refund, in a question and in a notice, in both orders. */
let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => closeWhole(stack));

let aheadSeconds = 0;
/** WeChat may be asked about the same refund again. */
async function pastQuerySpacing(): Promise<void> {
  aheadSeconds += 11;
  await stack.shiftClock(`${aheadSeconds} seconds`);
}

interface Running {
  readonly merchant: Merchant;
  readonly order: Order;
  readonly refund: Refund;
}

async function accepted(service: Json): Promise<Running> {
  const merchant = await stack.merchant({ service });
  const order = await stack.paidOrder(merchant, 1000);
  const refund = await stack.refund(order, { amount: 300 });
  await stack.until(refund.id, 'accepted');
  return { merchant, order, refund };
}

const titles = async (refund: Refund): Promise<string[]> =>
  (await stack.timeline(refund.id)).filter(({ kind }) => kind === 'event').map(({ title }) => String(title));

const noticesOf = async ({ mchId }: Merchant): Promise<Json[]> =>
  (await stack.ok('GET', `/v1/notifications?mch_id=${mchId}&kind=refund`))['data'] as Json[];

const send = (refund: Refund, status: string): Promise<Json> =>
  stack.control('POST', `/notices/${refund.out_refund_no}`, { mch_id: refund['mch_id'], forge: `status:${status}` });

describe.each(['confirm', 'apply'])('in %s mode', (mode) => {
  it('SUCCESS stays although a notice says CLOSED later', async () => {
    const { merchant, order, refund } = await accepted({ refund_notify: mode });
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded');
    await pastQuerySpacing();
    await send(refund, 'REFUNDCLOSE');
    const result = mode === 'confirm' ? 'refused' : 'repeat';
    const [newest] = await stack.eventually(
      () => noticesOf(merchant),
      (rows) => rows.length === 2 && rows[0]?.['result'] !== 'waiting_for_query',
    );
    expect(newest).toMatchObject({ result, refund: refund.id });
    expect(await stack.read(refund.id)).toMatchObject({ state: 'succeeded', failure: null });
    // In confirm mode WeChat's signed word is that it has succeeded: the notice contradicts WeChat, not us.
    const incident = 'stays succeeded (incident: contradicts_final)';
    expect((await titles(refund)).filter((title) => title === incident)).toHaveLength(mode === 'confirm' ? 0 : 1);
    expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_reserved: 0 });
  });

  it('SUCCESS wins although CLOSED was booked before, and a person hears of it', async () => {
    const { order, refund } = await accepted({ refund_notify: mode });
    await stack.settle(refund, 'REFUNDCLOSE');
    await stack.until(refund.id, 'closed');
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 0, amount_refundable: 1000 });
    await pastQuerySpacing();
    await stack.settle(refund, 'SUCCESS');
    const done = await stack.until(refund.id, 'succeeded', 40);
    expect(done).toMatchObject({ status: 'succeeded', failure: null, succeeded_at: expect.any(String) });
    expect(await titles(refund)).toContain('closed → succeeded (incident: late_truth)');
    expect(stack.instances[0]?.log).toContain('"incident":"late_truth"');
    expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_refundable: 700 });
  });
});

it('CLOSED in WeChat’s own answer after SUCCESS is an incident once, and moves nothing', async () => {
  const { merchant, order, refund } = await accepted({});
  await stack.settle(refund, 'SUCCESS');
  await stack.until(refund.id, 'succeeded');
  await pastQuerySpacing();
  await stack.settle(refund, 'REFUNDCLOSE');
  const incident = 'stays succeeded (incident: contradicts_final)';
  const seen = await stack.eventually(
    () => titles(refund),
    (all) => all.includes(incident),
    30,
  );
  expect(seen.filter((title) => title === incident)).toHaveLength(1);
  expect(await noticesOf(merchant)).toHaveLength(2);
  expect(await stack.read(refund.id)).toMatchObject({ state: 'succeeded' });
  expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_reserved: 0, amount_refundable: 700 });
});
