import { SLOT_MISSED } from '../../src/refunds/limits.js';
import type { SendAnswer } from '../../src/refunds/refund-gateway.port.js';
import { type Event, type Merchant, type Order, type Refund, RefundDomain } from '../support/refund-domain.js';
import { sendAnswer, shownSend } from '../support/scripted-gateway.js';
import { Gate, meet, meetings } from './races/gate.js';

/** Answers, notices and workers of two instances in one gap, forced by a gate as in races.spec.ts. */
let first: RefundDomain;
let second: RefundDomain;
let gate: Gate;
beforeEach(async () => {
  first = await RefundDomain.start();
  second = await first.second();
  gate = await Gate.on(first.database.url);
});
afterEach(async () => {
  const broken = await first.broken();
  await gate.end();
  await second.close();
  await first.close();
  expect(broken).toEqual({});
});

/** A promise that is settled from outside. */
interface Latch<T> {
  readonly promise: Promise<T>;
  open(value: T): void;
}
function latch<T>(): Latch<T> {
  let open: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => (open = resolve));
  return { promise, open };
}

/** The states in order. A busy machine lets a slot pass: what came of it, nothing sent and queued again, is left out. */
async function statesOf(refund: Refund): Promise<string[]> {
  const events = await first.events(refund);
  const passed = (event?: Event): boolean => event?.detail['code'] === SLOT_MISSED;
  return events.filter((event, at) => !passed(event) && !passed(events[at + 1])).map(({ to_state: state }) => state);
}

it('N01: one notice delivered many times at once to two instances: one row, one transition, every delivery acknowledged', async () => {
  const merchant = await first.merchant();
  let number = 0;
  await meetings('N01', async (round) => {
    const deliveries = round % 10 === 9 ? 50 : 6;
    const refund = await first.plant(await first.order(merchant), 'accepted', 300, { api_version: `'v3'` });
    const dedupeKey = `same${(number += 1)}`;
    const deliver = (instance: RefundDomain) => () =>
      Promise.all(
        Array.from({ length: deliveries / 2 }, () =>
          instance.notice(refund, { status: 'succeeded' }, { version: 'v3', dedupeKey }),
        ),
      );
    await gate.holdOrders(refund.order);
    const met = await meet(gate, { first: deliver(first), second: deliver(second) });
    // Held for longer than a lock is waited for, some of them are told to come again.
    if (!met.both) return false;
    expect([met.first.status, met.second.status]).toEqual(['fulfilled', 'fulfilled']);
    const rows = await first.sql('SELECT deliveries, result FROM notification WHERE refund_id = $1', [refund.uuid]);
    expect(rows).toEqual([{ deliveries, result: 'applied' }]);
    expect(await statesOf(refund)).toEqual(['accepted', 'succeeded']);
    expect(await first.counters(refund.order)).toEqual({ reserved: 0, refunded: 300, outside: 0, count: 1 });
    return true;
  });
});

it('N04: a notice while the answer to the send is about to be stored: the proof stands, whatever the late answer says', async () => {
  const merchant = await first.merchant();
  first.work();
  await meetings('N04', async (round) => {
    const order = await first.order(merchant);
    const [asked, answer] = [latch<void>(), latch<SendAnswer>()];
    first.gateway.onSend = () => {
      asked.open();
      return answer.promise;
    };
    const refund = await first.refund(order);
    await asked.promise;
    await gate.holdOrders(order);
    const unknown = round % 4 >= 2;
    const met = await meet(gate, {
      first: async () =>
        answer.open(unknown ? sendAnswer('unknown', 'SYSTEMERROR') : shownSend(await first.shown(refund))),
      second: () => second.notice(refund, { status: 'succeeded' }, { version: 'v3' }),
      ahead: round % 2 === 0 ? 'first' : 'second',
    });
    expect(met.second.status).toBe('fulfilled');
    await first.until(refund, 'succeeded');
    await first.eventually(() => callEnded(refund));
    expect(await callEnded(refund)).toBe(true);
    const between = { answerFirst: [unknown ? 'outcome_unknown' : 'accepted'], noticeFirst: [] };
    const states = await statesOf(refund);
    const way = (more: readonly string[]): string[] => ['queued', 'submitting', ...more, 'succeeded'];
    if (met.both) expect(states).toEqual(way(round % 2 === 0 ? between.answerFirst : between.noticeFirst));
    expect(states.at(-1)).toBe('succeeded');
    expect(await first.counters(order)).toEqual({ reserved: 0, refunded: 300, outside: 0, count: 1 });
    return met.both;
  });
});

/** True when the answer to every request for the refund is booked. */
async function callEnded({ uuid }: Refund): Promise<boolean> {
  const open = await first.sql('SELECT 1 FROM gateway_call WHERE refund_id = $1 AND done_at IS NULL', [uuid]);
  return open.length === 0;
}

it('P03: two instances with the same backlog: each refund is sent by one of them, once', async () => {
  const merchants: Merchant[] = [];
  for (let n = 0; n < 5; n += 1) merchants.push(await first.merchant());
  first.work();
  second.work();
  await meetings('P03', async (round) => {
    const merchant = merchants[round % merchants.length];
    if (!merchant) throw new Error('there are five');
    await gate.holdRate(merchant);
    const orders = await first.orders(merchant, 3);
    const refunds = await Promise.all(
      orders.map((order) => first.plant(order, 'queued', 300, { next_attempt_at: 'tuikuan_now()' })),
    );
    const wake = (instance: RefundDomain) => () => Promise.resolve(instance.dispatcher.wake());
    const met = await meet(gate, { first: wake(first), second: wake(second) });
    for (const refund of refunds) {
      await first.until(refund, 'accepted');
      expect(first.gateway.sendsOf(refund.outRefundNo)).toHaveLength(1);
      expect(await statesOf(refund)).toEqual(['queued', 'submitting', 'accepted']);
      const sends = await first.sql(
        `SELECT 1 FROM gateway_call WHERE refund_id = $1 AND kind = 'refund' AND code IS DISTINCT FROM $2`,
        [refund.uuid, SLOT_MISSED],
      );
      expect(sends).toHaveLength(1);
    }
    return met.both;
  });
});

/** A worker that has claimed a refund and then stands still, as a stopped process does, before or after its request went out. */
async function stopped(merchant: Merchant, where: 'before' | 'after') {
  const { database, settings, gateway } = first;
  const worker = RefundDomain.on(database, settings, { gateway });
  const [there, goOn] = [latch<void>(), latch<SendAnswer | null>()];
  const stop = (): Promise<SendAnswer | null> => {
    gateway.behave();
    there.open();
    return goOn.promise;
  };
  if (where === 'before') gateway.onPrepare = stop;
  else gateway.onSend = async (request) => (await stop()) ?? gateway.take(request);
  const order: Order = await first.order(merchant);
  const refund = await first.refund(order);
  worker.work();
  await there.promise;
  const ended = worker.rest();
  return { refund, worker, goOn, ended };
}

it('P04: a worker that stood still past its lease writes nothing and changes nothing, though the next one is booking too', async () => {
  const merchant = await first.merchant();
  await meetings('P04', async (round) => {
    const where = round % 2 === 0 ? 'before' : 'after';
    const { refund, worker, goOn, ended } = await stopped(merchant, where);
    const answer = latch<void>();
    let asked = false;
    first.gateway.onSend = async (request) => {
      asked = true;
      await answer.promise;
      return first.gateway.take(request);
    };
    const next = RefundDomain.on(second.database, first.settings, { gateway: first.gateway });
    worker.clock.jumpMs += 61_000;
    await first.forward(61);
    next.work();
    const hasAsked = await first.eventually(() => {
      next.dispatcher.wake();
      next.reconciler.wake();
      return asked;
    });
    expect(hasAsked).toBe(true);
    await gate.holdOrders(refund.order);
    const sentBefore = first.gateway.sendsOf(refund.outRefundNo).length;
    const met = await meet(gate, {
      first: () =>
        Promise.resolve(goOn.open(where === 'before' ? null : sendAnswer('refused', 'USER_ACCOUNT_ABNORMAL'))),
      second: () => Promise.resolve(answer.open()),
      ahead: round % 4 < 2 ? 'first' : 'second',
    });
    await Promise.all([ended, next.until(refund, 'accepted')]);
    await next.rest();
    first.gateway.behave();
    expect(first.gateway.sendsOf(refund.outRefundNo)).toHaveLength(sentBefore);
    expect(await statesOf(refund)).toEqual([
      'queued',
      'submitting',
      'outcome_unknown',
      'queued',
      'submitting',
      'accepted',
    ]);
    expect(await first.counters(refund.order)).toEqual({ reserved: 300, refunded: 0, outside: 0, count: 1 });
    return met.both;
  });
});
