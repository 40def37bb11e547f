import { setTimeout as sleep } from 'node:timers/promises';
import { claimSends } from '../../../src/refunds/claim.js';
import { lockRate } from '../../../src/refunds/merchant-rate.js';
import type { ShownRefund } from '../../../src/refunds/refund-gateway.port.js';
import type { RefundState } from '../../../src/refunds/states.js';
import { ADMIN, type Merchant, type Order, type Refund, RefundDomain } from '../../support/refund-domain.js';
import { NO_ANSWER, NOT_FOUND, queryShows } from '../../support/scripted-gateway.js';

/** What callers ask for. The workers do not run: every question is the caller's own. */
let domain: RefundDomain;
let merchant: Merchant;
beforeAll(async () => {
  domain = await RefundDomain.start();
  merchant = await domain.merchant();
});
afterAll(async () => {
  const broken = await domain.broken();
  await domain.close();
  expect(broken).toEqual({});
});
beforeEach(() => domain.gateway.behave());

/** In this time a caller who waits has looked at least twice. */
const TWO_LOOKS_MS = 500;

const asked = ({ outRefundNo }: Refund): number => domain.gateway.queriesOf(outRefundNo).length;

const refundsOf = async ({ id }: Order): Promise<number> =>
  (await domain.sql<{ n: number }>('SELECT count(*)::int AS n FROM refund WHERE order_id = $1', [id]))[0]?.n ?? 0;

describe('retry of a closed refund', () => {
  it.each<[string, (refund: Refund) => Promise<Partial<ShownRefund> | null>]>([
    ['is about another refund', () => Promise.resolve({ status: 'closed', outRefundNo: 'R_of_another' })],
    ['names another amount', () => Promise.resolve({ status: 'closed', refundFen: 299 })],
    ['names another order', () => Promise.resolve({ status: 'closed', outTradeNo: 'T_of_another' })],
    ['shows it as still running', () => Promise.resolve({ status: 'accepted' })],
    ['shows an account that cannot take the money', () => Promise.resolve({ status: 'abnormal' })],
    ['shows that the money has arrived', () => Promise.resolve({ status: 'succeeded' })],
    ['does not know it', () => Promise.resolve(null)],
  ])('makes no new one when the answer %s', async (_, answer) => {
    const order = await domain.order(merchant);
    const refund = await domain.plant(order, 'closed');
    const change = await answer(refund);
    const shown = change && (await domain.shown(refund, change));
    domain.gateway.onQuery = () => (shown ? queryShows(shown) : NOT_FOUND);
    await expect(domain.actions.retry(ADMIN, refund.id)).rejects.toMatchObject({ status: 409, code: 'invalid_state' });
    expect(await refundsOf(order)).toBe(1);
    const [row] = await domain.sql('SELECT replaced_by FROM refund WHERE id = $1', [refund.uuid]);
    expect(row).toEqual({ replaced_by: null });
  });

  it('makes no new one when WeChat does not answer', async () => {
    const order = await domain.order(merchant);
    const refund = await domain.plant(order, 'closed');
    domain.gateway.onQuery = () => NO_ANSWER;
    await expect(domain.actions.retry(ADMIN, refund.id)).rejects.toMatchObject({ status: 503 });
    expect(await refundsOf(order)).toBe(1);
  });

  it('makes one with a new number after WeChat’s own "closed", and gives that one back ever after', async () => {
    const order = await domain.order(merchant);
    const refund = await domain.plant(order, 'closed');
    await domain.show(refund, { status: 'closed' });
    const made = await domain.actions.retry(ADMIN, refund.id);
    expect(made).toMatchObject({
      created: true,
      refund: { state: 'queued', replaces: refund.uuid, amount_fen: '300' },
    });
    expect(made.refund.out_refund_no).not.toBe(refund.outRefundNo);
    const again = await domain.actions.retry(ADMIN, refund.id);
    expect(again).toMatchObject({ created: false, refund: { id: made.refund.id } });
    expect(asked(refund)).toBe(1);
    expect(await domain.counters(order)).toEqual({ reserved: 300, refunded: 0, outside: 0, count: 1 });
  });

  it('asked for by ten callers at once makes one', async () => {
    const order = await domain.order(merchant);
    const refund = await domain.plant(order, 'closed');
    await domain.show(refund, { status: 'closed' });
    const first = domain.actions.retry(ADMIN, refund.id);
    await domain.eventually(() => asked(refund) === 1);
    await domain.sql('UPDATE refund SET last_query_at = NULL WHERE id = $1', [refund.uuid]);
    const others = Array.from({ length: 9 }, () => domain.actions.retry(ADMIN, refund.id));
    const answers = await Promise.all([first, ...others]);
    expect(new Set(answers.map(({ refund: made }) => made.id)).size).toBe(1);
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
    expect(await refundsOf(order)).toBe(2);
  });
});

describe('resolve of a refund that WeChat shows with another amount', () => {
  const because = 'compared with the merchant platform';

  /** A mismatch of 300 of an order of 1000; WeChat shows it with another amount. */
  async function mismatch(shownFen: number, status: ShownRefund['status'] = 'succeeded'): Promise<Refund> {
    const refund = await domain.plant(await domain.order(merchant), 'mismatch', 300, {
      first_sent_at: 'tuikuan_now()',
      next_query_at: 'tuikuan_now()',
    });
    await domain.show(refund, { status, refundFen: shownFen });
    return refund;
  }

  it.each<[RefundState, number, ShownRefund['status'], number]>([
    ['succeeded', 500, 'succeeded', 200],
    ['succeeded', 200, 'succeeded', 0],
    ['rejected', 500, 'succeeded', 500],
    ['closed', 500, 'accepted', 500],
    ['rejected', 500, 'closed', 0],
  ])('as %s counts what moved beyond it outside (shown %i, %s): %i', async (outcome, shownFen, status, outside) => {
    const refund = await mismatch(shownFen, status);
    const { order } = refund;
    await domain.actions.resolve(ADMIN, refund.id, outcome as 'closed', because);
    const counters = await domain.counters(order);
    expect(counters).toEqual({
      reserved: 0,
      refunded: outcome === 'succeeded' ? 300 : 0,
      outside,
      count: outcome === 'succeeded' ? 1 : 0,
    });
    const row = await domain.row(refund);
    expect(row).toMatchObject({ state: outcome, outside_shown_fen: outside === 0 ? null : String(outside) });
    const events = await domain.events(refund);
    expect(events.at(-1)).toMatchObject({ cause: 'operator', detail: { reason: because, shown_fen: shownFen } });
    // Once: neither a second decision nor a question counts it again.
    await expect(domain.actions.resolve(ADMIN, refund.id, 'closed', because)).rejects.toMatchObject({
      code: 'invalid_state',
    });
    await domain.forward(11);
    await domain.actions.sync(ADMIN, refund.id);
    expect(await domain.counters(order)).toEqual(counters);
    expect(await domain.row(refund)).toMatchObject({ state: outcome, outside_shown_fen: row.outside_shown_fen });
  });

  it('counts it once for all, also when the refund is sent again and ends in the same mismatch', async () => {
    const refund = await mismatch(500);
    await domain.actions.resolve(ADMIN, refund.id, 'rejected', because);
    await domain.actions.retry(ADMIN, refund.id);
    await sendAndBook(refund);
    expect(await domain.row(refund)).toMatchObject({ state: 'mismatch', outside_shown_fen: '500' });
    await domain.forward(11);
    await domain.actions.resolve(ADMIN, refund.id, 'rejected', because);
    expect(await domain.row(refund)).toMatchObject({ state: 'rejected', outside_shown_fen: '500' });
    expect(await domain.counters(refund.order)).toEqual({ reserved: 0, refunded: 0, outside: 500, count: 0 });
  });

  /** Sends a due refund; WeChat answers that its amount is another. */
  async function sendAndBook({ uuid, order }: Refund): Promise<void> {
    const { settings, clock } = domain;
    const claim = await domain.database.uow.run(async (tx) => {
      const rate = await lockRate(tx, order.mchId);
      return claimSends(tx, order.mchId, { count: 1, probe: { only: uuid, gapSeconds: 0 } }, { settings, clock, rate });
    });
    const [sent] = claim?.refunds ?? [];
    if (!sent) throw new Error('the refund was due');
    const { refundId, orderId, callId, inDoubtBefore, firstSend, dueAt } = sent;
    await domain.database.uow.run((tx) =>
      domain.ledger.book(tx, [
        {
          ...{ kind: 'send', refundId, orderId, cause: 'answer', sourceId: callId, leaseToken: callId, written: true },
          ...{ outcome: 'differs', code: 'REFUND_FEE_MISMATCH', message: null, inDoubtBefore, firstSend, dueAt },
        },
      ]),
    );
  }

  it('lowers what can be refunded by what WeChat has moved', async () => {
    const refund = await mismatch(500);
    await domain.actions.resolve(ADMIN, refund.id, 'rejected', because);
    await expect(domain.refund(refund.order, 501)).rejects.toMatchObject({ code: 'amount_exceeds_refundable' });
    await domain.refund(refund.order, 500);
    expect(await domain.counters(refund.order)).toEqual({ reserved: 500, refunded: 0, outside: 500, count: 1 });
  });

  it('by which more moved than was paid is an incident, told by its event', async () => {
    const refund = await mismatch(1001);
    await domain.actions.resolve(ADMIN, refund.id, 'succeeded', because);
    expect(await domain.counters(refund.order)).toEqual({ reserved: 0, refunded: 300, outside: 701, count: 1 });
    expect((await domain.events(refund)).at(-1)).toMatchObject({ to_state: 'succeeded', incident: 'more_than_paid' });
  });

  it('decides nothing when WeChat does not answer', async () => {
    const refund = await mismatch(500);
    domain.gateway.onQuery = () => NO_ANSWER;
    await expect(domain.actions.resolve(ADMIN, refund.id, 'closed', because)).rejects.toMatchObject({ status: 503 });
    expect(await domain.row(refund)).toMatchObject({ state: 'mismatch' });
  });

  it('decides nothing when WeChat’s answer is about another refund, however often it is asked', async () => {
    const refund = await mismatch(300, 'accepted');
    const truth = await domain.shown(refund);
    domain.gateway.onQuery = () => queryShows({ ...truth, outRefundNo: 'R_of_another' });
    await expect(domain.actions.resolve(ADMIN, refund.id, 'closed', because)).rejects.toMatchObject({
      code: 'wechat_unavailable',
    });
    domain.gateway.behave();
    expect(await domain.row(refund)).toMatchObject({ state: 'mismatch' });
    await domain.forward(11);
    await domain.actions.resolve(ADMIN, refund.id, 'closed', because);
    expect(await domain.row(refund)).toMatchObject({ state: 'accepted' });
  });

  it('is overruled by WeChat’s answer where that agrees with our row', async () => {
    const refund = await mismatch(500);
    await domain.show(refund, { status: 'succeeded' });
    await domain.actions.resolve(ADMIN, refund.id, 'closed', because);
    expect(await domain.row(refund)).toMatchObject({ state: 'succeeded', outside_shown_fen: null });
    expect(await domain.counters(refund.order)).toEqual({ reserved: 0, refunded: 300, outside: 0, count: 1 });
  });
});

describe('sync', () => {
  it('of a refund that was never sent answers it unchanged and asks nobody', async () => {
    const refund = await domain.refund(await domain.order(merchant));
    const before = await domain.row(refund);
    expect(await domain.actions.sync(ADMIN, refund.id)).toMatchObject({ id: refund.uuid, state: 'queued' });
    expect(asked(refund)).toBe(0);
    expect(await domain.row(refund)).toEqual(before);
  });

  it('waits for a live lease and then asks', async () => {
    const refund = await leased(`tuikuan_now() + interval '1 hour'`);
    const synced = domain.actions.sync(ADMIN, refund.id);
    await sleep(TWO_LOOKS_MS);
    expect(asked(refund)).toBe(0);
    await domain.sql('UPDATE refund SET lease_token = NULL, lease_until = NULL WHERE id = $1', [refund.uuid]);
    expect(await synced).toMatchObject({ state: 'succeeded' });
    expect(asked(refund)).toBe(1);
  });

  it('gives up on a lease that lives on after fifteen seconds, asks nobody and leaves the refund as it is', async () => {
    const refund = await leased(`tuikuan_now() + interval '1 hour'`);
    const before = await domain.row(refund);
    const startMs = performance.now();
    await expect(domain.actions.sync(ADMIN, refund.id)).rejects.toMatchObject({
      status: 503,
      code: 'temporarily_unavailable',
    });
    const waitedMs = performance.now() - startMs;
    expect(waitedMs).toBeGreaterThan(14_000);
    expect(waitedMs).toBeLessThan(20_000);
    expect(asked(refund)).toBe(0);
    expect(await domain.row(refund)).toEqual(before);
  });

  it('by two callers at once asks once within ten seconds', async () => {
    const refund = await domain.plant(await domain.order(merchant), 'accepted', 300, {
      first_sent_at: 'tuikuan_now()',
    });
    await domain.show(refund, { status: 'accepted' });
    const synced = [1, 2].map(() => domain.actions.sync(ADMIN, refund.id));
    await Promise.race(synced);
    await domain.forward(8);
    await sleep(TWO_LOOKS_MS);
    expect(asked(refund)).toBe(1);
    await domain.forward(2);
    await Promise.all(synced);
    expect(asked(refund)).toBe(2);
  });

  /** A refund somebody else is working on. */
  async function leased(until: string): Promise<Refund> {
    const refund = await domain.plant(await domain.order(merchant), 'outcome_unknown', 300, {
      first_sent_at: 'tuikuan_now()',
      in_doubt_since: 'tuikuan_now()',
      lease_token: 'gen_random_uuid()',
      lease_until: until,
    });
    await domain.show(refund, { status: 'succeeded' });
    return refund;
  }
});
