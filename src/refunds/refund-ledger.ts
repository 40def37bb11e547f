import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { assert } from '../common/assert.js';
import { refundMoves } from '../common/instruments.js';
import { incident, log } from '../common/log.js';
import { Settings } from '../config/settings.js';
import type { UnitOfWork } from '../database/unit-of-work.js';
import type { AnyBooking, Booked, LockedOrder, LockedRefund } from './bookings.js';
import type { Change } from './change.js';
import { decide } from './decide.js';
import { refusedMove } from './decide-move.js';
import { BOOK_SQL, LOCK_SQL, lockedOrderOf, lockedRefundOf, recordOf, type LockedRow } from './ledger-rows.js';
import { hasRoom, moveMoney, refundableFen } from './money.js';
import { type OutgoingRow, tellChange } from './outgoing-events.js';
import { isOurMove, REFUND_STATES, type RefundState } from './states.js';
import { settlements } from './waiting-notices.js';

interface EventRow {
  readonly refund_id: string;
  readonly seq: number;
  readonly from_state: RefundState;
  readonly to_state: RefundState;
  readonly cause: string;
  readonly source_id: string | null;
  readonly actor: string | null;
  readonly incident: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Rows under their locks and what the bookings made of them so far. */
interface Batch {
  readonly now: Date;
  readonly orders: Map<string, LockedOrder>;
  readonly spacingFreed: Set<string>;
  readonly refunds: Map<string, LockedRefund>;
  readonly events: EventRow[];
  readonly told: OutgoingRow[];
}

/**
 * The one door to a refund's state: answers, queries, notices, callers and the clock all pass `book`.
 * It locks the orders, then the refunds, each in id order; decides by the tables of states.ts; moves the money in the order's
 * counters; and writes refunds, orders, one event per change and what the outside is told of it in one statement. It takes a list, so a
 * batch costs two round trips. It leaves sending, asking and answering to others. The only other writers are its set forms: intake and claim.
 */
@Injectable()
export class RefundLedger {
  constructor(private readonly settings: Settings) {}

  /**
   * Books in the order given and says what became of each. Incidents are for `report`, after the commit. What `alongside` writes of it
   * goes to PostgreSQL in the same round trip, behind the rest.
   */
  async book(
    tx: EntityManager,
    bookings: readonly AnyBooking[],
    alongside?: (booked: readonly Booked[]) => Promise<void>,
  ): Promise<Booked[]> {
    if (bookings.length === 0) {
      await alongside?.([]);
      return [];
    }
    const batch = await this.lock(tx, bookings);
    const booked = bookings.map((booking) => this.apply(batch, booking));
    await Promise.all([
      write(tx, batch),
      ...settlements(bookings, booked, batch.refunds).map(({ sql, parameters }) => tx.query(sql, parameters)),
      alongside?.(booked),
    ]);
    return booked;
  }

  /**
   * Books a batch in one unit of work; when that fails, for instance on an order somebody holds, each booking in a unit of its own, so
   * that one does not delay the others. What fails alone is logged and left as it is. Reports incidents.
   */
  async bookEach(uow: UnitOfWork, bookings: readonly AnyBooking[]): Promise<void> {
    try {
      this.report(await uow.run((tx) => this.book(tx, bookings)));
    } catch (cause) {
      if (bookings.length === 1) log.error('a booking failed', { refundId: bookings[0]?.refundId, cause });
      else for (const booking of bookings) await this.bookEach(uow, [booking]);
    }
  }

  /** Reports a committed booking: its move, and one error line and one counter for each of its incidents. */
  report(booked: readonly Booked[]): void {
    for (const { refundId, incidents, from, to, reason } of booked) {
      if (from !== to) refundMoves.inc({ from, to });
      for (const code of incidents) incident(code, { refundId, from, to, ...(reason !== undefined && { reason }) });
    }
  }

  private async lock(tx: EntityManager, bookings: readonly AnyBooking[]): Promise<Batch> {
    const rows = await tx.query<LockedRow[]>(LOCK_SQL, [
      [...new Set(bookings.map((booking) => booking.orderId))],
      [...new Set(bookings.map((booking) => booking.refundId))],
    ]);
    const first = rows[0];
    assert(first, 'a booking names a refund that exists');
    return {
      now: first.now,
      orders: new Map(rows.map((row) => [row.order_id, lockedOrderOf(row)])),
      spacingFreed: new Set(),
      refunds: new Map(rows.map((row) => [row.id, lockedRefundOf(row)])),
      events: [],
      told: [],
    };
  }

  private apply(batch: Batch, booking: AnyBooking): Booked {
    const { refund, order } = lockedOf(batch, booking);
    const from = refund.state;
    const change = this.withRoom(order, refund, booking, decide(refund, order, booking, batch.now));
    const { state: to = from } = change.fields;
    assert(to === from || booking.kind === 'proof' || isOurMove(from, to), `${from} → ${to} is an edge`);
    const overPaid = to !== from && this.moveMoney(order, refund, booking, to);
    Object.assign(refund, change.fields);
    batch.told.push(...tellChange(refund, order, from, batch.told.length));
    if (change.freesSpacing) batch.spacingFreed.add(order.id);
    const incidents = [change.event?.incident, overPaid ? 'more_than_paid' : null].filter(
      (code) => typeof code === 'string',
    );
    if (change.event) batch.events.push(eventRow(booking, refund, from, { detail: change.event.detail, incidents }));
    assert(to === from || change.event, 'every change of state has its event');
    return { refundId: refund.id, result: change.result, reason: change.reason, from, to, incidents };
  }

  /** Moves the refund's money and says whether the order has now given more than was paid. */
  private moveMoney(order: LockedOrder, refund: LockedRefund, booking: AnyBooking, to: RefundState): boolean {
    refund.bookedOutside = moveMoney(order, refund, to, this.settings.refundsPerOrderMax);
    const outsideFen = booking.kind === 'move' && refund.outsideShownFen === null ? (booking.outsideFen ?? 0) : 0;
    if (outsideFen > 0) refund.outsideShownFen = outsideFen;
    order.outsideFen += outsideFen;
    return order.reservedFen + order.refundedFen + order.outsideFen > order.paidFen;
  }

  /** A caller's move out of a released state reserves again, so it is checked as an intake is. */
  private withRoom(order: LockedOrder, refund: LockedRefund, booking: AnyBooking, change: Change): Change {
    const to = change.fields.state;
    if (booking.kind !== 'move' || to === undefined) return change;
    const reservesAgain = REFUND_STATES[refund.state].money === 'released' && REFUND_STATES[to].money === 'reserved';
    if (!reservesAgain || hasRoom(order, refund.amountFen, this.settings.refundsPerOrderMax)) return change;
    return refusedMove(refund.amountFen > refundableFen(order) ? 'amount_exceeds_refundable' : 'refund_count_exceeded');
  }
}

function write(tx: EntityManager, batch: Batch): Promise<unknown> {
  const orders = [...batch.orders.values()].map((order) => ({
    id: order.id,
    reserved_fen: order.reservedFen,
    refunded_fen: order.refundedFen,
    outside_fen: order.outsideFen,
    refund_count: order.refundCount,
    event_sequence: order.eventSequence,
    frees_spacing: batch.spacingFreed.has(order.id),
  }));
  const refunds = [...batch.refunds.values()].map(recordOf);
  return tx.query(
    BOOK_SQL,
    [refunds, orders, batch.events, batch.told].map((rows) => JSON.stringify(rows)),
  );
}

function lockedOf(batch: Batch, booking: AnyBooking): { refund: LockedRefund; order: LockedOrder } {
  const refund = batch.refunds.get(booking.refundId);
  const order = batch.orders.get(booking.orderId);
  assert(refund && order, 'a booking names a refund of its order');
  return { refund, order };
}

/** The next event of a refund that is already in its new state. */
function eventRow(
  booking: AnyBooking,
  refund: LockedRefund,
  from: RefundState,
  event: { readonly incidents: readonly string[]; readonly detail: Readonly<Record<string, unknown>> },
): EventRow {
  refund.version += 1;
  return {
    refund_id: refund.id,
    seq: refund.version,
    from_state: from,
    to_state: refund.state,
    cause: booking.cause,
    source_id: booking.sourceId,
    actor: booking.actor ?? null,
    incident: event.incidents[0] ?? null,
    detail: event.incidents.length > 1 ? { ...event.detail, incidents: event.incidents } : event.detail,
  };
}
