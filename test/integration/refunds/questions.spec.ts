import { publicId } from '../../../src/common/ids.js';
import type { RefundState } from '../../../src/refunds/states.js';
import { claimQueries } from '../../../src/refunds/inquiry.js';
import type { SendOutcome } from '../../../src/refunds/refund-gateway.port.js';
import { ADMIN, type Merchant, type Refund, RefundDomain } from '../../support/refund-domain.js';
import { NO_ANSWER, NOT_FOUND, sendAnswer } from '../../support/scripted-gateway.js';

const HOUR = 3600;
const DAY = 86_400;

let domain: RefundDomain;
let merchant: Merchant;
beforeAll(async () => {
  domain = await RefundDomain.start();
  merchant = await domain.merchant();
  domain.work();
});
afterAll(async () => {
  const broken = await domain.broken();
  await domain.close();
  expect(broken).toEqual({});
});
beforeEach(() => domain.gateway.behave());

const asked = ({ outRefundNo }: Refund): number => domain.gateway.queriesOf(outRefundNo).length;

/** Once WeChat has been asked this often and the answer is booked. */
async function untilAsked(refund: Refund, times: number): Promise<void> {
  await domain.eventually(() => asked(refund) >= times);
  await domain.eventually(async () => (await domain.row(refund)).lease_until === null);
  expect(asked(refund)).toBe(times);
}

/** A refund that one send has led to this state. */
async function sentTo(state: RefundState, outcome: SendOutcome): Promise<Refund> {
  const refund = await domain.plant(await domain.order(merchant), 'queued');
  domain.gateway.onSend = (request) =>
    request.outRefundNo === refund.outRefundNo
      ? sendAnswer(outcome as 'refused', 'CODE')
      : domain.gateway.take(request);
  await domain.sql('UPDATE refund SET next_attempt_at = tuikuan_now() WHERE id = $1', [refund.uuid]);
  await domain.until(refund, state);
  domain.gateway.behave();
  return refund;
}

/** Refunds that were sent and then released, without a doubt. */
const RELEASED: Readonly<Record<'rejected' | 'canceled', () => Promise<Refund>>> = {
  rejected: () => sentTo('rejected', 'refused'),
  canceled: async () => {
    const refund = await sentTo('outcome_unknown', 'unknown');
    domain.gateway.onQuery = () => NOT_FOUND;
    // "Not found" twenty minutes after the send ends the doubt; it is queued again and refused for lack of funds.
    await domain.sql('UPDATE merchant SET enabled = false WHERE mch_id = $1', [merchant.mchId]);
    await domain.forward(1201);
    await domain.until(refund, 'queued');
    expect((await domain.row(refund)).in_doubt_since).toBeNull();
    await domain.actions.cancel(ADMIN, refund.id, undefined);
    await domain.sql('UPDATE merchant SET enabled = true WHERE mch_id = $1', [merchant.mchId]);
    domain.gateway.queries.length = 0;
    return refund;
  },
};

describe.each(['rejected', 'canceled'] as const)('a refund that was sent and is %s', (state) => {
  it('is asked for after one hour and after 24, and then never again', async () => {
    const refund = await RELEASED[state]();
    await domain.forward(HOUR - 30);
    await domain.quiet();
    expect(asked(refund)).toBe(0);
    await domain.forward(31);
    await untilAsked(refund, 1);
    await domain.forward(23 * HOUR - 30);
    await domain.quiet();
    expect(asked(refund)).toBe(1);
    await domain.forward(31);
    await untilAsked(refund, 2);
    expect(await domain.row(refund)).toMatchObject({ state, next_query_at: null });
    await domain.forward(30 * DAY);
    await domain.quiet();
    expect(asked(refund)).toBe(2);
  });

  it('is asked again soon when a question got no answer, and that question does not count', async () => {
    const refund = await RELEASED[state]();
    domain.gateway.onQuery = () => NO_ANSWER;
    await domain.forward(HOUR + 1);
    await untilAsked(refund, 1);
    await domain.forward(301);
    await untilAsked(refund, 2);
    domain.gateway.behave();
    await domain.forward(301);
    await untilAsked(refund, 3);
    await domain.forward(22 * HOUR);
    await domain.quiet();
    expect(asked(refund)).toBe(3);
    domain.gateway.onQuery = () => NO_ANSWER;
    await domain.forward(HOUR + 1);
    await untilAsked(refund, 4);
    domain.gateway.behave();
    await domain.forward(301);
    await untilAsked(refund, 5);
    expect((await domain.row(refund)).next_query_at).toBeNull();
  });

  it('is asked once more when the process ended between its last question and the answer', async () => {
    const refund = await RELEASED[state]();
    await domain.forward(HOUR + 1);
    await untilAsked(refund, 1);
    const taken = await domain.database.uow.run(async (tx) => {
      await tx.query(
        `UPDATE refund SET next_query_at = tuikuan_now(), last_query_at = tuikuan_now() - interval '1 hour' WHERE id = $1`,
        [refund.uuid],
      );
      return claimQueries(tx, merchant.mchId, { count: 1, only: null });
    });
    expect(taken.map(({ refundId }) => refundId)).toEqual([refund.uuid]);
    await domain.forward(301);
    await untilAsked(refund, 2);
    expect(await domain.row(refund)).toMatchObject({ state, next_query_at: null });
  });

  it.each(['that is answered', 'that is not answered'])(
    'keeps this plan through a sync %s, before, between and after',
    async (answered) => {
      const refund = await RELEASED[state]();
      const sync = async (): Promise<void> => {
        const before = await domain.row(refund);
        if (answered === 'that is not answered') domain.gateway.onQuery = () => NO_ANSWER;
        await domain.actions.sync(ADMIN, refund.id).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'wechat_unavailable' });
        });
        domain.gateway.behave();
        const { next_query_at: next, query_step: step } = await domain.row(refund);
        expect({ next, step }).toEqual({ next: before.next_query_at, step: before.query_step });
      };
      await domain.forward(11);
      await sync();
      await domain.forward(HOUR);
      await untilAsked(refund, 2);
      await domain.forward(11);
      await sync();
      await domain.forward(23 * HOUR);
      await untilAsked(refund, 4);
      await domain.forward(11);
      await sync();
      expect((await domain.row(refund)).next_query_at).toBeNull();
    },
  );
});

describe('a notice in confirm mode', () => {
  it.each<[RefundState, 'closed' | 'abnormal' | 'succeeded', string | null]>([
    ['succeeded', 'closed', null],
    ['closed', 'succeeded', null],
    ['blocked', 'succeeded', 'configuration'],
    ['queued', 'succeeded', null],
  ])('about a refund that is %s wakes exactly one question (it says %s)', async (state, says, failure) => {
    const order = await domain.order(merchant);
    const columns = {
      ...(failure !== null && { failure_code: `'${failure}'` }),
      // Not due before tomorrow: whatever happens now is not its send.
      ...(state === 'queued' && { next_attempt_at: `tuikuan_now() + interval '1 day'` }),
    };
    const refund = await domain.plant(order, state, 300, columns);
    if (state === 'succeeded' || state === 'closed') await domain.show(refund, { status: state });
    const before = await domain.row(refund);
    await domain.notice(refund, { status: says });
    await untilAsked(refund, 1);
    await domain.quiet();
    await domain.forward(7 * HOUR);
    await domain.quiet();
    expect(asked(refund)).toBe(1);
    const { next_query_at, next_attempt_at, version } = await domain.row(refund);
    expect({ next_query_at, next_attempt_at, version }).toEqual({
      next_query_at: null,
      next_attempt_at: before.next_attempt_at,
      version: before.version,
    });
    expect(await domain.row(refund)).toMatchObject({ state, lease_until: null });
  });

  it('whose question got no answer is asked about again until there is one', async () => {
    const refund = await domain.plant(await domain.order(merchant), 'succeeded');
    await domain.show(refund, { status: 'succeeded' });
    domain.gateway.onQuery = () => NO_ANSWER;
    await domain.notice(refund, { status: 'closed' });
    await untilAsked(refund, 1);
    domain.gateway.behave();
    await domain.forward(31);
    await untilAsked(refund, 2);
    expect((await domain.row(refund)).next_query_at).toBeNull();
    expect(await domain.notices(refund)).toEqual([{ result: 'refused', reason: 'the signed query shows succeeded' }]);
  });

  it('that still waits when a signed notice books the end is settled with it', async () => {
    const refund = await domain.plant(await domain.order(merchant), 'accepted');
    await domain.show(refund, { status: 'accepted' });
    await domain.notice(refund, { status: 'succeeded' });
    await domain.notice(refund, { status: 'closed' });
    await untilAsked(refund, 1);
    await domain.quiet();
    const waiting = { result: 'waiting_for_query', reason: null };
    expect(await domain.notices(refund)).toEqual([waiting, waiting]);
    await domain.notice(refund, { status: 'succeeded' }, { version: 'v3' });
    const applied = { result: 'applied', reason: null };
    const refused = { result: 'refused', reason: 'another notice shows succeeded' };
    expect(await domain.notices(refund)).toEqual([applied, refused, applied]);
  });

  it('about a refund that is canceled before it was sent is refused once WeChat does not know it', async () => {
    const refund = await domain.plant(await domain.order(merchant), 'queued');
    await domain.notice(refund, { status: 'succeeded' });
    await domain.actions.cancel(ADMIN, publicId('refund', refund.uuid), undefined);
    await untilAsked(refund, 1);
    for (const hours of [2, 25, 25]) {
      await domain.forward(hours * HOUR);
      await domain.quiet();
    }
    expect(await domain.row(refund)).toMatchObject({ state: 'canceled', next_query_at: null });
    const reason = 'WeChat does not know this refund';
    expect(await domain.notices(refund)).toEqual([{ result: 'refused', reason }]);
  });

  it('that repeats what is booked asks nothing', async () => {
    const refund = await domain.plant(await domain.order(merchant), 'succeeded');
    await domain.notice(refund, { status: 'succeeded' });
    await domain.quiet();
    expect(asked(refund)).toBe(0);
    expect(await domain.notices(refund)).toEqual([{ result: 'repeat', reason: null }]);
  });

  it('about a refund that is queued and due lets it be sent all the same, once', async () => {
    const refund = await domain.plant(await domain.order(merchant), 'queued');
    domain.gateway.onQuery = () => NOT_FOUND;
    await domain.notice(refund, { status: 'succeeded' });
    await domain.sql('UPDATE refund SET next_attempt_at = tuikuan_now() WHERE id = $1', [refund.uuid]);
    await domain.until(refund, 'accepted');
    expect(domain.gateway.sendsOf(refund.outRefundNo)).toHaveLength(1);
  });

  it.each<[RefundState, 'closed' | 'abnormal' | 'succeeded', string]>([
    ['succeeded', 'closed', 'contradicts_final'],
    ['succeeded', 'abnormal', 'contradicts_final'],
    ['closed', 'abnormal', 'contradicts_final'],
  ])('about a refund that is %s and that WeChat itself shows as %s is one incident', async (state, shows, incident) => {
    const refund = await domain.plant(await domain.order(merchant), state);
    await domain.show(refund, { status: shows });
    await domain.notice(refund, { status: shows });
    await untilAsked(refund, 1);
    await domain.quiet();
    expect(asked(refund)).toBe(1);
    expect(await domain.events(refund)).toEqual([
      expect.objectContaining({ to_state: state }),
      expect.objectContaining({ from_state: state, to_state: state, cause: 'query', incident }),
    ]);
    expect((await domain.row(refund)).next_query_at).toBeNull();
  });
});

describe('a refund that WeChat has been working on', () => {
  it('for three days is an incident with its next question, not a minute earlier', async () => {
    const refund = await domain.plant(await domain.order(merchant), 'accepted', 300, {
      first_sent_at: 'tuikuan_now()',
      next_query_at: `tuikuan_now() + interval '71 hours 59 minutes'`,
      query_step: '7',
    });
    await domain.show(refund, { status: 'accepted' });
    await domain.forward(72 * HOUR - 59);
    await untilAsked(refund, 1);
    expect(await domain.incidents(refund)).toEqual([]);
    await domain.forward(6 * HOUR);
    await untilAsked(refund, 2);
    expect(await domain.incidents(refund)).toEqual(['accepted_for_days']);
    expect(await domain.row(refund)).toMatchObject({ state: 'accepted' });
  });
});

describe('questions about one merchant', () => {
  it('have slots a hundredth of a second apart, also from one claim to the next', async () => {
    const { mchId, appid } = await domain.merchant();
    for (let n = 0; n < 45; n += 1) await domain.plant(await domain.order({ mchId, appid }), 'accepted', 1);
    const claims = await domain.database.uow.run(async (tx) => {
      await tx.query('UPDATE refund SET next_query_at = tuikuan_now() WHERE mch_id = $1', [mchId]);
      const taken: { delaysMs: number[]; nextMs: number }[] = [];
      for (let n = 0; n < 3; n += 1) {
        const queries = await claimQueries(tx, mchId, { count: 15, only: null });
        const [row] = await tx.query<{ ms: string }[]>(
          'SELECT extract(epoch FROM next_query_slot_at) * 1000 AS ms FROM merchant_rate WHERE mch_id = $1',
          [mchId],
        );
        taken.push({ delaysMs: queries.map(({ delayMs }) => delayMs), nextMs: Number(row?.ms) });
      }
      return taken;
    });
    for (const { delaysMs } of claims) {
      expect(delaysMs).toHaveLength(15);
      for (const [place, at] of delaysMs.slice(1).entries()) expect(at - (delaysMs[place] ?? 0)).toBeCloseTo(10, 3);
    }
    const [first, second, third] = claims.map(({ nextMs }) => nextMs) as [number, number, number];
    expect([second - first, third - second]).toEqual([expect.closeTo(150, 2), expect.closeTo(150, 2)]);
  });

  it('that are 300 and due at once leave at a hundred a second, however eagerly they are claimed', async () => {
    const many = await domain.merchant();
    const order = await domain.order(many, 1_000_000);
    const ids = await Promise.all(Array.from({ length: 300 }, () => domain.plant(order, 'rejected', 1)));
    const startMs = performance.now();
    await domain.sql('UPDATE refund SET next_query_at = tuikuan_now() WHERE mch_id = $1', [many.mchId]);
    const timesMs = () => domain.gateway.queries.filter(({ mchId }) => mchId === many.mchId).map(({ atMs }) => atMs);
    await domain.eventually(() => {
      domain.reconciler.wake();
      return timesMs().length >= ids.length;
    });
    const sorted = timesMs().sort((a, b) => a - b);
    expect(sorted).toHaveLength(300);
    const TIMERS_MAY_BE_EARLY_MS = 2;
    const early = sorted.filter((at, place) => at - startMs < place * 10 - TIMERS_MAY_BE_EARLY_MS);
    expect(early).toEqual([]);
  });
});
