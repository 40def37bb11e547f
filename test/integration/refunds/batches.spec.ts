import { jest } from '@jest/globals';
import pg from 'pg';
import { AppError } from '../../../src/common/problem.js';
import type { AnyBooking } from '../../../src/refunds/bookings.js';
import { INTAKE_BATCH_SQL, INTAKE_SQL } from '../../../src/refunds/intake.js';
import { sameDatabase } from '../../support/database.js';
import { type Merchant, type Order, type Refund, RefundDomain } from '../../support/refund-domain.js';

/** Requests and notices that come together share their statements; what each is told is as if it had come alone. */
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

/** Runs `work` and gives the sizes of the intake's statements meanwhile. */
async function intakeSizes(work: () => Promise<unknown>): Promise<number[]> {
  const query = jest.spyOn(domain.database.dataSource, 'query');
  try {
    await work();
    const intakes = query.mock.calls.filter(([sql]) => [INTAKE_SQL, INTAKE_BATCH_SQL].includes(sql));
    return intakes.map(([, parameters]) => (JSON.parse(String((parameters as unknown[])[0])) as unknown[]).length);
  } finally {
    query.mockRestore();
  }
}

/** What came of a request: the refund, or the code of the refusal. */
const told = (asked: Promise<Refund>): Promise<string> =>
  asked.then(
    ({ outRefundNo }) => outRefundNo,
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  );

/** A session of its own inside a transaction that has run `sql`; `end` commits it. */
async function holding(sql: string, parameters: unknown[]): Promise<{ end: () => Promise<void> }> {
  const client = new pg.Client({ connectionString: domain.database.url });
  await client.connect();
  await client.query('SET idle_in_transaction_session_timeout = 0; BEGIN');
  await client.query(sql, parameters);
  return { end: () => client.query('COMMIT').then(() => client.end()) };
}

const numbered = (count: number): string[] => {
  const mark = Math.random().toString(36).slice(2);
  return Array.from({ length: count }, (_, place) => `B${mark}x${place}`);
};

describe('refunds asked for together', () => {
  it('are reserved by one statement, and each caller gets the refund of its own order and number', async () => {
    const orders = await domain.orders(merchant, 40);
    const numbers = numbered(40);
    let refunds: Refund[] = [];
    const sizes = await intakeSizes(async () => {
      refunds = await Promise.all(
        orders.map((order, place) => domain.refund(order, 100 + place, { out_refund_no: numbers[place] ?? '' })),
      );
    });
    expect(sizes).toEqual([40]);
    const rows = await domain.sql<{ order_id: string; out_refund_no: string; amount_fen: string }>(
      'SELECT order_id, out_refund_no, amount_fen FROM refund WHERE id = ANY($1::uuid[]) ORDER BY amount_fen',
      [refunds.map(({ uuid }) => uuid)],
    );
    expect(rows).toEqual(
      orders.map(({ id }, place) => ({
        order_id: id,
        out_refund_no: numbers[place],
        amount_fen: String(100 + place),
      })),
    );
  });

  it('of one order follow each other, and the order gives what it has', async () => {
    const order = await domain.order(merchant, 1000);
    let ends: string[] = [];
    const sizes = await intakeSizes(async () => {
      ends = await Promise.all(numbered(6).map((number) => told(domain.refund(order, 300, { out_refund_no: number }))));
    });
    expect(sizes.slice(0, 6)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(ends.filter((end) => end === 'amount_exceeds_refundable')).toHaveLength(3);
    expect(await domain.counters(order)).toEqual({ reserved: 900, refunded: 0, outside: 0, count: 3 });
  });

  it('one refused, one repeated and one in conflict leave the others as they are', async () => {
    const orders = await domain.orders(merchant, 10);
    const [poor, again, other] = orders as [Order, Order, Order];
    const first = await domain.refund(again, 100);
    const taken = await domain.refund(other, 100);
    const ends = await Promise.all([
      told(domain.refund(poor, 1001)),
      told(domain.refund(again, 100, { out_refund_no: first.outRefundNo })),
      told(domain.refund(other, 200, { out_refund_no: taken.outRefundNo })),
      ...orders.slice(3).map((order) => told(domain.refund(order, 100))),
    ]);
    expect(ends.slice(0, 3)).toEqual(['amount_exceeds_refundable', first.outRefundNo, 'out_refund_no_conflict']);
    expect(ends.slice(3).filter((end) => end.startsWith('R'))).toHaveLength(7);
    expect(await domain.counters(again)).toMatchObject({ reserved: 100, count: 1 });
  });

  it('one whose order is held waits for it alone: the others are answered at once', async () => {
    const orders = await domain.orders(merchant, 5);
    const [held, ...free] = orders as [Order, ...Order[]];
    const holder = await holding('SELECT 1 FROM payment_order WHERE id = $1 FOR UPDATE', [held.id]);
    const waiting = told(domain.refund(held, 100));
    const ends = await Promise.all(free.map((order) => told(domain.refund(order, 100))));
    expect(ends.filter((end) => end.startsWith('R'))).toHaveLength(4);
    expect(await waiting).toBe('temporarily_unavailable');
    await holder.end();
    expect(await domain.counters(held)).toMatchObject({ reserved: 0, count: 0 });
  });

  it('one whose number another session commits meanwhile fails by itself: the batch is done again one by one', async () => {
    const orders = await domain.orders(merchant, 4);
    const [mine, theirs] = orders as [Order, Order];
    const [number = ''] = numbered(1);
    const twin = await domain.plant(theirs, 'queued', 10);
    const other = await holding(
      `INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, created_by,
         created_at, updated_at, request_digest)
       SELECT gen_random_uuid(), order_id, mch_id, appid, $2, 1, 'closed', created_at, 'api', 'test', created_at, created_at, '\\x00'
       FROM refund WHERE id = $1`,
      [twin.uuid, number],
    );
    let ends: string[] = [];
    const sizes = await intakeSizes(async () => {
      const asked = Promise.all([
        told(domain.refund(mine, 100, { out_refund_no: number })),
        ...orders.slice(2).map((order) => told(domain.refund(order, 100))),
      ]);
      await domain.eventually(
        async () =>
          (
            await domain.sql(
              `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
            )
          ).length > 0,
      );
      await other.end();
      ends = await asked;
    });
    expect(sizes).toEqual([3, 1, 1, 1]);
    expect(ends[0]).toBe('out_refund_no_conflict');
    expect(ends.slice(1).filter((end) => end.startsWith('R'))).toHaveLength(2);
    await domain.sql(
      `INSERT INTO refund_event (refund_id, seq, to_state, cause, at) SELECT id, 1, state, 'request', created_at FROM refund
       WHERE out_refund_no = $1`,
      [number],
    );
  });

  it('tell each caller 503 when the connection is lost in the middle, and store nothing by halves', async () => {
    const orders = await domain.orders(merchant, 8);
    const numbers = numbered(8);
    const [held] = orders as [Order];
    const blocker = await holding('LOCK TABLE refund_event IN SHARE MODE', []);
    const ask = (): Promise<string[]> =>
      Promise.all(
        orders.map((order, place) => told(domain.refund(order, 100, { out_refund_no: numbers[place] ?? '' }))),
      );
    let answered = false;
    const asked = ask().finally(() => (answered = true));
    const waiting = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE '%asked AS MATERIALIZED%'`;
    let ended = 0;
    // By connections of its own, since those of the service are the ones that die.
    const other = await sameDatabase(domain.database);
    // One batch or two: a second one begins when the first takes long.
    await domain.eventually(
      async () => (ended += (await other.uow.query(waiting, [])).length),
      () => answered,
    );
    await other.close();
    expect(ended).toBeGreaterThan(0);
    expect(ended).toBeLessThan(4);
    expect(await asked).toEqual(Array(8).fill('temporarily_unavailable'));
    await blocker.end();
    // The pool may still hold a connection of which it does not know yet that it is dead.
    const counters = await domain.eventually(
      () => domain.counters(held).catch(() => null),
      (read) => read !== null,
    );
    expect(counters).toEqual({ reserved: 0, refunded: 0, outside: 0, count: 0 });
    expect(await ask()).toEqual(numbers);
  });
});

describe('notices that come together', () => {
  it('share transactions, and each is booked for its own refund', async () => {
    const refunds = await Promise.all(
      (await domain.orders(merchant, 20)).map((order) => domain.plant(order, 'accepted')),
    );
    const transaction = jest.spyOn(domain.database.dataSource, 'transaction');
    await Promise.all(refunds.map((refund) => domain.notice(refund, { status: 'succeeded' })));
    expect(transaction.mock.calls.length).toBeLessThan(6);
    transaction.mockRestore();
    for (const refund of refunds) {
      expect(await domain.notices(refund)).toEqual([{ result: 'waiting_for_query', reason: null }]);
    }
  });

  it('one behind a held order does not keep the others from their answer', async () => {
    const refunds = await Promise.all(
      (await domain.orders(merchant, 5)).map((order) => domain.plant(order, 'accepted')),
    );
    const [held, ...free] = refunds as [Refund, ...Refund[]];
    const holder = await holding('SELECT 1 FROM payment_order WHERE id = $1 FOR UPDATE', [held.order.id]);
    const late = domain.notice(held, { status: 'succeeded' }).catch((error: unknown) => error);
    await Promise.all(free.map((refund) => domain.notice(refund, { status: 'succeeded' })));
    expect(await late).toMatchObject({ code: 'temporarily_unavailable' });
    await holder.end();
    for (const refund of free) expect(await domain.notices(refund)).toHaveLength(1);
  });
});

describe('what is written alongside a booking', () => {
  /** Books the withdrawal of a new refund and renames its merchant alongside; gives the failure and what is stored then. */
  async function afterFailure(cause: string, rename: string): Promise<unknown> {
    const refund = await domain.refund(await domain.order(merchant, 1000), 100);
    const of = { refundId: refund.uuid, orderId: refund.order.id, sourceId: null, cause } as const;
    const booking = { ...of, kind: 'move', from: ['queued'], to: 'canceled' } as AnyBooking;
    const failure = await domain.database.uow
      .run((tx) =>
        domain.ledger.book(tx, [booking], async (booked) => {
          expect(booked).toMatchObject([{ result: 'applied', to: 'canceled' }]);
          await tx.query(rename, [merchant.mchId]);
        }),
      )
      .then(
        () => null,
        (error: unknown) => (error as Error).message,
      );
    const [stored] = await domain.sql(
      'SELECT r.state, m.name FROM refund r JOIN merchant m USING (mch_id) WHERE r.id = $1',
      [refund.uuid],
    );
    return { failure, stored };
  }

  it('is committed with it', async () => {
    const rename = `UPDATE merchant SET name = 'renamed' WHERE mch_id = $1`;
    expect(await afterFailure('operator', rename)).toEqual({
      failure: null,
      stored: { state: 'canceled', name: 'renamed' },
    });
  });

  it('undoes it when it fails, and is undone when the booking fails, whose failure is told', async () => {
    expect(await afterFailure('operator', 'SELECT 1 / (length($1) * 0)')).toEqual({
      failure: 'division by zero',
      stored: { state: 'queued', name: 'renamed' },
    });
    const again = `UPDATE merchant SET name = 'again' WHERE mch_id = $1`;
    expect(await afterFailure('nonsense', again)).toEqual({
      failure: expect.stringContaining('refund_event_cause_check') as string,
      stored: { state: 'queued', name: 'renamed' },
    });
  });
});
