import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { newUuid } from '../../src/common/ids.js';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { UnitOfWork } from '../../src/database/unit-of-work.js';
import type { AnyBooking } from '../../src/refunds/bookings.js';
import { INTAKE_SQL } from '../../src/refunds/intake.js';
import { RefundLedger } from '../../src/refunds/refund-ledger.js';
import type { RefundRow } from '../../src/refunds/refund.view.js';
import { endpointFor, Receiver } from '../e2e/support/receiver.js';
import { Stack } from '../e2e/support/stack.js';
import { intakeRow, settings, shownOf } from '../integration/events/support.js';

/**
 * How long an event takes from its commit to a healthy receiver while 150 refunds a second are taken in, accepted and succeed: four
 * events each, 600 a second. The changes are booked by the service's own statements, from here and without WeChat, so that the
 * machine measures delivery and not the simulator. `REFUNDS`, `RATE` and `EVENTS` (a comma list) change the load: `npm run bench:events`.
 */
const REFUNDS = Number(process.env['REFUNDS'] ?? 4500);
const RATE = Number(process.env['RATE'] ?? 150);
const EVENTS = (process.env['EVENTS'] ?? '*').split(',');
const TICK_MS = 100;

interface Order {
  readonly id: string;
  readonly outTradeNo: string;
  readonly paidFen: number;
}

const ORDERS_SQL = `
  INSERT INTO payment_order (id, mch_id, appid, out_trade_no, status, amount_fen, paid_fen, paid_at, verified, source, request_digest,
    created_by, created_at, updated_at)
  SELECT uuid7(tuikuan_now()), $1, $2, 'bench-' || n, 'paid', 100, 100, tuikuan_now(), true, 'prepay', '', 'key_bench', tuikuan_now(),
    tuikuan_now()
  FROM generate_series(1, $3::integer) n RETURNING id, out_trade_no AS "outTradeNo", paid_fen::int AS "paidFen"`;

it('events of refunds', async () => {
  const stack = await Stack.start({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
  const receiver = await Receiver.start();
  const source = await new DataSource(
    dataSourceOptions({ url: stack.databaseUrl, namedStatements: true, poolMax: 4 }),
  ).initialize();
  try {
    const { mchId, appid } = await stack.merchant();
    await stack.database.query(
      `UPDATE merchant_rate SET paused_at = tuikuan_now(), pause_reason = 'too_many_requests', paused_until = 'infinity' WHERE mch_id = $1`,
      [mchId],
    );
    const uow = new UnitOfWork(source);
    const ledger = new RefundLedger(settings);
    const orders = await uow.query<Order>(ORDERS_SQL, [mchId, appid, REFUNDS]);
    await endpointFor(stack, receiver.url, { events: EVENTS });

    const take = async (batch: readonly Order[]): Promise<(readonly [Order, RefundRow])[]> => {
      const rows = await uow.query<RefundRow>(INTAKE_SQL, [
        JSON.stringify(batch.map((order) => intakeRow(order, 100))),
        50,
        365,
      ]);
      return rows.map((row) => [batch.find(({ id }) => id === row.order_id) as Order, row] as const);
    };
    const prove = (
      status: 'accepted' | 'succeeded',
      taken: readonly (readonly [Order, RefundRow])[],
    ): Promise<unknown> =>
      uow.run((tx) =>
        ledger.book(
          tx,
          taken.map(([order, refund]): AnyBooking => {
            const shown = { ...shownOf(refund, order, status), mchId };
            return {
              kind: 'proof',
              refundId: refund.id,
              orderId: order.id,
              cause: 'query',
              sourceId: newUuid(),
              shown,
              askedAt: null,
            };
          }),
        ),
      );
    const live = async (batch: readonly Order[]): Promise<void> => {
      const taken = await take(batch);
      await sleep(300);
      await prove('accepted', taken);
      await sleep(300);
      await prove('succeeded', taken);
    };

    const startMs = Date.now();
    const size = Math.round((RATE * TICK_MS) / 1000);
    const lives: Promise<void>[] = [];
    for (let place = 0; place < orders.length; place += size) {
      await sleep(Math.max(0, startMs + (place * 1000) / RATE - Date.now()));
      lives.push(live(orders.slice(place, place + size)));
    }
    await Promise.all(lives);
    const bookedSeconds = (Date.now() - startMs) / 1000;
    const waiting = async (): Promise<number> => {
      const { rows } = await stack.database.query<{ n: number }>(
        `SELECT (SELECT count(*) FROM outgoing_event WHERE fanned_out_at IS NULL)::int
           + (SELECT count(*) FROM webhook_delivery WHERE state = 'pending')::int AS n`,
      );
      return rows[0]?.n ?? 0;
    };
    expect(await stack.eventually(waiting, (n) => n === 0, 120)).toBe(0);
    report(receiver, bookedSeconds, (Date.now() - startMs) / 1000);
  } finally {
    await source.destroy();
    receiver.close();
    await stack.close();
  }
}, 300_000);

function report(receiver: Receiver, bookedSeconds: number, doneSeconds: number): void {
  const delays = new Map<string, number[]>();
  const note = (key: string, delay: number): void => void delays.set(key, [...(delays.get(key) ?? []), delay]);
  const all: number[] = [];
  for (const { event, atMs } of receiver.received) {
    all.push(atMs - Date.parse(event.timestamp));
    note(event.type, atMs - Date.parse(event.timestamp));
  }
  const events = new Set(receiver.received.map(({ event }) => event.id)).size;
  console.log(
    [
      `${REFUNDS} refunds booked in ${bookedSeconds.toFixed(1)} s (${(REFUNDS / bookedSeconds).toFixed(0)}/s); everything delivered after ${doneSeconds.toFixed(1)} s`,
      `${receiver.received.length} messages of ${events} events, ${(receiver.received.length / doneSeconds).toFixed(0)}/s`,
      row('all', all),
      ...[...delays].map(([type, values]) => row(type, values)),
    ].join('\n'),
  );
}

function row(label: string, delays: readonly number[]): string {
  const sorted = [...delays].sort((a, b) => a - b);
  const at = (share: number): string =>
    String(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).padStart(6);
  return `${label.padEnd(28)} ${String(sorted.length).padStart(6)}  p50 ${at(0.5)} ms  p99 ${at(0.99)} ms  worst ${at(1)} ms`;
}
