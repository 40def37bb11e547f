import type { AnyBooking, Booked } from '../../../src/refunds/bookings.js';
import { takeInExternal } from '../../../src/refunds/external-refunds.js';
import type { ShownRefund, ShownStatus } from '../../../src/refunds/refund-gateway.port.js';
import type { RefundState } from '../../../src/refunds/states.js';
import { newUuid } from '../../../src/common/ids.js';
import { type Merchant, type Order, type Refund, RefundDomain } from '../../support/refund-domain.js';

/** What WeChat proves about refunds that have ended here, through the ledger and down to the counters. */
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

/** WeChat's signed word, by an answer to a question. */
async function prove(refund: Refund, status: ShownStatus, change: Partial<ShownRefund> = {}): Promise<Booked> {
  const shown = await domain.shown(refund, { status, ...change });
  const booking: AnyBooking = {
    kind: 'proof',
    refundId: refund.uuid,
    orderId: refund.order.id,
    cause: 'query',
    sourceId: newUuid(),
    shown,
    askedAt: new Date(await domain.nowMs()),
  };
  const [booked] = await domain.database.uow.run((tx) => domain.ledger.book(tx, [booking]));
  if (!booked) throw new Error('a booking is answered');
  return booked;
}

const mark = async (refund: Refund): Promise<boolean> => (await domain.row(refund)).booked_outside;

describe('SUCCESS and CLOSED about one refund', () => {
  it('end succeeded when SUCCESS came first: CLOSED is an incident and moves no money', async () => {
    const order = await domain.order(merchant);
    const refund = await domain.plant(order, 'accepted');
    expect(await prove(refund, 'succeeded')).toMatchObject({ result: 'applied', incidents: [] });
    expect(await prove(refund, 'closed')).toMatchObject({
      from: 'succeeded',
      to: 'succeeded',
      incidents: ['contradicts_final'],
    });
    expect(await domain.row(refund)).toMatchObject({ state: 'succeeded' });
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 300, outside: 0, count: 1 });
    expect((await domain.events(refund)).at(-1)).toMatchObject({
      from_state: 'succeeded',
      to_state: 'succeeded',
      incident: 'contradicts_final',
    });
  });

  it('end succeeded when CLOSED came first: SUCCESS takes the room back, with an incident', async () => {
    const order = await domain.order(merchant);
    const refund = await domain.plant(order, 'accepted');
    expect(await prove(refund, 'closed')).toMatchObject({ result: 'applied', incidents: [] });
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 0, outside: 0, count: 0 });
    expect(await prove(refund, 'succeeded')).toMatchObject({ to: 'succeeded', incidents: ['late_truth'] });
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 300, outside: 0, count: 1 });
    expect((await domain.events(refund)).at(-1)).toMatchObject({ from_state: 'closed', incident: 'late_truth' });
  });
});

describe.each<RefundState>(['closed', 'rejected', 'canceled'])('late truth about a refund that is %s', (state) => {
  const proofs: readonly ShownStatus[] = state === 'closed' ? ['succeeded'] : ['accepted', 'abnormal', 'succeeded'];

  it.each(proofs)('and that WeChat shows %s counts inside its order, where that has room', async (status) => {
    const order = await domain.order(merchant);
    await domain.plant(order, 'accepted', 700);
    const refund = await domain.plant(order, state, 300);
    expect(await prove(refund, status)).toMatchObject({ from: state, to: status, incidents: ['late_truth'] });
    expect(await mark(refund)).toBe(false);
    expect(await domain.counters(order)).toEqual(
      status === 'succeeded'
        ? { reserved: 700, refunded: 300, outside: 0, count: 2 }
        : { reserved: 1000, refunded: 0, outside: 0, count: 2 },
    );
  });

  it.each(proofs)('and that WeChat shows %s is booked outside, where the order lacks a single fen', async (status) => {
    const order = await domain.order(merchant);
    await domain.plant(order, 'accepted', 701);
    const refund = await domain.plant(order, state, 300);
    expect(await prove(refund, status)).toMatchObject({
      from: state,
      to: status,
      incidents: ['late_truth', 'more_than_paid'],
    });
    expect(await mark(refund)).toBe(true);
    expect(await domain.counters(order)).toEqual({ reserved: 701, refunded: 0, outside: 300, count: 1 });
    const event = (await domain.events(refund)).at(-1);
    expect(event).toMatchObject({ incident: 'late_truth', detail: { incidents: ['late_truth', 'more_than_paid'] } });
  });
});

describe('what was booked outside', () => {
  it.each<RefundState>(['rejected', 'canceled'])(
    'drops its mark when it is closed after all, and what it held is free again (it was %s)',
    async (state) => {
      const order = await domain.order(merchant);
      await domain.plant(order, 'accepted', 1000);
      const refund = await domain.plant(order, state, 300);
      await prove(refund, 'accepted');
      expect([await mark(refund), (await domain.counters(order)).outside]).toEqual([true, 300]);
      await prove(refund, 'closed');
      expect(await domain.row(refund)).toMatchObject({ state: 'closed', booked_outside: false });
      expect(await domain.counters(order)).toEqual({ reserved: 1000, refunded: 0, outside: 0, count: 1 });
    },
  );

  it('and has succeeded stays so and outside, whatever comes later', async () => {
    const order = await domain.order(merchant);
    await domain.plant(order, 'accepted', 1000);
    const refund = await domain.plant(order, 'closed', 300);
    await prove(refund, 'succeeded');
    await prove(refund, 'closed');
    expect(await domain.row(refund)).toMatchObject({ state: 'succeeded', booked_outside: true });
    expect(await domain.counters(order)).toEqual({ reserved: 1000, refunded: 0, outside: 300, count: 1 });
  });

  it('stays outside from step to step, also when the order has room again meanwhile', async () => {
    const order = await domain.order(merchant);
    const filler = await domain.plant(order, 'accepted', 1000);
    const refund = await domain.plant(order, 'rejected', 300);
    await prove(refund, 'accepted');
    await prove(filler, 'closed');
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 0, outside: 300, count: 0 });
    await prove(refund, 'succeeded');
    expect(await mark(refund)).toBe(true);
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 0, outside: 300, count: 0 });
    await expect(domain.refund(order, 701)).rejects.toMatchObject({ code: 'amount_exceeds_refundable' });
  });

  it('and closed comes back inside when WeChat shows it once more and there is room by then', async () => {
    const order = await domain.order(merchant);
    const filler = await domain.plant(order, 'accepted', 1000);
    const refund = await domain.plant(order, 'rejected', 300);
    await prove(refund, 'accepted');
    await prove(refund, 'closed');
    await prove(filler, 'closed');
    expect(await prove(refund, 'succeeded')).toMatchObject({ from: 'closed', incidents: ['late_truth'] });
    expect(await mark(refund)).toBe(false);
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 300, outside: 0, count: 1 });
  });

  it('is the fifty-first refund of an order that has money left', async () => {
    const order = await domain.order(merchant);
    const refund = await domain.plant(order, 'rejected', 300);
    for (let n = 0; n < 50; n += 1) await domain.plant(order, 'accepted', 1);
    expect(await prove(refund, 'succeeded')).toMatchObject({ incidents: ['late_truth'] });
    expect(await domain.counters(order)).toEqual({ reserved: 50, refunded: 0, outside: 300, count: 50 });
  });
});

describe('a refund made in the merchant platform', () => {
  async function external(order: Order, amountFen: number, status: ShownStatus = 'succeeded') {
    const { mchId, appid, outTradeNo, paidFen } = order;
    const outRefundNo = `V${newUuid().replaceAll('-', '')}`;
    const shown: ShownRefund = {
      status,
      mchId,
      appid,
      outTradeNo,
      transactionId: null,
      outRefundNo,
      refundId: `50${outRefundNo}`,
      refundFen: amountFen,
      totalFen: paidFen,
      userReceivedAccount: null,
      succeededAt: status === 'succeeded' ? '2026-01-01T00:00:00+08:00' : null,
      wechatStatus: status.toUpperCase(),
    };
    const taken = await domain.database.uow.run((tx) =>
      takeInExternal(tx, shown, { callId: newUuid(), apiVersion: 'v2' }),
    );
    const [row] = await domain.sql<{ id: string }>('SELECT id FROM refund WHERE mch_id = $1 AND out_refund_no = $2', [
      mchId,
      outRefundNo,
    ]);
    return { taken, refund: { id: '', uuid: row?.id ?? '', outRefundNo, order } };
  }

  it('by which more than was paid has moved is an incident, told by its event; to the fen it is none', async () => {
    const order = await domain.order(merchant);
    await domain.plant(order, 'accepted', 400);
    const fits = await external(order, 600);
    expect(fits.taken).toMatchObject({ result: 'applied', incidents: [] });
    const tooMuch = await external(order, 1);
    expect(tooMuch.taken).toMatchObject({ result: 'applied', incidents: ['more_than_paid'] });
    expect(await domain.incidents(fits.refund)).toEqual([]);
    expect(await domain.incidents(tooMuch.refund)).toEqual(['more_than_paid']);
    expect(await domain.counters(order)).toEqual({ reserved: 400, refunded: 0, outside: 601, count: 1 });
    await expect(domain.refund(order, 1)).rejects.toMatchObject({ code: 'amount_exceeds_refundable' });
  });

  it.each([
    ['abnormal', 'payer_account_abnormal'],
    ['closed', 'closed_by_wechat'],
    ['succeeded', null],
  ] as const)('and first seen as %s carries the reason a person reads: %s', async (status, reason) => {
    const { refund } = await external(await domain.order(merchant), 600, status);
    expect(await domain.row(refund)).toMatchObject({ state: status, failure_code: reason });
  });

  it('gives its room back when WeChat closes it, and takes it again outside when it succeeds after all', async () => {
    const order = await domain.order(merchant);
    const { refund } = await external(order, 600, 'accepted');
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 0, outside: 600, count: 0 });
    await prove(refund, 'closed');
    expect(await mark(refund)).toBe(false);
    expect(await domain.counters(order)).toEqual({ reserved: 0, refunded: 0, outside: 0, count: 0 });
    await domain.plant(order, 'accepted', 500);
    expect(await prove(refund, 'succeeded')).toMatchObject({ incidents: ['late_truth', 'more_than_paid'] });
    expect(await domain.counters(order)).toEqual({ reserved: 500, refunded: 0, outside: 600, count: 1 });
  });
});
