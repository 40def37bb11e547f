import { publicId } from '../../src/common/ids.js';
import { AppError } from '../../src/common/problem.js';
import type { Requested, RefundWish } from '../../src/refunds/refunds.service.js';
import { type Merchant, ADMIN, type Order, RefundDomain } from '../support/refund-domain.js';
import { Gate, meet, meetings, type Met } from './races/gate.js';

/** Two instances at one place at one time, forced by a gate before the rows that both need, at least fifty times each. */
let first: RefundDomain;
let second: RefundDomain;
let gate: Gate;
let merchant: Merchant;
beforeAll(async () => {
  first = await RefundDomain.start();
  second = await first.second();
  gate = await Gate.on(first.database.url);
  merchant = await first.merchant();
});
afterAll(async () => {
  const broken = await first.broken();
  await gate.end();
  await second.close();
  await first.close();
  expect(broken).toEqual({});
});

let names = 0;
const newName = (): string => `race${(names += 1)}`;

const ask = (
  instance: RefundDomain,
  order: Order,
  wish: Partial<RefundWish>,
  key: string | null = null,
): Promise<Requested> => instance.service.requestRefund(ADMIN, { order: publicId('order', order.id), ...wish }, key);

/** What became of a request: `made`, `replayed`, or the code it was refused with. */
function wordOf(result: PromiseSettledResult<Requested>): string {
  if (result.status === 'fulfilled') return result.value.replayed ? 'replayed' : 'made';
  if (result.reason instanceof AppError) return result.reason.code;
  throw result.reason;
}

const wordsOf = ({ first: a, second: b }: Met<Requested, Requested>): string[] => [wordOf(a), wordOf(b)].sort();

const refundsOf = ({ id }: Order): Promise<{ state: string; amount: number }[]> =>
  first.sql('SELECT state, amount_fen::int AS amount FROM refund WHERE order_id = $1 ORDER BY id', [id]);

it('M01: requests of two instances that together exceed the order: as many succeed as it holds, to the fen', async () => {
  await meetings('M01', async (round) => {
    // From one a side to fifty a side.
    const aSide = round % 10 === 9 ? 50 : 1 + (round % 5);
    const holds = 1 + (round % Math.min(aSide * 2 - 1, 7));
    const order = await first.order(merchant, holds * 30 + 29);
    const crowd = (instance: RefundDomain) => () =>
      Promise.allSettled(
        Array.from({ length: aSide }, () => ask(instance, order, { amount: 30, out_refund_no: newName() })),
      );
    await gate.holdOrders(order);
    const met = await meet(gate, { first: crowd(first), second: crowd(second) });
    if (met.first.status === 'rejected' || met.second.status === 'rejected') throw new Error('a crowd does not fail');
    const words = [...met.first.value, ...met.second.value].map(wordOf);
    if (met.both) {
      expect(words.filter((word) => word === 'made')).toHaveLength(holds);
      expect(words.filter((word) => word === 'amount_exceeds_refundable')).toHaveLength(aSide * 2 - holds);
    }
    expect(await refundsOf(order)).toHaveLength(words.filter((word) => word === 'made').length);
    return met.both;
  });
});

it('M02: a request and a late CLOSED of another refund: the room is given away at most once, and is there after the CLOSED', async () => {
  const seen = { made: 0, refused: 0 };
  await meetings('M02', async (round) => {
    const order = await first.order(merchant, 1000);
    const closing = await first.plant(order, 'accepted', 700, { api_version: `'v3'` });
    await gate.holdOrders(order);
    const met = await meet(gate, {
      first: () => ask(first, order, { amount: 500, out_refund_no: newName() }),
      second: () => second.notice(closing, { status: 'closed' }, { version: 'v3' }),
      ahead: round % 2 === 0 ? 'first' : 'second',
    });
    expect(met.second.status).toBe('fulfilled');
    const word = wordOf(met.first);
    const made = word === 'made';
    if (!made) expect(word).toBe('amount_exceeds_refundable');
    if (met.both && round % 2 === 1) expect(word).toBe('made');
    seen[made ? 'made' : 'refused'] += 1;
    const reserved = made ? 500 : 0;
    expect(await first.counters(order)).toEqual({ reserved, refunded: 0, outside: 0, count: made ? 1 : 0 });
    expect((await first.row(closing)).state).toBe('closed');
    return met.both;
  });
  console.log(`M02 made ${seen.made}, refused ${seen.refused}`);
});

it('M03: the fiftieth and the fifty-first refund of an order: one is made, the other refused before WeChat hears of it', async () => {
  const order = await first.order(merchant, 1000);
  await Promise.all(Array.from({ length: 49 }, () => first.plant(order, 'accepted', 1)));
  await meetings('M03', async () => {
    await gate.holdOrders(order);
    const side = (instance: RefundDomain) => () => ask(instance, order, { amount: 1, out_refund_no: newName() });
    const met = await meet(gate, { first: side(first), second: side(second) });
    if (met.both) expect(wordsOf(met)).toEqual(['made', 'refund_count_exceeded']);
    expect((await first.counters(order)).count).toBeLessThanOrEqual(50);
    for (const result of [met.first, met.second])
      if (result.status === 'fulfilled')
        await first.actions.cancel(ADMIN, publicId('refund', result.value.refund.id), undefined);
    expect(await first.counters(order)).toEqual({ reserved: 49, refunded: 0, outside: 0, count: 49 });
    return met.both;
  });
  expect(first.gateway.sends).toEqual([]);
});

it('M03: of fifty-one at once over two instances fifty are made', async () => {
  const order = await first.order(merchant, 1000);
  const asked = await Promise.allSettled(
    Array.from({ length: 51 }, (_, n) =>
      ask(n % 2 === 0 ? first : second, order, { amount: 1, out_refund_no: newName() }),
    ),
  );
  const words = asked.map(wordOf);
  expect(words.filter((word) => word === 'made')).toHaveLength(50);
  expect(words.filter((word) => word === 'refund_count_exceeded')).toHaveLength(1);
});

it('M07: one number with one body on two instances: one refund, and the other side is given the same', async () => {
  await meetings('M07', async () => {
    const order = await first.order(merchant);
    const wish = { amount: 300, out_refund_no: newName(), reason: 'one' };
    await gate.holdOrders(order);
    const met = await meet(gate, {
      first: () => ask(first, order, wish),
      second: () => ask(second, order, wish),
    });
    if (met.both) {
      expect(wordsOf(met)).toEqual(['made', 'replayed']);
      expect(idOf(met.first)).toBe(idOf(met.second));
    }
    expect(await refundsOf(order)).toEqual([{ state: 'queued', amount: 300 }]);
    expect(await first.counters(order)).toEqual({ reserved: 300, refunded: 0, outside: 0, count: 1 });
    return met.both;
  });
});

const idOf = (result: PromiseSettledResult<Requested>): string =>
  result.status === 'fulfilled' ? result.value.refund.id : '';

it('M08: one number with two bodies on two instances: one refund as its request said, the other side hears of the conflict', async () => {
  await meetings('M08', async (round) => {
    const [order, otherOrder] = await first.orders(merchant, 2);
    if (!order || !otherOrder) throw new Error('there are two');
    const number = newName();
    const wish = { amount: 300, out_refund_no: number, reason: 'one' };
    const other = [
      { order, wish: { ...wish, amount: 301 } },
      { order, wish: { ...wish, reason: 'two' } },
      { order: otherOrder, wish },
    ][round % 3];
    if (!other) throw new Error('there are three');
    await gate.holdOrders(order, otherOrder);
    const met = await meet(gate, {
      first: () => ask(first, order, wish),
      second: () => ask(second, other.order, other.wish),
      ahead: round % 2 === 0 ? 'first' : 'second',
    });
    const words = wordsOf(met);
    if (met.both) expect(words).toEqual(['made', 'out_refund_no_conflict']);
    const rows = await first.sql<{ order_id: string; amount: number; reason: string }>(
      'SELECT order_id, amount_fen::int AS amount, reason FROM refund WHERE mch_id = $1 AND out_refund_no = $2',
      [merchant.mchId, number],
    );
    const won = wordOf(met.first) === 'made' ? { order, wish } : other;
    expect(rows).toEqual([{ order_id: won.order.id, amount: won.wish.amount, reason: won.wish.reason }]);
    const total = (await first.counters(order)).reserved + (await first.counters(otherOrder)).reserved;
    expect(total).toBe(won.wish.amount);
    return met.both;
  });
});

it('M09: one Idempotency-Key under way on two instances: one executes, the other is given its refund', async () => {
  await meetings('M09', async () => {
    const order = await first.order(merchant);
    const key = newName();
    await gate.holdOrders(order);
    const met = await meet(gate, {
      first: () => ask(first, order, { amount: 300 }, key),
      second: () => ask(second, order, { amount: 300 }, key),
    });
    if (met.both) {
      expect(wordsOf(met)).toEqual(['made', 'replayed']);
      expect(idOf(met.first)).toBe(idOf(met.second));
    }
    expect(await refundsOf(order)).toEqual([{ state: 'queued', amount: 300 }]);
    return met.both;
  });
});
