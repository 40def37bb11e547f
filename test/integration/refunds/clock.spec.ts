import { ADMIN, type Merchant, type Refund, RefundDomain } from '../../support/refund-domain.js';
import { sendAnswer } from '../../support/scripted-gateway.js';

/** Database time at the edges of the refund window, and set back. One service per test, since its time is its own. */
let domain: RefundDomain;
let merchant: Merchant;
beforeEach(async () => {
  domain = await RefundDomain.start();
  merchant = await domain.merchant();
});
afterEach(async () => {
  const broken = await domain.broken();
  await domain.close();
  expect(broken).toEqual({});
});

const PAID_AT = `timestamptz '2026-02-28 23:59:59.5+08'`;
/** This far from the end of the window, in seconds. */
const edge = (seconds: number): string => `${PAID_AT} + interval '365 days' + interval '${seconds} seconds'`;

describe('the 365 days of an order', () => {
  it.each([
    [-1, true],
    [0, false],
    [1, false],
  ])('at the intake: %i s from their end a refund is taken: %s', async (seconds, taken) => {
    const order = await domain.order(merchant, 1000, PAID_AT);
    await domain.freeze(edge(seconds));
    const asked = domain.refund(order);
    if (taken) await asked;
    else await expect(asked).rejects.toMatchObject({ status: 422, code: 'refund_window_expired' });
    expect(await domain.counters(order)).toMatchObject({ reserved: taken ? 300 : 0, count: taken ? 1 : 0 });
  });

  it.each([
    [-1, 'accepted' as const],
    [0, 'rejected' as const],
    [1, 'rejected' as const],
  ])('before the first send: %i s from their end a refund is %s', async (seconds, state) => {
    const order = await domain.order(merchant, 1000, PAID_AT);
    await domain.freeze(edge(-3600));
    const refund = await domain.refund(order);
    await domain.freeze(edge(seconds));
    domain.work();
    await domain.until(refund, state);
    expect(domain.gateway.sends).toHaveLength(state === 'accepted' ? 1 : 0);
    expect(await domain.counters(order)).toMatchObject({ reserved: state === 'accepted' ? 300 : 0 });
    if (state === 'rejected') {
      expect(await domain.row(refund)).toMatchObject({ failure_code: 'refund_window_expired', first_sent_at: null });
      expect((await domain.events(refund)).at(-1)).toMatchObject({ from_state: 'queued', cause: 'window' });
    }
  });

  it('do not hold back a refund that was sent before their end', async () => {
    const order = await domain.order(merchant, 1000, PAID_AT);
    await domain.freeze(edge(-30));
    domain.gateway.onSend = () => sendAnswer('later', 'BIZERR_NEED_RETRY');
    domain.work();
    const refund = await domain.refund(order);
    await domain.eventually(async () => (await domain.row(refund)).attempts === 1);
    domain.gateway.behave();
    await domain.freeze(edge(31));
    await domain.until(refund, 'accepted');
    expect(domain.gateway.sendsOf(refund.outRefundNo)).toHaveLength(2);
  });

  it('are still looked at after a claim that wrote nothing for want of credentials', async () => {
    const order = await domain.order(merchant, 1000, PAID_AT);
    await domain.freeze(edge(-30));
    domain.gateway.onPrepare = () => sendAnswer('configuration', 'credentials_missing', { written: false });
    domain.work();
    const refund = await domain.refund(order);
    await domain.until(refund, 'blocked');
    expect(await domain.row(refund)).toMatchObject({ first_sent_at: null, in_doubt_since: null });
    domain.gateway.behave();
    await domain.freeze(edge(0));
    await domain.actions.retry(ADMIN, refund.id);
    expect(await domain.until(refund, 'rejected')).toMatchObject({ failure_code: 'refund_window_expired' });
    expect(domain.gateway.sends).toEqual([]);
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 0, outside: 0, count: 0 });
  });
});

describe('a database clock set back by an hour', () => {
  /** In this time a service that has lost nothing has sent and asked. */
  const SOON_SECONDS = 2;

  it('stops neither sends nor questions of a merchant that was just sending and asking', async () => {
    domain.work();
    const before = await domain.refund(await domain.order(merchant));
    const running = await domain.plant(await domain.order(merchant), 'accepted', 300, {
      next_query_at: 'tuikuan_now()',
    });
    await domain.until(before, 'accepted');
    await domain.eventually(() => domain.gateway.queriesOf(running.outRefundNo).length === 1);
    await domain.forward(-3600);
    const orders = await domain.orders(merchant, 20);
    const refunds: Refund[] = [];
    for (const order of orders) refunds.push(await domain.refund(order));
    const due = await domain.plant(await domain.order(merchant), 'accepted', 300, { next_query_at: 'tuikuan_now()' });
    const sent = () => domain.gateway.sends.length - 1;
    await domain.eventually(() => sent() > 0, undefined, SOON_SECONDS);
    expect(sent()).toBeGreaterThan(0);
    await domain.eventually(() => domain.gateway.queriesOf(due.outRefundNo).length > 0, undefined, SOON_SECONDS);
    expect(domain.gateway.queriesOf(due.outRefundNo)).toHaveLength(1);
    for (const refund of refunds) await domain.until(refund, 'accepted');
  });

  it('does not keep a caller from asking about a refund that was asked about before', async () => {
    domain.work();
    const refund = await domain.plant(await domain.order(merchant), 'accepted', 300, {
      first_sent_at: 'tuikuan_now()',
      next_query_at: 'tuikuan_now()',
    });
    await domain.show(refund, { status: 'accepted' });
    await domain.eventually(async () => (await domain.row(refund)).query_step === 1);
    await domain.eventually(async () => (await domain.row(refund)).lease_until === null);
    await domain.forward(-3600);
    await domain.show(refund, { status: 'succeeded' });
    await domain.actions.sync(ADMIN, refund.id);
    expect(await domain.row(refund)).toMatchObject({ state: 'succeeded' });
  });
});
