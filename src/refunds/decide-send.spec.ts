import { at, before, moved, NO_LEASE, notFound, NOW, order, refund, sent } from '../../test/support/locked-rows.js';
import type { AnyBooking, LockedRefund, RefundFields, SendBooking } from './bookings.js';
import { decide } from './decide.js';
import type { RefundState } from './states.js';

/** Whole results, so that nothing is set that is not named here. */
type Fields = Partial<RefundFields>;
const answered = (attempts: number, failureCode: string): Fields => ({
  attempts,
  notSentCount: 0,
  firstSentAt: before(60),
  failureWechatCode: 'CODE',
  failureMessage: 'why',
  failureCode,
});
const said = (outcome: SendBooking['outcome'], change: Partial<SendBooking> = {}): AnyBooking =>
  sent(outcome, { message: 'why', ...change });
const DETAIL = (outcome: string): object => ({ outcome, code: 'CODE' });

describe('the whole of what a send without proof does', () => {
  it.each<[SendBooking['outcome'], Fields, string | null]>([
    ['later', moved('queued', { ...answered(1, 'wechat_busy'), inDoubtSince: null, nextAttemptAt: at(60) }), null],
    [
      'balance',
      moved('insufficient_balance', {
        ...answered(0, 'insufficient_balance'),
        inDoubtSince: null,
        nextAttemptAt: at(3600),
      }),
      null,
    ],
    ['configuration', moved('blocked', { ...answered(0, 'configuration'), inDoubtSince: null }), null],
    [
      'refused',
      moved('rejected', { ...answered(0, 'refused_by_wechat'), inDoubtSince: null, nextQueryAt: at(3600) }),
      null,
    ],
    ['differs', moved('mismatch', { ...answered(0, 'mismatch'), inDoubtSince: null, nextQueryAt: NOW }), 'mismatch'],
    [
      'unknown',
      moved('outcome_unknown', { ...answered(1, 'outcome_unknown'), inDoubtSince: before(1), nextQueryAt: at(10) }),
      null,
    ],
  ])('%s', (outcome, fields, incident) => {
    expect(decide(refund('submitting'), order(), said(outcome), NOW)).toEqual({
      result: 'applied',
      fields,
      event: { incident, detail: DETAIL(outcome) },
    });
  });

  it('not_sent frees the spacing of the order and forgets that it was sent', () => {
    expect(decide(refund('submitting', { notSentCount: 1 }), order(), said('not_sent'), NOW)).toEqual({
      result: 'applied',
      fields: moved('queued', {
        inDoubtSince: null,
        firstSentAt: null,
        nextAttemptAt: at(60),
        notSentCount: 2,
        failureWechatCode: 'CODE',
        failureMessage: 'why',
        failureCode: 'not_sent',
      }),
      event: { incident: null, detail: DETAIL('not_sent') },
      freesSpacing: true,
    });
  });

  it('not_sent after an earlier send keeps its time, and its doubt is asked about', () => {
    const change = decide(
      refund('submitting'),
      order(),
      said('not_sent', { firstSend: false, inDoubtBefore: before(500) }),
      NOW,
    );
    expect(change.fields).toMatchObject({ firstSentAt: before(60), inDoubtSince: before(500), nextQueryAt: at(10) });
  });

  it.each<[string, Partial<SendBooking>, Date | null]>([
    ['first send that was written', { written: true, firstSend: true }, before(60)],
    ['first send of which nothing was written', { written: false, firstSend: true }, null],
    ['later send of which nothing was written', { written: false, firstSend: false }, before(60)],
    ['later send that was written', { written: true, firstSend: false }, before(60)],
  ])('a %s', (_, change, firstSentAt) => {
    expect(decide(refund('submitting'), order(), said('later', change), NOW).fields.firstSentAt).toEqual(firstSentAt);
  });

  it.each<[string | null, string | null]>([
    ['NOTENOUGH', 'NOTENOUGH'],
    ['bad_sign', null],
    ['http_500 X', null],
    [null, null],
  ])('the code %s is WeChat’s code %s, and stands in the history if there is one', (code, wechatCode) => {
    const change = decide(refund('submitting'), order(), said('unknown', { code }), NOW);
    expect(change.fields.failureWechatCode).toBe(wechatCode);
    expect(change.event?.detail).toEqual(code === null ? { outcome: 'unknown' } : { outcome: 'unknown', code });
  });

  it('the tenth "later" blocks, told as an incident with its reason; the ninth does not', () => {
    expect(decide(refund('submitting', { attempts: 8 }), order(), said('later'), NOW).fields.state).toBe('queued');
    expect(decide(refund('submitting', { attempts: 9 }), order(), said('later'), NOW)).toEqual({
      result: 'applied',
      fields: moved('blocked', { ...answered(10, 'too_many_attempts'), inDoubtSince: null }),
      event: { incident: 'too_many_attempts', detail: DETAIL('later') },
    });
    expect(decide(refund('submitting', { attempts: 10 }), order(), said('refused'), NOW).fields.state).toBe('rejected');
  });

  it('the ninth unknown is no incident, the tenth is', () => {
    const incident = (attempts: number): unknown =>
      decide(refund('submitting', { attempts }), order(), said('unknown'), NOW).event?.incident;
    expect([incident(8), incident(9)]).toEqual([null, 'too_many_attempts']);
  });
});

describe('the whole of what a query without proof does', () => {
  const held = (state: RefundState, change: Partial<LockedRefund> = {}): LockedRefund =>
    refund(state, { leaseToken: 'call', leaseUntil: at(10), ...change });
  const silent = (planned: boolean): AnyBooking => ({ ...notFound(), found: null, planned }) as AnyBooking;

  it('"not found" sends an unknown refund again', () => {
    expect(
      decide(held('outcome_unknown', { inDoubtSince: before(60) }), order({ nextSendAt: before(5) }), notFound(), NOW),
    ).toEqual({
      result: 'applied',
      fields: moved('queued', { inDoubtSince: before(60), nextAttemptAt: NOW, nextQueryAt: at(10) }),
      event: { incident: null, detail: { found: false } },
    });
  });

  it('"not found" that ends the doubt of a tired refund blocks it', () => {
    expect(decide(held('outcome_unknown', { attempts: 10, inDoubtSince: null }), order(), notFound(), NOW)).toEqual({
      result: 'applied',
      fields: moved('blocked', { inDoubtSince: null, failureCode: 'too_many_attempts' }),
      event: { incident: 'too_many_attempts', detail: { found: false } },
    });
  });

  it.each<[RefundState, Partial<LockedRefund>, Fields]>([
    ['accepted', {}, {}],
    ['abnormal', {}, {}],
    ['mismatch', {}, {}],
    ['rejected', { queryStep: 1 }, {}],
    ['canceled', { queryStep: 1 }, {}],
    ['rejected', { queryStep: 2 }, { nextQueryAt: null }],
    ['canceled', { queryStep: 3 }, { nextQueryAt: null }],
    ['queued', { inDoubtSince: before(60) }, {}],
    ['queued', { inDoubtSince: null }, { nextQueryAt: null }],
    ['blocked', { inDoubtSince: before(60) }, { nextQueryAt: null }],
    ['succeeded', {}, { nextQueryAt: null }],
    ['closed', {}, { nextQueryAt: null }],
  ])('"not found" gives the lease of a refund that is %s back (%p)', (state, change, more) => {
    const { inDoubtSince = null } = change;
    expect(decide(held(state, change), order(), notFound(), NOW)).toEqual({
      result: 'applied',
      fields: { ...NO_LEASE, ...more, inDoubtSince },
      event: null,
    });
  });

  it('"not found" is an incident only for what WeChat accepted a day ago', () => {
    const incident = (state: RefundState, seconds: number): unknown =>
      decide(held(state, { stateSince: before(seconds) }), order(), notFound(), NOW).event;
    expect(incident('accepted', 86_400)).toEqual({ incident: 'accepted_not_found', detail: { found: false } });
    expect([incident('accepted', 86_399), incident('abnormal', 86_400)]).toEqual([null, null]);
  });

  it.each<[RefundState, boolean, number, Fields]>([
    ['rejected', true, 1, { nextQueryAt: at(300), queryStep: 0 }],
    ['canceled', true, 2, { nextQueryAt: at(300), queryStep: 1 }],
    ['rejected', true, 0, { nextQueryAt: at(300), queryStep: 0 }],
    ['rejected', false, 1, {}],
    ['accepted', true, 1, {}],
  ])('no answer about a refund that is %s (planned %p, step %i) is made up for', (state, planned, queryStep, more) => {
    expect(decide(held(state, { queryStep }), order(), silent(planned), NOW)).toEqual({
      result: 'applied',
      fields: { ...NO_LEASE, ...more },
      event: null,
    });
  });
});
