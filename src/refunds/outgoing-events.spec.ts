import { ORDER_EVENT_TYPES, TOLD_OF_REFUNDED, TOLD_OF_STATUS } from '../orders/outgoing-events.js';
import type { LockedOrder, LockedRefund } from './bookings.js';
import {
  eventsOfEdge,
  REFUND_EVENT_TYPES,
  TOLD_OF_NEW,
  TOLD_ON_ENTERING,
  TOLD_ON_LEAVING,
  tellChange,
} from './outgoing-events.js';
import { REFUND_STATE_NAMES, type RefundState } from './states.js';

/** The letters of the grid below. */
const LETTERS: Readonly<Record<string, string>> = {
  P: 'refund.processing',
  S: 'refund.succeeded',
  F: 'refund.failed',
  C: 'refund.canceled',
  A: 'refund.requires_action',
  B: 'refund.insufficient_balance',
  X: 'refund.corrected',
};

/** All 144 edges, written out a second time from design.md 9: one row per state left, one column per state come to. */
const GRID = `
                     queued insuff submit unknown accepted abnormal blocked mismatch succeeded closed rejected canceled
queued               .      B      .      .       P        A        A       A        S         F      F        C
insufficient_balance .      .      .      .       P        A        A       A        S         F      F        C
submitting           .      B      .      .       P        A        A       A        S         F      F        C
outcome_unknown      .      B      .      .       P        A        A       A        S         F      F        C
accepted             .      B      .      .       .        A        A       A        S         F      F        C
abnormal             .      B      .      .       P        .        A       A        S         F      F        C
blocked              .      B      .      .       P        A        .       A        S         F      F        C
mismatch             .      B      .      .       P        A        A       .        S         F      F        C
succeeded            .      B      .      .       P        A        A       A        .         F      F        C
closed               X      XB     X      X       XP       XA       XA      XA       XS        .      XF       XC
rejected             X      XB     X      X       XP       XA       XA      XA       XS        XF     .        XC
canceled             X      XB     X      X       XP       XA       XA      XA       XS        XF     XF       .
`;

const rows = GRID.trim()
  .split('\n')
  .slice(1)
  .map((line) => line.trim().split(/\s+/));
const edges = rows.flatMap(([from = '', ...cells]) =>
  cells.map((cell, column) => [from, REFUND_STATE_NAMES[column] ?? '', cell] as const),
);

describe('what an edge tells the outside', () => {
  it('is written out here for all of them', () => {
    expect(edges).toHaveLength(144);
    expect(rows.map(([from]) => from)).toEqual(REFUND_STATE_NAMES);
  });

  it.each(edges)('%s → %s: %s', (from, to, cell) => {
    const expected = [...cell].filter((letter) => letter !== '.').map((letter) => LETTERS[letter]);
    expect(eventsOfEdge(from as RefundState, to as RefundState, [])).toEqual(expected);
    const repeated = expected.filter((type) => type !== 'refund.processing' && type !== 'refund.insufficient_balance');
    const told = ['refund.processing', 'refund.insufficient_balance'];
    expect(eventsOfEdge(from as RefundState, to as RefundState, told)).toEqual(repeated);
  });

  it('comes from the thirteen types of the contract, and each of them is told somewhere', () => {
    const told = [
      ...Object.values(TOLD_ON_ENTERING).map((entry) => entry?.type),
      ...Object.values(TOLD_ON_LEAVING),
      ...Object.values(TOLD_OF_NEW),
      ...Object.values(TOLD_OF_STATUS),
      ...Object.values(TOLD_OF_REFUNDED),
    ].filter((type) => type !== undefined && type !== null);
    expect([...new Set(told)].sort()).toEqual([...REFUND_EVENT_TYPES, ...ORDER_EVENT_TYPES].sort());
    expect([...REFUND_EVENT_TYPES, ...ORDER_EVENT_TYPES]).toEqual([
      'refund.created',
      'refund.processing',
      'refund.succeeded',
      'refund.failed',
      'refund.canceled',
      'refund.requires_action',
      'refund.insufficient_balance',
      'refund.corrected',
      'refund.external_detected',
      'order.paid',
      'order.closed',
      'order.partially_refunded',
      'order.refunded',
    ]);
  });
});

describe('a change', () => {
  const order = (change: Partial<LockedOrder>): LockedOrder =>
    ({
      id: 'o',
      paidFen: 100,
      reservedFen: 0,
      refundedFen: 40,
      outsideFen: 0,
      refundCount: 1,
      eventSequence: 1,
      ...change,
    }) as LockedOrder;
  const refund = (state: RefundState, change: Partial<LockedRefund> = {}): LockedRefund =>
    ({ id: 'r', state, eventSequence: 2, toldOnce: [], ...change }) as LockedRefund;

  it('counts on in its refund and its order, each for itself', () => {
    const [of, its] = [refund('succeeded'), order({})];
    const told = tellChange(of, its, 'rejected', 5);
    expect(
      told.map(({ place, type, refund_id: id, sequence, previous_status: before }) => [
        place,
        type,
        id,
        sequence,
        before,
      ]),
    ).toEqual([
      [5, 'refund.corrected', 'r', 3, 'failed'],
      [6, 'refund.succeeded', 'r', 4, 'failed'],
      [7, 'order.partially_refunded', null, 2, 'paid'],
    ]);
    expect([of.eventSequence, its.eventSequence]).toEqual([4, 2]);
  });

  it.each([
    [100, 0, 'order.refunded'],
    [60, 40, 'order.refunded'],
    [100, 50, 'order.refunded'],
    [99, 0, 'order.partially_refunded'],
    [50, 49, 'order.partially_refunded'],
  ])('after which %i are refunded and %i outside of 100 tells %s', (refundedFen, outsideFen, type) => {
    const told = tellChange(refund('succeeded'), order({ refundedFen, outsideFen }), 'accepted', 0);
    expect(told.at(-1)?.type).toBe(type);
  });

  it('to accepted is told once', () => {
    const of = refund('accepted');
    expect(tellChange(of, order({}), 'submitting', 0)).toHaveLength(1);
    expect(of.toldOnce).toEqual(['refund.processing']);
    expect(tellChange(of, order({}), 'abnormal', 0)).toHaveLength(0);
    expect(of.eventSequence).toBe(3);
  });

  it('that leaves the state as it was tells nothing, an incident neither', () => {
    expect(tellChange(refund('succeeded'), order({}), 'succeeded', 0)).toEqual([]);
    // One that was made in the merchant platform is accepted from the beginning; it is still to be told once it comes back to it.
    const external = refund('accepted');
    expect(tellChange(external, order({}), 'accepted', 0)).toEqual([]);
    expect(tellChange(external, order({}), 'mismatch', 0).map(({ type }) => type)).toEqual(['refund.processing']);
  });
});
