import pg from 'pg';
import { Settings } from '../../../src/config/settings.js';
import { type Claim, claimSends } from '../../../src/refunds/claim.js';
import { SLOTS_PER_CLAIM_MAX } from '../../../src/refunds/limits.js';
import { lockRate } from '../../../src/refunds/merchant-rate.js';
import { makeCertificate } from '../../support/certificate.js';
import { ADMIN, type Merchant, type Order, type Refund, RefundDomain } from '../../support/refund-domain.js';
import { NOT_FOUND, sendAnswer } from '../../support/scripted-gateway.js';

let domain: RefundDomain;
beforeAll(async () => {
  domain = await RefundDomain.start();
  domain.work();
});
afterAll(async () => {
  const broken = await domain.broken();
  await domain.close();
  expect(broken).toEqual({});
});
beforeEach(() => domain.gateway.behave());

const sendsOf = ({ mchId }: Merchant) => domain.gateway.sends.filter((request) => request.mchId === mchId);

/** A script for one merchant; every other is taken as it comes. */
function only<Request extends { readonly mchId: string }, Reply>(
  { mchId }: Merchant,
  script: (request: Request) => Reply,
  otherwise: (request: Request) => Reply,
): (request: Request) => Reply {
  return (request) => (request.mchId === mchId ? script(request) : otherwise(request));
}

describe('disabling a merchant', () => {
  it('stops a running backlog of 200 within one claim, and enabling it sends the rest, each once', async () => {
    const merchant = await domain.merchant();
    const orders = await domain.orders(merchant, 200);
    // At full speed one claim follows the other without a look at the merchant between them.
    await domain.sql('UPDATE merchant_rate SET rate_per_second = 150 WHERE mch_id = $1', [merchant.mchId]);
    const planted = await Promise.all(orders.map((order) => domain.plant(order, 'queued')));
    const ids = planted.map(({ uuid }) => uuid);
    await domain.sql('UPDATE refund SET next_attempt_at = tuikuan_now() WHERE id = ANY($1)', [ids]);
    await domain.eventually(() => sendsOf(merchant).length >= 20);
    await domain.merchants.update(ADMIN, merchant.mchId, { enabled: false });
    const { queued: left = 0 } = await domain.states(merchant);
    await domain.quiet();
    await domain.eventually(async () => (await domain.states(merchant))['submitting'] === undefined);
    const { queued = 0, ...others } = await domain.states(merchant);
    // One claim may have begun before the merchant was disabled and end after it; what is claimed leaves at its slot.
    expect(left - queued).toBeLessThanOrEqual(15);
    expect(queued).toBeGreaterThan(100);
    expect(others).toEqual({ accepted: 200 - queued });
    expect(sendsOf(merchant)).toHaveLength(200 - queued);
    await domain.merchants.update(ADMIN, merchant.mchId, { enabled: true });
    await domain.eventually(async () => (await domain.states(merchant))['accepted'] === 200, undefined, 15);
    expect(sendsOf(merchant)).toHaveLength(200);
    expect(new Set(sendsOf(merchant).map(({ outRefundNo }) => outRefundNo)).size).toBe(200);
  });
});

describe('answers that come together', () => {
  /** Refunds of as many merchants, each sent and none answered yet; `answer` lets all answers come at once. */
  async function sentByEach(count: number): Promise<{ readonly refunds: Refund[]; readonly answer: () => void }> {
    const merchants = await Promise.all(Array.from({ length: count }, () => domain.merchant()));
    const ids = new Set(merchants.map(({ mchId }) => mchId));
    const mine: string[] = [];
    let answer: () => void = () => undefined;
    const gate = new Promise<void>((open) => (answer = open));
    domain.gateway.onSend = async (request) => {
      if (ids.has(request.mchId)) mine.push(request.outRefundNo);
      await gate;
      return domain.gateway.take(request);
    };
    const refunds = await Promise.all(merchants.map(async (merchant) => domain.refund(await domain.order(merchant))));
    await domain.eventually(() => mine.length === count);
    return { refunds, answer };
  }

  it('are booked in one transaction', async () => {
    const { refunds, answer } = await sentByEach(6);
    answer();
    for (const refund of refunds) await domain.until(refund, 'accepted');
    const [booked] = await domain.sql(
      `SELECT count(*)::int AS events, count(DISTINCT e.xmin::text)::int AS transactions,
         count(*) FILTER (WHERE c.outcome = 'shown' AND c.done_at IS NOT NULL AND c.xmin = e.xmin)::int AS finished
       FROM refund_event e JOIN gateway_call c ON c.id = e.source_id
       WHERE e.refund_id = ANY($1) AND e.cause = 'answer' AND e.to_state = 'accepted'`,
      [refunds.map(({ uuid }) => uuid)],
    );
    expect(booked).toEqual({ events: 6, transactions: 1, finished: 6 });
  });

  it('do not wait for the one whose order somebody holds', async () => {
    const { refunds, answer } = await sentByEach(3);
    const [held, ...others] = refunds as [Refund, ...Refund[]];
    const somebody = new pg.Client({ connectionString: domain.database.url });
    await somebody.connect();
    await somebody.query('BEGIN');
    await somebody.query('SELECT 1 FROM payment_order WHERE id = $1 FOR UPDATE', [held.order.id]);
    answer();
    for (const refund of others) await domain.until(refund, 'accepted');
    expect((await domain.row(held)).state).toBe('submitting');
    await somebody.query('COMMIT');
    await somebody.end();
    await domain.until(held, 'accepted');
  });
});

describe('connections opened ahead', () => {
  const warmed = ({ mchId }: Merchant): number[] =>
    domain.gateway.warmed.filter((call) => call.mchId === mchId).map(({ count }) => count);

  it('are one for one refund, and two for what may have come meanwhile', async () => {
    const merchant = await domain.merchant();
    const [order] = (await domain.orders(merchant, 1)) as [Order];
    const refund = await domain.refund(order);
    await domain.until(refund, 'accepted');
    await domain.eventually(() => warmed(merchant).length >= 2);
    expect(warmed(merchant).slice(0, 2)).toEqual([1, 2]);
  });

  it('are as many as a claim may take while there is more to send', async () => {
    const merchant = await domain.merchant();
    await domain.sql('UPDATE merchant_rate SET rate_per_second = 150 WHERE mch_id = $1', [merchant.mchId]);
    const orders = await domain.orders(merchant, 40);
    const planted = await Promise.all(orders.map((order) => domain.plant(order, 'queued')));
    const ids = planted.map(({ uuid }) => uuid);
    await domain.sql('UPDATE refund SET next_attempt_at = tuikuan_now() WHERE id = ANY($1)', [ids]);
    await domain.eventually(() => sendsOf(merchant).length === 40);
    expect(warmed(merchant).slice(0, 2)).toEqual([SLOTS_PER_CLAIM_MAX, SLOTS_PER_CLAIM_MAX]);
  });
});

describe('a slot that is missed', () => {
  it('writes nothing, hands the claim back, and the refund goes out at its next slot with no wait and no attempt counted', async () => {
    const merchant = await domain.merchant();
    const [order] = (await domain.orders(merchant, 1)) as [Order];
    let prepared = 0;
    // The worker is held for longer than the slot may be late, once.
    domain.gateway.onPrepare = only(
      merchant,
      () => {
        prepared += 1;
        if (prepared === 1) domain.clock.jumpMs += 700;
        return null;
      },
      () => null,
    );
    const refund = await domain.refund(order);
    const row = await domain.until(refund, 'accepted');
    expect(sendsOf(merchant)).toHaveLength(1);
    expect(row).toMatchObject({ attempts: 0, not_sent_count: 0, in_doubt_since: null });
    const events = await domain.events(refund);
    const missed = events.filter(({ detail }) => detail['code'] === 'slot_missed');
    // At least the one that was made to be missed; a busy machine may let another pass.
    expect(missed.length).toBeGreaterThanOrEqual(1);
    expect(missed.map(({ detail }) => detail)).toEqual(
      missed.map(() => ({ outcome: 'not_sent', code: 'slot_missed' })),
    );
    const before = missed.flatMap(() => ['submitting', 'queued']);
    expect(events.map(({ to_state: to }) => to)).toEqual(['queued', ...before, 'submitting', 'accepted']);
    const calls = await domain.sql('SELECT outcome, code FROM gateway_call WHERE refund_id = $1 ORDER BY intent_at', [
      refund.uuid,
    ]);
    expect(calls).toEqual([
      ...missed.map(() => ({ outcome: 'not_sent', code: 'slot_missed' })),
      { outcome: 'shown', code: null },
    ]);
  });

  it('frees the spacing of its order, which a request that was written does not', async () => {
    const spaced = await RefundDomain.start({ REFUND_SPACING_SECONDS: '60' });
    const merchant = await spaced.merchant();
    const order = await spaced.order(merchant);
    let held = true;
    spaced.gateway.onPrepare = () => {
      if (held) spaced.clock.jumpMs += 700;
      return null;
    };
    spaced.work();
    const refund = await spaced.refund(order);
    await spaced.eventually(async () => (await spaced.events(refund)).length >= 4);
    expect(spaced.gateway.sends).toEqual([]);
    held = false;
    await spaced.until(refund, 'accepted');
    const [row] = await spaced.sql<{ next_send_at: Date }>('SELECT next_send_at FROM payment_order WHERE id = $1', [
      order.id,
    ]);
    expect(await spaced.secondsUntil(row?.next_send_at ?? null)).toBeGreaterThan(50);
    await spaced.close();
  });
});

describe('a connection that dies between the claim and its slot', () => {
  const died = () => sendAnswer('not_sent', 'not_connected', { message: 'the connection was closed' });

  it('sends nothing: no attempt counts, no doubt is left, and the first send is still to come', async () => {
    const merchant = await domain.merchant();
    domain.gateway.onSend = only(merchant, died, (request) => domain.gateway.take(request));
    const refund = await domain.refund(await domain.order(merchant));
    await domain.eventually(async () => (await domain.row(refund)).not_sent_count === 1);
    const row = await domain.row(refund);
    expect(row).toMatchObject({
      state: 'queued',
      attempts: 0,
      in_doubt_since: null,
      first_sent_at: null,
      failure_code: 'not_sent',
      next_query_at: null,
    });
    expect(await domain.secondsUntil(row.next_attempt_at)).toBeGreaterThanOrEqual(8);
    domain.gateway.behave();
    await domain.forward(11);
    await domain.until(refund, 'accepted');
  });

  it('puts the doubt of an earlier send back, to the millisecond', async () => {
    const merchant = await domain.merchant();
    domain.gateway.onSend = only(
      merchant,
      () => sendAnswer('unknown', 'SYSTEMERROR'),
      (request) => domain.gateway.take(request),
    );
    domain.gateway.onQuery = only(
      merchant,
      () => NOT_FOUND,
      (query) => domain.gateway.told(query),
    );
    const refund = await domain.refund(await domain.order(merchant));
    const doubtful = await domain.until(refund, 'outcome_unknown');
    domain.gateway.onSend = only(merchant, died, (request) => domain.gateway.take(request));
    await domain.forward(11);
    await domain.eventually(async () => (await domain.row(refund)).not_sent_count === 1);
    const row = await domain.row(refund);
    expect(row).toMatchObject({ state: 'queued', attempts: 1, first_sent_at: doubtful.first_sent_at });
    expect(row.in_doubt_since).toEqual(doubtful.in_doubt_since);
    expect(row.in_doubt_since).not.toBeNull();
    await expect(domain.actions.cancel(ADMIN, refund.id, undefined)).rejects.toMatchObject({ code: 'send_in_doubt' });
  });
});

describe('the protocol of a refund', () => {
  it('is that of its first send, also after its merchant has gone over to another', async () => {
    const merchant = await domain.merchant();
    const [one, other] = (await domain.orders(merchant, 2)) as [Order, Order];
    domain.gateway.onSend = only(
      merchant,
      () => sendAnswer('later', 'BIZERR_NEED_RETRY'),
      (request) => domain.gateway.take(request),
    );
    const sent = await domain.refund(one);
    await domain.eventually(async () => (await domain.row(sent)).attempts === 1);
    domain.gateway.behave();
    const { certificate, key } = makeCertificate(merchant.mchId);
    await domain.merchants.putCredentials(ADMIN, merchant.mchId, {
      api_v3_key: 'v'.repeat(32),
      client_certificate_pem: certificate,
      client_key_pem: key,
    });
    await domain.merchants.update(ADMIN, merchant.mchId, { api_version: 'v3' });
    await domain.forward(61);
    await domain.until(sent, 'accepted');
    const fresh = await domain.refund(other);
    await domain.until(fresh, 'accepted');
    const versions = (refund: Refund) => domain.gateway.sendsOf(refund.outRefundNo).map(({ apiVersion }) => apiVersion);
    expect(versions(sent)).toEqual(['v2', 'v2']);
    expect(versions(fresh)).toEqual(['v3']);
    await domain.forward(11);
    await domain.eventually(() => domain.gateway.queriesOf(sent.outRefundNo).length > 0);
    expect(domain.gateway.queriesOf(sent.outRefundNo)[0]).toMatchObject({ apiVersion: 'v2' });
  });
});

describe('the parameters of a refund', () => {
  it('are the same in every send of its number', async () => {
    const merchant = await domain.merchant();
    const order = await domain.order(merchant);
    domain.gateway.onSend = only(
      merchant,
      () => sendAnswer('later', 'BIZERR_NEED_RETRY'),
      (request) => domain.gateway.take(request),
    );
    const refund = await domain.refund(order, 123, { reason: '商品售罄', funds_account: 'AVAILABLE' });
    await domain.eventually(async () => (await domain.row(refund)).attempts === 1);
    domain.gateway.behave();
    await domain.forward(61);
    await domain.until(refund, 'accepted');
    const [first, second] = domain.gateway.sendsOf(refund.outRefundNo).map(({ callId, atMs: _at, ...rest }) => ({
      callId,
      business: { ...rest, slotMs: 0, inDoubtBefore: null, firstSend: true, dueAt: null },
    }));
    expect(second?.business).toEqual(first?.business);
    expect(second?.callId).not.toBe(first?.callId);
  });
});

/** A merchant with refunds that are due, each of its `order`, and whose only claim is `claim`. */
async function unclaimed(refunds: number, order: (merchant: Merchant) => Promise<Order>): Promise<Merchant> {
  const merchant = await domain.merchant();
  await domain.sql('UPDATE merchant SET enabled = false WHERE mch_id = $1', [merchant.mchId]);
  for (let n = 0; n < refunds; n += 1)
    await domain.plant(await order(merchant), 'queued', 300, { next_attempt_at: 'tuikuan_now()' });
  return merchant;
}

interface ClaimOptions {
  readonly settings?: Settings;
  readonly count?: number;
  /** Done before the claim commits. */
  readonly meanwhile?: () => Promise<void>;
}

function claim(
  { mchId }: Merchant,
  { settings = domain.settings, count = SLOTS_PER_CLAIM_MAX, meanwhile = () => Promise.resolve() }: ClaimOptions = {},
): Promise<Claim | null> {
  return domain.database.uow.run(async (tx) => {
    await tx.query(
      `UPDATE merchant_rate SET rate_per_second = 150, next_slot_at = tuikuan_now(), rate_changed_at = tuikuan_now() WHERE mch_id = $1`,
      [mchId],
    );
    await tx.query('UPDATE merchant SET enabled = true WHERE mch_id = $1', [mchId]);
    const rate = await lockRate(tx, mchId);
    const { clock } = domain;
    const claimed = await claimSends(tx, mchId, { count, probe: null }, { settings, clock, rate });
    await meanwhile();
    await tx.query('UPDATE merchant SET enabled = false WHERE mch_id = $1', [mchId]);
    return claimed;
  });
}

describe('a claim', () => {
  it('locks no refund that it does not take', async () => {
    const merchant = await unclaimed(5, (owner) => domain.order(owner));
    const other = new pg.Client({ connectionString: domain.database.url });
    await other.connect();
    let free: number | null = 0;
    const meanwhile = async (): Promise<void> => {
      const sql = `SELECT 1 FROM refund r JOIN payment_order o ON o.id = r.order_id WHERE r.mch_id = $1 FOR UPDATE OF r, o SKIP LOCKED`;
      free = (await other.query(sql, [merchant.mchId])).rowCount;
    };
    expect((await claim(merchant, { count: 2, meanwhile }))?.refunds).toHaveLength(2);
    await other.end();
    expect(free).toBe(3);
  });
});

describe('refunds of one order', () => {
  /** How many seconds after the claim of the first the others are looked at. */
  async function others(refundSpacingSeconds: number): Promise<number[]> {
    let order: Promise<Order> | null = null;
    const merchant = await unclaimed(3, (owner) => (order ??= domain.order(owner)));
    const claimed = await claim(merchant, { settings: new Settings({ ...domain.settings, refundSpacingSeconds }) });
    expect(claimed?.refunds).toHaveLength(1);
    const rows = await domain.sql<{ seconds: string }>(
      `SELECT extract(epoch FROM r.next_attempt_at - g.intent_at) AS seconds FROM refund r JOIN gateway_call g ON g.mch_id = r.mch_id
       WHERE r.mch_id = $1 AND r.state = 'queued' ORDER BY r.id`,
      [merchant.mchId],
    );
    return rows.map(({ seconds }) => Number(seconds));
  }

  it('are looked at one spacing after the other', async () => {
    const [second = 0, third = 0] = await others(60);
    expect(second).toBeCloseTo(60.6, 3);
    expect(third).toBeCloseTo(121.2, 3);
  });

  it('keep their place before what came later where there is no spacing', async () => {
    const [second = 0, third = 0] = await others(0);
    expect(second).toBeLessThan(0);
    expect(third).toBeLessThan(0);
  });
});

describe('orders older than a month', () => {
  it('are refunded at 5,000 a minute at most, although younger ones may be faster', async () => {
    const gapsOf = async (paidAt: string): Promise<number[]> => {
      const merchant = await unclaimed(10, (owner) => domain.order(owner, 1000, paidAt));
      const slots = (await claim(merchant))?.refunds.map(({ slotMs }) => slotMs) ?? [];
      return slots.slice(1).map((at, place) => at - (slots[place] ?? 0));
    };
    const old = await gapsOf(`tuikuan_now() - interval '1 month 1 minute'`);
    expect(old).toHaveLength(9);
    expect(Math.min(...old)).toBeGreaterThanOrEqual(60_000 / 5000);
    const young = await gapsOf(`tuikuan_now() - interval '1 month' + interval '1 minute'`);
    expect(young).toHaveLength(9);
    expect(Math.max(...young)).toBeLessThan(7);
  });
});
