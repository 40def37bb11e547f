import { systemClock } from '../../../src/common/clock.js';
import { newUuid, publicId } from '../../../src/common/ids.js';
import { PAYLOAD_BYTES_MAX } from '../../../src/events/payload.js';
import { ORDER_VIEW_COLUMNS, orderView, type OrderViewRow } from '../../../src/orders/order.view.js';
import { bookClosed, bookPayment } from '../../../src/orders/payment-booking.js';
import { INSERT_REGISTERED_SQL } from '../../../src/orders/registered-order.js';
import type { ShownPayment } from '../../../src/orders/order-gateway.port.js';
import type { AnyBooking } from '../../../src/refunds/bookings.js';
import { claimSends } from '../../../src/refunds/claim.js';
import { takeInExternal } from '../../../src/refunds/external-refunds.js';
import { lockRate } from '../../../src/refunds/merchant-rate.js';
import { eventsOfEdge, TOLD_OF_NEW } from '../../../src/refunds/outgoing-events.js';
import { RefundLedger } from '../../../src/refunds/refund-ledger.js';
import {
  REFUND_VIEW_COLUMNS,
  type RefundRow,
  refundView,
  type RefundViewRow,
} from '../../../src/refunds/refund.view.js';
import { REFUND_STATE_NAMES, type RefundState } from '../../../src/refunds/states.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { APPID, eventsOf, makeOrder, MCH_ID, seed, type SeededOrder, settings, shownOf, takeIn } from './support.js';

let database: TestDatabase;
const ledger = new RefundLedger(settings);
beforeAll(async () => {
  database = await createTestDatabase();
  await seed(database);
});
afterAll(() => database.close());

const book = (...bookings: readonly AnyBooking[]) => database.uow.run((tx) => ledger.book(tx, bookings));

function proof(
  refund: RefundRow,
  order: SeededOrder,
  status: 'accepted' | 'abnormal' | 'succeeded' | 'closed',
  change: Parameters<typeof shownOf>[3] = {},
): AnyBooking {
  const shown = shownOf(refund, order, status, change);
  const askedAt = new Date(Date.now() + 60_000);
  return { kind: 'proof', refundId: refund.id, orderId: order.id, cause: 'query', sourceId: newUuid(), shown, askedAt };
}

const move = (refund: RefundRow, to: RefundState, from: readonly RefundState[]): AnyBooking => ({
  kind: 'move',
  refundId: refund.id,
  orderId: refund.order_id,
  cause: 'operator',
  sourceId: null,
  actor: 'key_test',
  to,
  from,
});

async function viewOf(refundId: string): Promise<unknown> {
  const [row] = await database.uow.query<RefundViewRow>(
    `SELECT ${REFUND_VIEW_COLUMNS} FROM refund r JOIN payment_order o ON o.id = r.order_id WHERE r.id = $1`,
    [refundId],
  );
  return refundView(row as RefundViewRow);
}

async function orderViewOf(id: string): Promise<unknown> {
  const [row] = await database.uow.query<OrderViewRow>(
    `SELECT ${ORDER_VIEW_COLUMNS} FROM payment_order o WHERE o.id = $1`,
    [id],
  );
  return orderView(row as OrderViewRow, settings);
}

const typesOf = async (subjectId: string): Promise<string[]> =>
  (await eventsOf(database, subjectId)).map(({ type }) => type);

describe('a new refund', () => {
  it('is told of in the statement that makes it, as the API shows it', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 300);
    const events = await eventsOf(database, refund.id);
    expect(events).toEqual([
      {
        id: expect.stringMatching(/^evt_[0-9a-f]{32}$/),
        type: 'refund.created',
        timestamp: expect.any(String),
        sequence: 1,
        data: { object: refundView(refund), previous_status: null },
      },
    ]);
    expect(events[0]?.data.object).toEqual(await viewOf(refund.id));
  });

  it("leaves the caller's own texts out where the event would be larger than receivers count on", async () => {
    const largest = {
      items: Array.from({ length: 100 }, (_, line) => ({ ref: `${'货'.repeat(60)}${line}`, amount: 3 })),
      note: '记'.repeat(500),
      metadata: Object.fromEntries(Array.from({ length: 20 }, (_, key) => [`key-${key}`, '值'.repeat(200)])),
    };
    const refund = await takeIn(database, await makeOrder(database), 300, largest);
    const [event] = await eventsOf(database, refund.id);
    expect(event?.data).toEqual({
      object: { ...refundView(refund), items: null, note: null, metadata: {} },
      previous_status: null,
      abridged: true,
    });
    expect(Buffer.byteLength(JSON.stringify(event))).toBeLessThan(PAYLOAD_BYTES_MAX);
    const whole = await takeIn(database, await makeOrder(database), 300, { ...largest, items: null });
    const [wholeEvent] = await eventsOf(database, whole.id);
    expect(wholeEvent?.data).toEqual({ object: refundView(whole), previous_status: null });
  });

  it('made in the merchant platform is told of as such, and its order when it has succeeded', async () => {
    const order = await makeOrder(database);
    const shown = { ...shownOf({ out_refund_no: 'by-hand', amount_fen: '400' } as RefundRow, order, 'succeeded') };
    const taken = await database.uow.run((tx) => takeInExternal(tx, shown, { callId: newUuid(), apiVersion: 'v2' }));
    const refundId = 'refundId' in taken ? taken.refundId : '';
    const [event] = await eventsOf(database, refundId);
    expect(event).toMatchObject({ type: 'refund.external_detected', sequence: 1, data: { previous_status: null } });
    expect(event?.data.object).toEqual(await viewOf(refundId));
    const [ofOrder] = await eventsOf(database, order.id);
    expect(ofOrder).toMatchObject({ type: 'order.partially_refunded', sequence: 1, data: { previous_status: 'paid' } });
    expect(ofOrder?.data.object).toEqual(await orderViewOf(order.id));
    expect(ofOrder?.data.object).toMatchObject({ amount_refunded: 400, refund_status: 'partial' });
  });

  it('made in the merchant platform that is still running says nothing of its order', async () => {
    const order = await makeOrder(database);
    const shown = shownOf({ out_refund_no: 'running', amount_fen: '400' } as RefundRow, order, 'accepted');
    await database.uow.run((tx) => takeInExternal(tx, shown, { callId: newUuid(), apiVersion: 'v2' }));
    expect(await typesOf(order.id)).toEqual([]);
  });

  it.each([
    [400, 'order.partially_refunded'],
    [1000, 'order.refunded'],
  ])('made there of %i of 1000 tells %s, as one of ours does', async (fen, type) => {
    const [byHand, ours] = [await makeOrder(database), await makeOrder(database)];
    const shown = shownOf({ out_refund_no: `hand-${fen}`, amount_fen: String(fen) } as RefundRow, byHand, 'succeeded');
    await database.uow.run((tx) => takeInExternal(tx, shown, { callId: newUuid(), apiVersion: 'v2' }));
    await book(proof(await takeIn(database, ours, fen), ours, 'succeeded'));
    expect([await typesOf(byHand.id), await typesOf(ours.id)]).toEqual([[type], [type]]);
  });
});

describe('a change of a refund', () => {
  it('is told of with the object as after it and the status before', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 300);
    const views: unknown[] = [];
    for (const status of ['accepted', 'abnormal', 'accepted', 'succeeded'] as const) {
      await book(proof(refund, order, status));
      views.push(await viewOf(refund.id));
    }
    const events = (await eventsOf(database, refund.id)).slice(1);
    expect(events.map(({ type, sequence, data }) => [sequence, type, data.previous_status])).toEqual([
      [2, 'refund.processing', 'pending'],
      [3, 'refund.requires_action', 'processing'],
      // It is accepted for the second time, which is told once.
      [4, 'refund.succeeded', 'processing'],
    ]);
    expect(events.map(({ data }) => data.object)).toEqual([views[0], views[1], views[3]]);
    const [ofOrder] = await eventsOf(database, order.id);
    expect(ofOrder).toMatchObject({ type: 'order.partially_refunded', sequence: 1 });
    expect(ofOrder?.data.object).toEqual(await orderViewOf(order.id));
  });

  it('that proves a failure wrong is told as a correction first', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 1000);
    await book(move(refund, 'canceled', ['queued']));
    await book(proof(refund, order, 'succeeded'));
    expect((await eventsOf(database, refund.id)).map(({ type, data }) => [type, data.previous_status])).toEqual([
      ['refund.created', null],
      ['refund.canceled', 'pending'],
      ['refund.corrected', 'canceled'],
      ['refund.succeeded', 'canceled'],
    ]);
    expect(await typesOf(order.id)).toEqual(['order.refunded']);
  });

  it('of several bookings in one batch is told as each left it', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 300);
    await book(proof(refund, order, 'accepted'), proof(refund, order, 'abnormal'), proof(refund, order, 'succeeded'));
    const events = await eventsOf(database, refund.id);
    expect(events.map(({ type, data }) => [type, 'state' in data.object && data.object.state])).toEqual([
      ['refund.created', 'queued'],
      ['refund.processing', 'accepted'],
      ['refund.requires_action', 'abnormal'],
      ['refund.succeeded', 'succeeded'],
    ]);
    expect(events.at(-1)?.data.object).toEqual(await viewOf(refund.id));
    const ids = events.map(({ id }) => id);
    expect([...ids].sort()).toEqual(ids);
  });

  it('to submitting, in the claim, is not told', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 300);
    await database.uow.run(async (tx) => {
      const context = { settings, clock: systemClock, rate: await lockRate(tx, MCH_ID) };
      await claimSends(tx, MCH_ID, { count: 15, probe: null }, context);
    });
    expect(await viewOf(refund.id)).toMatchObject({ state: 'submitting' });
    expect(await typesOf(refund.id)).toEqual(['refund.created']);
  });

  it('in the claim, past the refund window, is told as failed', async () => {
    const order = await makeOrder(database, { paidAgo: '364 days 23 hours' });
    const refund = await takeIn(database, order, 300);
    await database.shiftClock('2 hours');
    await database.uow.run(async (tx) => {
      const context = { settings, clock: systemClock, rate: await lockRate(tx, MCH_ID) };
      await claimSends(tx, MCH_ID, { count: 15, probe: null }, context);
    });
    const event = (await eventsOf(database, refund.id)).at(-1);
    expect(event).toMatchObject({ type: 'refund.failed', sequence: 2, data: { previous_status: 'pending' } });
    expect(event?.data.object).toEqual(await viewOf(refund.id));
    expect(event?.data.object).toMatchObject({ failure: { code: 'refund_window_expired' } });
    await database.shiftClock('0');
  });
});

describe('an order', () => {
  const payment = (order: SeededOrder, change: Partial<ShownPayment> = {}): ShownPayment => ({
    status: 'paid',
    refunded: false,
    mchId: MCH_ID,
    appid: APPID,
    outTradeNo: order.outTradeNo,
    transactionId: `43${order.outTradeNo}`,
    totalFen: order.paidFen,
    paidAt: '2026-06-01T12:00:00+08:00',
    wechatStatus: 'SUCCESS',
    ...change,
  });
  const shownPaid = (order: SeededOrder, change: Partial<ShownPayment> = {}) =>
    database.uow.run((tx) => bookPayment(tx, payment(order, change)));

  it('is told of when it is paid, once, without the payer', async () => {
    const order = await makeOrder(database, { status: 'created' });
    await shownPaid(order);
    await shownPaid(order);
    const events = await eventsOf(database, order.id);
    expect(events).toMatchObject([{ type: 'order.paid', sequence: 1, data: { previous_status: 'created' } }]);
    expect(events[0]?.data.object).toEqual(await orderViewOf(order.id));
    const stored = await database.uow.query('SELECT snapshot FROM outgoing_event WHERE subject_id = $1', [order.id]);
    expect(JSON.stringify(stored)).not.toContain('openid');
  });

  it('is told of when it is closed, and when it is paid after all', async () => {
    const order = await makeOrder(database, { status: 'created' });
    await shownPaid(order, { status: 'closed', transactionId: null, totalFen: null, paidAt: null });
    await bookClosed(database.uow, order.id);
    await shownPaid(order);
    expect((await eventsOf(database, order.id)).map(({ type, data }) => [type, data.previous_status])).toEqual([
      ['order.closed', 'created'],
      ['order.paid', 'closed'],
    ]);
  });

  it('taken in as paid is told of in the statement that makes it', async () => {
    const id = newUuid();
    const number = `T${id.slice(-12)}`;
    const parameters = [
      id,
      MCH_ID,
      APPID,
      number,
      `42${number}`,
      500,
      '2026-06-01T12:00:00Z',
      false,
      'x',
      false,
      '{}',
      'key_a',
    ];
    const made = await database.uow.query<OrderViewRow>(INSERT_REGISTERED_SQL, parameters);
    const again = await database.uow.query(INSERT_REGISTERED_SQL, [newUuid(), ...parameters.slice(1)]);
    expect([made.length, again.length]).toEqual([1, 0]);
    const events = await eventsOf(database, id);
    expect(events).toMatchObject([{ type: 'order.paid', sequence: 1, data: { previous_status: null } }]);
    expect(events[0]?.data.object).toEqual(orderView(made[0] as OrderViewRow, settings));
    // WeChat proves later what an admin had vouched for: it was paid before.
    await shownPaid({ id, outTradeNo: number, paidFen: 500 }, { transactionId: `42${number}` });
    expect(await typesOf(id)).toEqual(['order.paid']);
    expect(await orderViewOf(id)).toMatchObject({ verified: true });
  });
});

describe('no change without its event, no event without its change', () => {
  const counts = async (): Promise<unknown> =>
    database.uow.query(
      `SELECT (SELECT count(*) FROM outgoing_event)::int AS events, (SELECT count(*) FROM refund_event)::int AS changes,
         (SELECT sum(event_sequence) FROM refund)::int AS counted`,
      [],
    );

  it('a transaction that is rolled back leaves none (C16)', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 300);
    const before = await counts();
    const torn = database.uow.run(async (tx) => {
      await ledger.book(tx, [proof(refund, order, 'succeeded')]);
      throw new Error('torn');
    });
    await expect(torn).rejects.toThrow('torn');
    expect(await counts()).toEqual(before);
  });

  it('a backend that dies before the commit leaves none', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 300);
    const before = await counts();
    const killed = database.uow.run(async (tx) => {
      await ledger.book(tx, [proof(refund, order, 'succeeded')]);
      await tx.query('SELECT pg_terminate_backend(pg_backend_pid())');
    });
    await expect(killed).rejects.toThrow();
    expect(await counts()).toEqual(before);
  });

  it.each<[string, (order: SeededOrder, refund: RefundRow) => Promise<unknown>]>([
    ['booking', (order, refund) => book(proof(refund, order, 'succeeded'))],
    ['intake', (order) => takeIn(database, order, 100)],
    ['closing', async () => bookClosed(database.uow, (await makeOrder(database, { status: 'created' })).id)],
  ])('a %s whose event cannot be written does not happen', async (_, change) => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 300);
    const before = await counts();
    await database.dataSource.query(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no event today'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON outgoing_event FOR EACH ROW EXECUTE FUNCTION refuse()`);
    await expect(change(order, refund)).rejects.toThrow('no event today');
    await database.dataSource.query('DROP TRIGGER refuse ON outgoing_event; DROP FUNCTION refuse()');
    expect(await counts()).toEqual(before);
    expect(await viewOf(refund.id)).toMatchObject({ state: 'queued' });
  });

  it('random histories, many at once, tell each visible change exactly once and in sequence (I26)', async () => {
    const seedNumber = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`SEED=${seedNumber}`);
    const random = mulberry32(seedNumber);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const orders = await Promise.all(Array.from({ length: 12 }, () => makeOrder(database)));
    const refunds = await Promise.all(
      orders.flatMap((order) =>
        [100, 200, 700].map(async (fen) => ({ order, refund: await takeIn(database, order, fen) })),
      ),
    );
    const step = (): AnyBooking => {
      const { order, refund } = pick(refunds);
      const roll = random();
      if (roll < 0.6)
        return proof(refund, order, pick(['accepted', 'accepted', 'abnormal', 'closed', 'succeeded'] as const));
      if (roll < 0.7) return proof(refund, order, 'accepted', { refundFen: 1 });
      return move(refund, pick(REFUND_STATE_NAMES), REFUND_STATE_NAMES);
    };
    for (let round = 0; round < 15; round += 1) {
      const batches = Array.from({ length: 6 }, () => Array.from({ length: 1 + Math.floor(random() * 3) }, step));
      await Promise.all(batches.map((batch) => book(...batch)));
    }
    for (const { refund } of refunds) expect(await typesOf(refund.id)).toEqual(await expectedTypes(refund.id));
    for (const { refund } of refunds.filter((_, place) => place % 3 === 0)) {
      const last = (await eventsOf(database, refund.id)).at(-1)?.data.object as { status: string; state: string };
      const now = (await viewOf(refund.id)) as { status: string; state: string };
      if (now.state === last.state) expect(last.status).toBe(now.status);
    }
    for (const { id } of orders) {
      const succeeded = await database.uow.query(
        `SELECT 1 FROM refund_event e JOIN refund r ON r.id = e.refund_id
         WHERE r.order_id = $1 AND e.to_state = 'succeeded' AND e.from_state <> 'succeeded'`,
        [id],
      );
      expect(await typesOf(id)).toHaveLength(succeeded.length);
    }
  });

  it('sequences count from 1 without a gap, for everything in this database', async () => {
    const gaps = await database.uow.query(
      `SELECT subject_id FROM outgoing_event GROUP BY subject_id HAVING min(sequence) <> 1 OR max(sequence) <> count(*)
       UNION ALL SELECT r.id FROM refund r WHERE r.event_sequence <> (SELECT count(*) FROM outgoing_event v WHERE v.subject_id = r.id)
       UNION ALL SELECT o.id FROM payment_order o
         WHERE o.event_sequence <> (SELECT count(*) FROM outgoing_event v WHERE v.subject_id = o.id)`,
      [],
    );
    expect(gaps).toEqual([]);
    expect(await database.uow.query('SELECT 1 FROM outgoing_event LIMIT 1', [])).toHaveLength(1);
  });

  it('a name of the API is never that of a database row', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 100);
    const [event] = await eventsOf(database, refund.id);
    expect(event?.data.object.id).toBe(publicId('refund', refund.id));
    expect(JSON.stringify(event)).not.toMatch(/lease|digest|idempotency_key/);
  });
});

/** What the history of a refund should have told, replayed from its own events. */
async function expectedTypes(refundId: string): Promise<string[]> {
  const changes = await database.uow.query<{ from_state: RefundState | null; to_state: RefundState }>(
    'SELECT from_state, to_state FROM refund_event WHERE refund_id = $1 ORDER BY seq',
    [refundId],
  );
  const told: string[] = [];
  for (const { from_state: from, to_state: to } of changes) {
    told.push(...(from === null ? [TOLD_OF_NEW.api] : eventsOfEdge(from, to, told)));
  }
  return told;
}

/** A small generator whose every number follows from its seed. */
function mulberry32(seedNumber: number): () => number {
  let state = seedNumber;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
