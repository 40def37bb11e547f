import fc from 'fast-check';
import type { ShownRefund, ShownStatus } from '../../../src/refunds/refund-gateway.port.js';
import type { QueryFault, SendFault } from '../../support/little-wechat.js';
import type { Order } from '../../support/refund-domain.js';
import { command } from './command.js';
import type { World } from './world.js';

const SEND_FAULTS: readonly SendFault[] = [
  'not_sent',
  'lost_before',
  'lost_before',
  'lost_after',
  'lingers',
  'lingers',
  'answer_held',
  'refusal_held',
  'swapped',
  'swapped',
  'later',
  'too_much',
  'configuration',
  'refused',
];
const QUERY_FAULTS: readonly QueryFault[] = ['no_answer', 'lags', 'swapped'];

/** How often in a row, where that is not left to chance. */
const TIMES: Readonly<Partial<Record<SendFault, number>>> = { answer_held: 1, refusal_held: 2, swapped: 1 };

/** What this WeChat holds in one of these states. */
function heldIn(world: World, ...states: readonly ShownStatus[]): ShownRefund[] {
  return [...world.wechat.holds.values()].filter(({ status }) => states.includes(status));
}

const sendFault = fc
  .record({ fault: fc.constantFrom(...SEND_FAULTS), times: fc.constantFrom(1, 1, 2, 3, 12) })
  .map((detail) =>
    command('sendFault', detail, {
      run(_ledger, world) {
        world.wechat.sendFault = { fault: detail.fault, times: TIMES[detail.fault] ?? detail.times };
        return Promise.resolve();
      },
    }),
  );

const queryFault = fc
  .record({ fault: fc.constantFrom(...QUERY_FAULTS), times: fc.constantFrom(1, 2, 5) })
  .map((detail) =>
    command('queryFault', detail, {
      run(_ledger, world) {
        world.wechat.queryFault = { ...detail };
        return Promise.resolve();
      },
    }),
  );

const faultsOff = fc.constant(null).map(() =>
  command('faultsOff', null, {
    run(_ledger, world) {
      const { wechat } = world;
      if (wechat.sendFault ?? wechat.queryFault) world.did('a fault was switched off');
      wechat.sendFault = null;
      wechat.queryFault = null;
      return Promise.resolve();
    },
  }),
);

const finish = fc
  .record({ which: fc.nat(), status: fc.constantFrom('succeeded', 'succeeded', 'abnormal', 'abnormal', 'closed') })
  .map(({ which, status }) =>
    command(
      'finish',
      { which, status },
      {
        can: ({ world }) => heldIn(world, 'accepted', 'abnormal').length > 0,
        run(_ledger, world) {
          const open = heldIn(world, 'accepted', 'abnormal');
          const shown = open[which % open.length];
          if (shown && shown.status !== status) {
            world.wechat.finish(shown.outRefundNo, status);
            world.did(`WeChat showed a refund as ${status}`);
          }
          return Promise.resolve();
        },
      },
    ),
  );

const lateAnswer = fc.constant(null).map(() =>
  command('lateAnswer', null, {
    can: ({ world }) => world.wechat.heldAnswers.length > 0 || world.wechat.lingering.length > 0,
    run(_ledger, world) {
      const { wechat } = world;
      if (wechat.lingering.length > 0) world.did('a request arrived long after its sender had given up');
      wechat.arrive();
      const answer = wechat.heldAnswers.shift();
      if (answer) world.did('an answer came late');
      answer?.release();
      return Promise.resolve();
    },
  }),
);

const topUp = fc.integer({ min: 1, max: 2000 }).map((fen) =>
  command('topUp', fen, {
    can: ({ world }) => world.wechat.balanceFen !== Infinity,
    run(_ledger, world) {
      world.wechat.balanceFen += fen;
      world.did('the balance was topped up');
      return Promise.resolve();
    },
  }),
);

function shownByHand(
  { mchId, appid, outTradeNo, paidFen }: Order,
  outRefundNo: string,
  { refundFen, status }: Pick<ShownRefund, 'refundFen' | 'status'>,
): ShownRefund {
  return {
    ...{ status, mchId, appid, outTradeNo, transactionId: null, outRefundNo, refundId: `50${outRefundNo}` },
    ...{ refundFen, totalFen: paidFen, userReceivedAccount: null, wechatStatus: status.toUpperCase() },
    succeededAt: status === 'succeeded' ? '2026-01-01T00:00:00+08:00' : null,
  };
}

const byHand = fc
  .record({
    order: fc.nat(1),
    share: fc.integer({ min: 1, max: 60 }),
    status: fc.constantFrom<ShownStatus>('accepted', 'succeeded'),
    takesNumber: fc.boolean(),
    listed: fc.boolean(),
  })
  .map(({ order, share, status, takesNumber, listed }) =>
    command(
      'byHand',
      { order, share, status, takesNumber, listed },
      {
        async run(ledger, world) {
          const { id, paidFen } = world.order(order);
          // Another system of the merchant may use a number that is waiting here.
          const waiting = (await world.facts()).find(
            (fact) => fact.state === 'queued' && !fact.in_doubt && !world.wechat.holds.has(fact.out_refund_no),
          );
          const taken = takesNumber ? waiting : undefined;
          const outRefundNo = taken?.out_refund_no ?? `H${world.newName()}`;
          const refundFen = Math.ceil((paidFen * share) / 100);
          if (taken?.amount_fen === refundFen) return;
          const shown = shownByHand(world.order(order), outRefundNo, { refundFen, status });
          if (!world.wechat.makeByHand(shown)) return;
          world.did(taken === undefined ? 'a refund was made by hand' : 'another system took a number of ours');
          if (taken !== undefined) ledger.contradicted.add(outRefundNo);
          if (listed)
            await world.lane.sql('UPDATE payment_order SET refunds_query_at = tuikuan_now() WHERE id = $1', [id]);
        },
      },
    ),
  );

/** What WeChat does, and what happens on the way to it. */
export const WECHATS = { sendFault, queryFault, faultsOff, finish, lateAnswer, topUp, byHand };
