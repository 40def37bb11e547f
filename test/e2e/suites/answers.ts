import { type Json, type Order, type Refund, Stack } from '../support/stack.js';

/**
 * What WeChat may answer to a refund request, or not answer. All refunds are asked for at the start and run side by side, each on a
 * merchant of its own, since some answers take ten seconds to be missed.
 */
let stack: Stack;

interface Case {
  readonly fault: Json;
  order: Order;
  refund: Refund;
}

/** Faults of either protocol: their state after it, and how often the request goes out in all. */
const BOTH = {
  'timeout before acceptance': { fault: { fault: 'timeout_before' }, sends: 2 },
  'timeout after acceptance': { fault: { fault: 'timeout_after' }, sends: 1 },
  'reset after acceptance': { fault: { fault: 'reset' }, sends: 1 },
  'reset before acceptance': { fault: { fault: 'reset', after: false }, sends: 2 },
  'an unknown code': { fault: { fault: 'error', code: 'NEVER_SEEN_BEFORE' }, sends: 2 },
  'an HTML page': { fault: { fault: 'html' }, sends: 2 },
  'a wrong signature': { fault: { fault: 'bad_sign' }, sends: 1 },
  'no result': { fault: { fault: 'no_result' }, sends: 1 },
  'a redirect': { fault: { fault: 'redirect' }, sends: 2 },
  'the answer for another refund': { fault: { fault: 'other_refund' }, sends: 1 },
} as const;

const CASES: Readonly<Record<'v2' | 'v3', Readonly<Record<string, { readonly fault: Json; readonly sends: number }>>>> =
  {
    v2: {
      ...BOTH,
      'SYSTEMERROR before acceptance': { fault: { fault: 'error', code: 'SYSTEMERROR' }, sends: 2 },
      'SYSTEMERROR after acceptance': { fault: { fault: 'error', code: 'SYSTEMERROR', after: true }, sends: 1 },
    },
    v3: {
      ...BOTH,
      'SYSTEM_ERROR before acceptance': { fault: { fault: 'error', code: 'SYSTEM_ERROR' }, sends: 2 },
      'SYSTEM_ERROR after acceptance': { fault: { fault: 'error', code: 'SYSTEM_ERROR', after: true }, sends: 1 },
      'too many requests, not accepted': { fault: { fault: 'error', code: 'FREQUENCY_LIMITED' }, sends: 2 },
      'too many requests, accepted all the same': {
        fault: { fault: 'error', code: 'FREQUENCY_LIMITED', after: true },
        sends: 1,
      },
      'taken by the gateway only': { fault: { fault: 'error', code: '202' }, sends: 2 },
      'an answer without a signature': { fault: { fault: 'unsigned' }, sends: 1 },
      'a probe signature': { fault: { fault: 'signtest' }, sends: 1 },
      'a body that was written anew': { fault: { fault: 'reserialised' }, sends: 1 },
      'an unknown key': { fault: { fault: 'wrong_serial' }, sends: 1 },
      'a signature six minutes old': { fault: { fault: 'skew', delay_ms: -360_000 }, sends: 1 },
      'a signature six minutes ahead': { fault: { fault: 'skew', delay_ms: 360_000 }, sends: 1 },
    },
  };

/** Refusals that are believed; `busy` where the protocol has one. */
const REFUSALS = {
  v2: {
    rejects: ['TRADE_OVERDUE', 'USER_ACCOUNT_ABNORMAL', 'PARAM_ERROR', 'ORDERNOTEXIST', 'INVALID_REQUEST'],
    balance: 'NOTENOUGH',
  },
  v3: {
    rejects: ['TRADE_OVERDUE', 'USER_ACCOUNT_ABNORMAL', 'PARAM_ERROR', 'RESOURCE_NOT_EXISTS', 'INVALID_REQUEST'],
    balance: 'NOT_ENOUGH',
  },
} as const;

/** What WeChat may answer to a refund request, or not answer, over either protocol. */
export function answers(version: 'v2' | 'v3'): void {
  const names = Object.keys(CASES[version]);
  const cases = new Map<string, Case>();
  const newMerchant = () => stack.merchant({ service: { api_version: version } });

  beforeAll(async () => {
    stack = await Stack.start();
    for (const [name, { fault }] of Object.entries(CASES[version])) {
      const merchant = await newMerchant();
      const order = await stack.paidOrder(merchant, 1000);
      await stack.fault({ mch_id: merchant.mchId, ...fault });
      cases.set(name, { fault, order, refund: await stack.refund(order, { amount: 300 }) });
    }
  }, 60_000);
  afterAll(() => stack.close());

  const of = (name: string): Case => cases.get(name) as Case;

  describe.each(names)('%s', (name) => {
    it('ends in one refund at WeChat, under one number and with one set of parameters', async () => {
      const { refund, order } = of(name);
      await stack.until(refund.id, 'accepted', 60);
      await stack.settle(refund, 'SUCCESS');
      expect(await stack.until(refund.id, 'succeeded')).toMatchObject({ in_doubt: false, failure: null });
      expect(await stack.accepted(refund.out_refund_no)).toEqual([expect.objectContaining({ amount_fen: 300 })]);
      const requests = await stack.requests(refund.out_refund_no);
      expect(new Set(requests.map((row) => row['param_digest'])).size).toBe(1);
      expect(await stack.order(order)).toMatchObject({ amount_refunded: 300, amount_reserved: 0 });
    }, 70_000);
  });

  it('an answer that is lost or not believable is unknown, kept in reserve, and never failed', async () => {
    for (const name of names) {
      const states = (await stack.timeline(of(name).refund.id))
        .filter((entry) => entry['kind'] === 'event')
        .map((entry) => String(entry['title']));
      const doubtful = name === 'the answer for another refund' ? 'mismatch' : 'outcome_unknown';
      expect([name, states.some((title) => title.includes(`submitting → ${doubtful}`))]).toEqual([name, true]);
      expect(states.join()).not.toMatch(/rejected|closed|canceled/);
    }
  });

  it('a request WeChat never saw is sent again, one it accepted is only asked for', async () => {
    for (const name of names) {
      const sends = (await stack.requests(of(name).refund.out_refund_no)).length;
      expect([name, sends]).toEqual([name, CASES[version][name]?.sends]);
    }
  });

  const onlyV2 = version === 'v2' ? it : () => undefined;

  describe('a definite answer', () => {
    it('for lack of funds keeps the refund waiting with its money reserved; after a top-up the same number goes through', async () => {
      const merchant = await newMerchant();
      const order = await stack.paidOrder(merchant, 1000);
      await stack.control('POST', `/merchants/${merchant.mchId}/balance`, { balance_fen: 0 });
      const refund = await stack.refund(order, { amount: 300 });
      const waiting = await stack.until(refund.id, 'insufficient_balance');
      expect(waiting).toMatchObject({
        status: 'pending',
        in_doubt: false,
        failure: { code: 'insufficient_balance', wechat_code: REFUSALS[version].balance, retryable: true },
      });
      expect(await stack.order(order)).toMatchObject({ amount_reserved: 300 });
      await stack.control('POST', `/merchants/${merchant.mchId}/balance`, { add_fen: 5000 });
      await stack.ok('POST', `/v1/refunds/${refund.id}/retry`);
      await stack.until(refund.id, 'accepted');
      expect(await stack.accepted(refund.out_refund_no)).toHaveLength(1);
    });

    onlyV2('that it is too frequent queues the refund for a minute', async () => {
      const merchant = await newMerchant();
      const order = await stack.paidOrder(merchant, 1000);
      await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'FREQUENCY_LIMITED' });
      const refund = await stack.refund(order, { amount: 300 });
      const seen = await stack.eventually(
        () => stack.read(refund.id),
        ({ state, attempts }) => state === 'queued' && attempts === 1,
      );
      expect(seen).toMatchObject({ in_doubt: false, attempts: 1, failure: { code: 'wechat_busy' } });
      const waitMs = Date.parse(String(seen['next_attempt_at'])) - Date.now();
      expect(waitMs).toBeGreaterThan(50_000);
      await stack.ok('POST', `/v1/refunds/${refund.id}/retry`);
      await stack.until(refund.id, 'accepted');
    });

    it.each(REFUSALS[version].rejects)('%s rejects the refund and gives the money free', async (code) => {
      const merchant = await newMerchant();
      const order = await stack.paidOrder(merchant, 1000);
      await stack.fault({ mch_id: merchant.mchId, fault: 'error', code });
      const refund = await stack.refund(order, { amount: 300 });
      expect(await stack.until(refund.id, 'rejected')).toMatchObject({
        status: 'failed',
        failure: { code: 'refused_by_wechat', wechat_code: code },
      });
      expect(await stack.order(order)).toMatchObject({ amount_reserved: 0, amount_refundable: 1000 });
    });

    onlyV2('that there were too many requests pauses the merchant for a minute and says so', async () => {
      const merchant = await newMerchant();
      const order = await stack.paidOrder(merchant, 1000);
      await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'INVALID_REQ_TOO_MUCH' });
      const refund = await stack.refund(order, { amount: 300 });
      await stack.eventually(
        () => stack.read(refund.id),
        ({ attempts }) => attempts === 1,
      );
      const { paused } = (await stack.ok('GET', `/v1/merchants/${merchant.mchId}`)) as { paused?: Json };
      expect(paused).toMatchObject({ reason: 'too_many_requests', until: expect.any(String) });
    });

    it('that the amounts differ from an earlier request is a mismatch for a person, with nothing released', async () => {
      const merchant = await newMerchant();
      const order = await stack.paidOrder(merchant, 1000);
      await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'REFUND_FEE_MISMATCH' });
      const refund = await stack.refund(order, { amount: 300 });
      expect(await stack.until(refund.id, 'mismatch')).toMatchObject({ status: 'requires_action', in_doubt: false });
      expect(await stack.order(order)).toMatchObject({ amount_reserved: 300 });
      const resolved = await stack.ok('POST', `/v1/refunds/${refund.id}/resolve`, {
        outcome: 'rejected',
        reason: 'the number was used by another system',
      });
      expect(resolved).toMatchObject({ state: 'rejected' });
      expect(await stack.order(order)).toMatchObject({ amount_reserved: 0 });
    }, 40_000);
  });
}
