import { lockRate, noteAnswers } from '../../../src/refunds/merchant-rate.js';
import type { SendOutcome } from '../../../src/refunds/refund-gateway.port.js';
import { ADMIN, type Merchant, type Order, type Refund, RefundDomain } from '../../support/refund-domain.js';
import { sendAnswer } from '../../support/scripted-gateway.js';

let domain: RefundDomain;
beforeAll(async () => {
  domain = await RefundDomain.start({ REFUND_SPACING_SECONDS: '60' });
  domain.work();
});
afterAll(async () => {
  const broken = await domain.broken();
  await domain.close();
  expect(broken).toEqual({});
});
beforeEach(() => domain.gateway.behave());

/** With it the next send of an order is not held back. */
const PAST_SPACING_SECONDS = 61;

const refusing = (code = 'NOAUTH') => sendAnswer('configuration', code);

const sendsOf = ({ mchId }: Merchant): string[] =>
  domain.gateway.sends.filter((request) => request.mchId === mchId).map(({ outRefundNo }) => outRefundNo);

/** The pause as operators see it. */
const shownPause = async ({ mchId }: Merchant) => (await domain.merchants.get(mchId)).paused;

/** A merchant that three configuration answers have paused; its refunds on orders of their own, the oldest first. */
async function paused(more = 2): Promise<{ merchant: Merchant; orders: Order[]; blocked: Refund[]; queued: Refund[] }> {
  const merchant = await domain.merchant();
  const orders = await domain.orders(merchant, 3 + more);
  domain.gateway.onSend = (request) => (request.mchId === merchant.mchId ? refusing() : domain.gateway.take(request));
  const blocked: Refund[] = [];
  for (const order of orders.slice(0, 3)) {
    const refund = await domain.refund(order);
    await domain.until(refund, 'blocked');
    blocked.push(refund);
  }
  const queued: Refund[] = [];
  for (const order of orders.slice(3)) queued.push(await domain.refund(order));
  await domain.quiet();
  expect(await domain.pause(merchant)).toBe('configuration');
  expect(sendsOf(merchant)).toHaveLength(3);
  return { merchant, orders, blocked, queued };
}

describe('a merchant paused for its configuration', () => {
  it('sends one request every five minutes, the oldest due refund first, and blocks what WeChat refuses', async () => {
    const { merchant, queued } = await paused(2);
    await domain.forward(290);
    await domain.quiet();
    expect(sendsOf(merchant)).toHaveLength(3);
    for (const [place, probe] of queued.entries()) {
      await domain.forward(11);
      await domain.until(probe, 'blocked');
      await domain.forward(288);
      await domain.quiet();
      const sent = queued.slice(0, place + 1).map(({ outRefundNo }) => outRefundNo);
      expect(sendsOf(merchant).slice(3)).toEqual(sent);
    }
    expect(await domain.states(merchant)).toEqual({ blocked: 5 });
  });

  it('sends a probe whose slot was missed once more at once, and no other in its place', async () => {
    const { merchant, queued } = await paused(2);
    const [first] = queued as [Refund];
    let missed = false;
    domain.gateway.onPrepare = ({ outRefundNo }) => {
      if (outRefundNo === first.outRefundNo && !missed) domain.clock.jumpMs += 700;
      missed ||= outRefundNo === first.outRefundNo;
      return null;
    };
    await domain.forward(301);
    await domain.until(first, 'blocked');
    await domain.quiet();
    expect(missed).toBe(true);
    expect(sendsOf(merchant).slice(3)).toEqual([first.outRefundNo]);
  });

  it('that has nothing due sends its oldest blocked refund as the probe, and only that one', async () => {
    const { merchant, blocked } = await paused(0);
    await domain.forward(301);
    await domain.eventually(() => sendsOf(merchant).length === 4);
    await domain.quiet();
    expect(sendsOf(merchant).at(-1)).toBe(blocked[0]?.outRefundNo);
    expect(sendsOf(merchant)).toHaveLength(4);
    expect(await domain.states(merchant)).toEqual({ blocked: 3 });
  });

  it('goes on with everything, blocked and queued, after one good probe', async () => {
    const { merchant, blocked, queued } = await paused(3);
    domain.gateway.behave();
    await domain.forward(301);
    for (const refund of [...queued, ...blocked]) await domain.until(refund, 'accepted');
    expect(sendsOf(merchant)[3]).toBe(queued[0]?.outRefundNo);
    expect(await domain.pause(merchant)).toBeNull();
    expect(await shownPause(merchant)).toBeUndefined();
  });

  it.each(['a blocked', 'a queued'])(
    'sends only the refund that retry names, %s one, and moves no other',
    async (kind) => {
      const { merchant, blocked, queued } = await paused(2);
      const chosen = (kind === 'a blocked' ? blocked[1] : queued[1]) as Refund;
      // A slot that a busy machine missed has left its own versions.
      const versions = (): Promise<number[]> =>
        Promise.all(
          blocked.filter((refund) => refund !== chosen).map(async (other) => (await domain.row(other)).version),
        );
      const before = await versions();
      await domain.forward(PAST_SPACING_SECONDS);
      await domain.actions.retry(ADMIN, chosen.id);
      await domain.eventually(() => sendsOf(merchant).length === 4);
      await domain.until(chosen, 'blocked');
      await domain.quiet();
      expect(sendsOf(merchant).slice(3)).toEqual([chosen.outRefundNo]);
      expect(await domain.states(merchant)).toEqual(
        kind === 'a blocked' ? { blocked: 3, queued: 2 } : { blocked: 4, queued: 1 },
      );
      expect(await versions()).toEqual(before);
    },
  );

  it('sends nothing in place of the refund that retry names while the spacing of its order runs', async () => {
    const { merchant, orders, blocked, queued } = await paused(1);
    const order = orders[1] as Order;
    const chosen = blocked[1] as Refund;
    await domain.sql(`UPDATE payment_order SET next_send_at = tuikuan_now() + interval '50 seconds' WHERE id = $1`, [
      order.id,
    ]);
    await domain.actions.retry(ADMIN, chosen.id);
    await domain.quiet();
    expect(sendsOf(merchant)).toHaveLength(3);
    expect(await domain.states(merchant)).toEqual({ blocked: 2, queued: 2 });
    await domain.forward(40);
    await domain.quiet();
    expect(sendsOf(merchant)).toHaveLength(3);
    await domain.forward(11);
    await domain.until(chosen, 'blocked');
    await domain.quiet();
    expect(sendsOf(merchant).slice(3)).toEqual([chosen.outRefundNo]);
    expect(await domain.row(queued[0] as Refund)).toMatchObject({ state: 'queued', version: 1 });
  });

  it('sends the refund that retry names also when its first slot is missed, and no other in its place', async () => {
    const { merchant, blocked } = await paused(2);
    const chosen = blocked[1] as Refund;
    await domain.forward(PAST_SPACING_SECONDS);
    let missed = false;
    domain.gateway.onPrepare = ({ outRefundNo }) => {
      if (outRefundNo === chosen.outRefundNo && !missed) domain.clock.jumpMs += 700;
      missed ||= outRefundNo === chosen.outRefundNo;
      return null;
    };
    await domain.actions.retry(ADMIN, chosen.id);
    await domain.eventually(() => sendsOf(merchant).length === 4);
    await domain.until(chosen, 'blocked');
    await domain.quiet();
    expect(missed).toBe(true);
    expect(sendsOf(merchant).slice(3)).toEqual([chosen.outRefundNo]);
    expect(await domain.states(merchant)).toEqual({ blocked: 3, queued: 2 });
  });

  it('that WeChat answers "too many requests" is paused for a minute instead, and then everything goes on', async () => {
    const { merchant, blocked, queued } = await paused(1);
    domain.gateway.onSend = (request) =>
      request.mchId === merchant.mchId
        ? sendAnswer('later', 'INVALID_REQ_TOO_MUCH', { pauseSeconds: 60 })
        : domain.gateway.take(request);
    await domain.forward(301);
    await domain.eventually(async () => (await domain.pause(merchant)) === 'too_many_requests');
    domain.gateway.behave();
    await domain.quiet();
    expect(sendsOf(merchant)).toHaveLength(4);
    await domain.forward(61);
    for (const refund of [...blocked, ...queued]) await domain.until(refund, 'accepted');
    expect(await domain.pause(merchant)).toBeNull();
  });
});

describe('refunds blocked by configuration', () => {
  /** One that configuration blocks, and one that too many attempts have blocked, of a merchant that is not paused. */
  async function blockedTwice(): Promise<{ merchant: Merchant; configuration: Refund; tired: Refund }> {
    const merchant = await domain.merchant();
    const [one, other] = (await domain.orders(merchant, 2)) as [Order, Order];
    domain.gateway.onSend = (request) => (request.mchId === merchant.mchId ? refusing() : domain.gateway.take(request));
    const configuration = await domain.refund(one);
    await domain.until(configuration, 'blocked');
    const tired = await domain.plant(other, 'blocked', 300, { failure_code: `'too_many_attempts'`, attempts: '10' });
    domain.gateway.behave();
    await domain.forward(PAST_SPACING_SECONDS);
    return { merchant, configuration, tired };
  }

  it('go on after an ok check alone, those with too many attempts do not', async () => {
    const { merchant, configuration, tired } = await blockedTwice();
    await domain.merchants.check(ADMIN, merchant.mchId);
    await domain.until(configuration, 'accepted');
    await domain.quiet();
    expect(await domain.row(tired)).toMatchObject({ state: 'blocked', version: 1 });
  });

  it('stay where they are after a check that finds a credential wrong', async () => {
    const { merchant, configuration } = await blockedTwice();
    domain.probeResults = [
      { kind: 'api_v2_key', result: 'ok', wechatCode: null, message: '' },
      { kind: 'client_certificate', result: 'wrong', wechatCode: 'CERT_ERROR', message: '' },
    ];
    await domain.merchants.check(ADMIN, merchant.mchId);
    await domain.quiet();
    expect(await domain.row(configuration)).toMatchObject({ state: 'blocked' });
  });

  it('go on after new credentials, once every instance has them; those with too many attempts do not', async () => {
    const { merchant, configuration, tired } = await blockedTwice();
    await domain.merchants.putCredentials(ADMIN, merchant.mchId, { api_v2_key: 'k'.repeat(32) });
    await domain.quiet();
    expect(await domain.row(configuration)).toMatchObject({ state: 'blocked' });
    await domain.forward(4);
    await domain.until(configuration, 'accepted');
    await domain.quiet();
    expect(await domain.row(tired)).toMatchObject({ state: 'blocked', version: 1 });
  });
});

describe('"too many requests"', () => {
  it('stops every refund of the merchant for a minute, whatever is put or checked, and then it goes on by itself', async () => {
    const merchant = await domain.merchant();
    const [one, other] = (await domain.orders(merchant, 2)) as [Order, Order];
    domain.gateway.onSend = (request) =>
      request.mchId === merchant.mchId
        ? sendAnswer('later', 'INVALID_REQ_TOO_MUCH', { pauseSeconds: 60 })
        : domain.gateway.take(request);
    const first = await domain.refund(one);
    await domain.eventually(async () => (await domain.row(first)).attempts === 1);
    domain.gateway.behave();
    const second = await domain.refund(other);
    expect(await shownPause(merchant)).toMatchObject({ reason: 'too_many_requests', until: expect.any(String) });
    await domain.merchants.putCredentials(ADMIN, merchant.mchId, { api_v2_key: 'k'.repeat(32) });
    await domain.merchants.check(ADMIN, merchant.mchId);
    await domain.forward(55);
    await domain.quiet();
    expect(sendsOf(merchant)).toEqual([first.outRefundNo]);
    expect(await shownPause(merchant)).toMatchObject({ reason: 'too_many_requests' });
    await domain.forward(6);
    expect(await shownPause(merchant)).toBeUndefined();
    await domain.until(second, 'accepted');
    await domain.until(first, 'accepted');
    expect(await domain.pause(merchant)).toBeNull();
  });
});

describe('an answer', () => {
  const noteAll = async ({ mchId }: Merchant, outcomes: readonly SendOutcome[], claimedAt = new Date()) =>
    domain.database.uow.run((tx) =>
      noteAnswers(
        tx,
        mchId,
        outcomes.map((outcome) => ({ outcome, pauseSeconds: 0, written: true, claimedAt })),
        domain.settings,
      ),
    );
  const note = async (merchant: Merchant, outcome: SendOutcome, claimedAt?: Date) =>
    (await noteAll(merchant, [outcome], claimedAt))[0];
  const failures = async ({ mchId }: Merchant): Promise<number> =>
    (await domain.database.uow.run((tx) => lockRate(tx, mchId))).configurationFailures;

  it('that proves the configuration clears the count of failures that came after its claim', async () => {
    const merchant = await domain.merchant();
    const claimedAt = new Date();
    await note(merchant, 'configuration');
    await note(merchant, 'configuration');
    expect(await failures(merchant)).toBe(2);
    expect(await note(merchant, 'shown', claimedAt)).toBeNull();
    expect(await failures(merchant)).toBe(0);
    await note(merchant, 'configuration');
    expect(await domain.pause(merchant)).toBeNull();
  });

  it('counts in its place among those that came together, and each has the change it brought', async () => {
    const merchant = await domain.merchant();
    const all = ['configuration', 'shown', 'configuration', 'configuration', 'configuration', 'refused'] as const;
    const changes = await noteAll(merchant, all);
    expect(changes).toEqual([null, null, null, null, 'configuration', null]);
    // The last one was claimed before the pause began: it clears the count and ends nothing.
    expect(await failures(merchant)).toBe(0);
    expect(await domain.pause(merchant)).toBe('configuration');
    const rate = await domain.database.uow.run((tx) => lockRate(tx, merchant.mchId));
    expect(rate.slots.recentErrorsMs).toHaveLength(5);
  });

  it('that finds nothing to clear leaves the rate row unlocked and unchanged', async () => {
    const merchant = await domain.merchant();
    const read = () => domain.sql('SELECT xmin::text, * FROM merchant_rate WHERE mch_id = $1', [merchant.mchId]);
    const before = await read();
    for (const outcome of ['shown', 'not_sent'] as const) expect(await note(merchant, outcome)).toBeNull();
    expect(await read()).toEqual(before);
  });

  it('that refuses the configuration though nothing was written counts, but not as an error of the rate', async () => {
    const merchant = await domain.merchant();
    const order = await domain.order(merchant);
    domain.gateway.onPrepare = ({ mchId }) =>
      mchId === merchant.mchId ? sendAnswer('configuration', 'credentials_missing', { written: false }) : null;
    await domain.until(await domain.refund(order), 'blocked');
    const rate = await domain.database.uow.run((tx) => lockRate(tx, merchant.mchId));
    expect(rate).toMatchObject({ configurationFailures: 1, slots: { recentErrorsMs: [] } });
  });
});
