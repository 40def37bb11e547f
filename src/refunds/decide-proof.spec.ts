import {
  at,
  before,
  booking,
  moved,
  NO_FAILURE,
  NO_LEASE,
  NOW,
  order,
  refund,
  shown,
} from '../../test/support/locked-rows.js';
import type { AnyBooking, LockedRefund, RefundFields } from './bookings.js';
import { decide } from './decide.js';
import { differences } from './decide-proof.js';
import type { ShownRefund, ShownStatus } from './refund-gateway.port.js';
import { REFUND_STATE_NAMES, type RefundState } from './states.js';

const proof = (change: Partial<ShownRefund>, more: object = {}): AnyBooking => ({
  ...booking,
  kind: 'proof',
  cause: 'notice',
  sourceId: 'notice',
  shown: shown(change),
  askedAt: null,
  ...more,
});
const query = (change: Partial<ShownRefund>): AnyBooking =>
  proof(change, { cause: 'query', sourceId: 'call', askedAt: NOW });
const wake = (change: Partial<ShownRefund>): AnyBooking => ({
  ...booking,
  kind: 'wake',
  cause: 'notice',
  shown: shown(change),
});

const LEARNED = { inDoubtSince: null, refundId: '50', userReceivedAccount: null };
const learned = (state: RefundState, more: Partial<RefundFields>): Partial<RefundFields> =>
  moved(state, { ...LEARNED, ...more });
const failed = (failureCode: string): object => ({ failureCode, failureWechatCode: 'WORD', failureMessage: null });

describe('the whole of what WeChat’s word does', () => {
  it.each<[ShownStatus, Partial<RefundFields>]>([
    ['accepted', learned('accepted', { ...NO_FAILURE, nextQueryAt: at(10) })],
    ['succeeded', learned('succeeded', { ...NO_FAILURE, succeededAt: '2026-01-01T00:00:00+08:00' })],
    ['abnormal', learned('abnormal', { ...failed('payer_account_abnormal'), nextQueryAt: at(10) })],
    ['closed', learned('closed', failed('closed_by_wechat'))],
  ])('%s moves a refund that was sent', (status, fields) => {
    const said = { status, wechatStatus: 'WORD', succeededAt: '2026-01-01T00:00:00+08:00' };
    expect(decide(refund('outcome_unknown'), order(), proof(said), NOW)).toEqual({
      result: 'applied',
      fields,
      event: { incident: null, detail: { wechat_status: 'WORD' } },
    });
  });

  it('that comes late to released money is an incident, unless it releases it too', () => {
    const incident = (state: RefundState, status: ShownStatus): unknown =>
      decide(refund(state), order(), proof({ status }), NOW).event?.incident;
    expect([
      incident('rejected', 'succeeded'),
      incident('canceled', 'accepted'),
      incident('closed', 'succeeded'),
    ]).toEqual(Array(3).fill('late_truth'));
    expect([incident('accepted', 'succeeded'), incident('accepted', 'closed')]).toEqual([null, null]);
  });

  it('that we know already teaches its ids and nothing else', () => {
    const known = refund('succeeded', { refundId: null, userReceivedAccount: '零钱' });
    expect(decide(known, order(), proof({ status: 'succeeded' }), NOW)).toEqual({
      result: 'repeat',
      fields: { ...LEARNED, userReceivedAccount: '零钱' },
      event: null,
    });
    const without = proof({ status: 'succeeded', refundId: null, userReceivedAccount: '银行卡' });
    expect(decide(refund('succeeded', { refundId: '50' }), order(), without, NOW).fields).toEqual({
      ...LEARNED,
      userReceivedAccount: '银行卡',
    });
  });

  it('that contradicts an end is an incident and changes nothing', () => {
    expect(decide(refund('succeeded'), order(), proof({ status: 'closed', wechatStatus: 'CLOSED' }), NOW)).toEqual({
      result: 'repeat',
      fields: LEARNED,
      event: { incident: 'contradicts_final', detail: { wechat_status: 'CLOSED' } },
    });
    expect(decide(refund('closed'), order(), proof({ status: 'closed' }), NOW).event).toBeNull();
  });

  it('takes the lease of its own question back, and of no other', () => {
    const leased = refund('accepted', { leaseToken: 'call', leaseUntil: at(9) });
    expect(decide(leased, order(), query({ status: 'accepted' }), NOW).fields).toEqual({ ...LEARNED, ...NO_LEASE });
    expect(decide(leased, order(), proof({ status: 'accepted' }), NOW).fields).toEqual(LEARNED);
  });

  it.each<[RefundState, ShownStatus, boolean, number?]>([
    ['succeeded', 'succeeded', true],
    ['closed', 'closed', true],
    ['accepted', 'accepted', false],
    ['rejected', 'closed', false],
    ['rejected', 'closed', true, 2],
  ])('about a refund that is %s ends the questions about it or not', (state, status, ends, queryStep = 1) => {
    const known = refund(state, { queryStep });
    const { fields } = decide(known, order(), query({ status }), NOW);
    expect('nextQueryAt' in fields).toBe(ends);
    expect('nextQueryAt' in decide(known, order(), proof({ status }), NOW).fields).toBe(false);
  });

  it('counts as asked after a state only when it was asked after that was booked', () => {
    const abnormal = refund('abnormal', { stateSince: before(60) });
    const state = (askedAt: Date | null): unknown =>
      decide(abnormal, order(), proof({ status: 'accepted' }, { cause: 'query', askedAt }), NOW).fields.state;
    expect([state(null), state(before(60)), state(before(59))]).toEqual([undefined, undefined, 'accepted']);
  });
});

describe('a refund that WeChat has been working on for three days', () => {
  const DAYS = 259_200;
  const incident = (of: LockedRefund, what: AnyBooking): unknown => decide(of, order(), what, NOW).event;
  const old = refund('accepted', { stateSince: before(DAYS) });

  it('is an incident with every answer to a question that shows it so', () => {
    expect(incident(old, query({ status: 'accepted', wechatStatus: 'PROCESSING' }))).toEqual({
      incident: 'accepted_for_days',
      detail: { wechat_status: 'PROCESSING' },
    });
  });

  it('is none a second earlier, in a notice, or in another state', () => {
    expect(incident(refund('accepted', { stateSince: before(DAYS - 1) }), query({ status: 'accepted' }))).toBeNull();
    expect(incident(old, proof({ status: 'accepted' }))).toBeNull();
    expect(incident(refund('succeeded', { stateSince: before(DAYS) }), query({ status: 'accepted' }))).toBeNull();
    expect(incident(refund('succeeded', { stateSince: before(DAYS) }), query({ status: 'succeeded' }))).toBeNull();
    expect(incident(refund('closed', { stateSince: before(DAYS) }), query({ status: 'closed' }))).toBeNull();
  });
});

describe('what differs', () => {
  it.each<[string, keyof ShownRefund, unknown]>([
    ['mch_id', 'mchId', '1900000002'],
    ['appid', 'appid', 'wx2'],
    ['out_trade_no', 'outTradeNo', 'T000002'],
    ['transaction_id', 'transactionId', '43'],
    ['out_refund_no', 'outRefundNo', 'R2'],
    ['refund_id', 'refundId', '51'],
    ['refund_fee', 'refundFen', 299],
    ['total_fee', 'totalFen', 999],
  ])('is named: %s', (name, field, value) => {
    const ours = refund('accepted', { refundId: '50' });
    expect(differences(ours, order(), shown({ [field]: value }))).toEqual([name]);
    expect(differences(ours, order(), shown())).toEqual([]);
  });

  it('is nothing that one of us does not know', () => {
    expect(
      differences(refund('accepted', { refundId: null }), order({ transactionId: null }), shown({ appid: null })),
    ).toEqual([]);
    expect(differences(refund('accepted', { refundId: '50' }), order(), shown({ refundId: null }))).toEqual([]);
  });

  it('is told whole: the state, the failure and the history', () => {
    const said = { refundFen: 1, totalFen: 2, wechatStatus: 'WORD' };
    expect(decide(refund('accepted'), order(), proof(said), NOW)).toEqual({
      result: 'refused',
      reason: 'differs: refund_fee, total_fee',
      fields: {
        state: 'mismatch',
        stateSince: NOW,
        nextAttemptAt: null,
        ...NO_LEASE,
        nextQueryAt: NOW,
        queryStep: 0,
        inDoubtSince: NOW,
        failureCode: 'mismatch',
        failureWechatCode: null,
        failureMessage: 'differs: refund_fee, total_fee',
      },
      event: { incident: 'mismatch', detail: { wechat_status: 'WORD', differing: ['refund_fee', 'total_fee'] } },
    });
  });

  it.each(REFUND_STATE_NAMES.filter((state) => ['succeeded', 'closed', 'rejected', 'canceled'].includes(state)))(
    'after %s is an incident that changes nothing but the lease and the doubt of its own question',
    (state) => {
      const of = refund(state, { leaseToken: 'call', leaseUntil: at(9), inDoubtSince: before(5) });
      const change = decide(of, order(), query({ refundFen: 1 }), NOW);
      const ends = state === 'succeeded' || state === 'closed';
      expect(change).toMatchObject({ result: 'refused', event: { incident: 'mismatch_after_final' } });
      expect(change.fields).toEqual({ ...NO_LEASE, inDoubtSince: null, ...(ends && { nextQueryAt: null }) });
      expect(decide(of, order(), proof({ refundFen: 1 }), NOW).fields).toEqual({});
    },
  );

  it('a second time is no news', () => {
    const change = decide(refund('mismatch'), order(), proof({ refundFen: 1 }), NOW);
    expect(change).toEqual({ result: 'refused', reason: 'differs: refund_fee', fields: {}, event: null });
  });

  it('leaves the doubt unless it answers a question about our number', () => {
    const doubtful = refund('outcome_unknown', { inDoubtSince: before(5) });
    const doubt = (what: AnyBooking): unknown => decide(doubtful, order(), what, NOW).fields.inDoubtSince;
    expect(doubt(query({ refundFen: 1 }))).toBeNull();
    expect([
      doubt(proof({ refundFen: 1 })),
      doubt(query({ outRefundNo: 'R2' })),
      doubt(proof({ outRefundNo: 'R2' })),
    ]).toEqual(Array(3).fill(before(5)));
  });
});

describe('the whole of what an unsigned notice does', () => {
  it.each<[string, RefundState, Partial<ShownRefund>, string | undefined]>([
    ['says more than we know', 'accepted', { status: 'succeeded' }, undefined],
    [
      'names other amounts',
      'succeeded',
      { status: 'succeeded', refundFen: 1, totalFen: 2 },
      'differs: refund_fee, total_fee',
    ],
  ])('that %s wakes a question', (_, state, change, reason) => {
    expect(decide(refund(state), order(), wake(change), NOW)).toEqual({
      result: 'applied',
      ...(reason !== undefined && { reason }),
      fields: { nextQueryAt: NOW, queryStep: 0 },
      event: null,
    });
  });

  it('that says what we know is a repeat', () => {
    expect(decide(refund('succeeded'), order(), wake({ status: 'succeeded' }), NOW)).toEqual({
      result: 'repeat',
      fields: {},
      event: null,
    });
  });
});

it('a booking of no known kind is a fault of ours', () => {
  expect(() =>
    decide(refund('queued'), order(), { ...booking, kind: 'other' } as unknown as AnyBooking, NOW),
  ).toThrow();
  expect(() => decide(refund('queued'), order(), proof({ status: 'other' as ShownStatus }), NOW)).toThrow();
});
