import fc from 'fast-check';
import type { ShownRefund } from '../../../src/refunds/refund-gateway.port.js';
import type { WechatNotice } from '../../support/little-wechat.js';
import { command, violated } from './command.js';
import type { Ledger } from './ledger.js';
import type { Heard, World } from './world.js';

/** Notices that came in, for another delivery. */
const delivered = new WeakMap<World, WechatNotice[]>();
const deliveredTo = (world: World): WechatNotice[] => {
  const known = delivered.get(world) ?? [];
  delivered.set(world, known);
  return known;
};

let forgeries = 0;

/** The text a notice was sealed around, which is read again when WeChat is asked about a number that is not ours. */
function textOf(
  { outRefundNo, outTradeNo, refundId, refundFen, totalFen }: ShownRefund,
  status: string,
  isV3: boolean,
): string {
  const number = outRefundNo.replaceAll(/[^0-9A-Za-z]/g, '').slice(0, 30);
  const ids = { transaction_id: '4200000001', out_trade_no: outTradeNo, out_refund_no: outRefundNo };
  const refund_id = refundId?.slice(0, 32).replaceAll(/[^0-9A-Za-z]/g, '') ?? number;
  if (isV3)
    return JSON.stringify({
      mchid: '1900000000',
      ...ids,
      refund_id,
      refund_status: status,
      amount: { total: totalFen, refund: refundFen },
    });
  const fields = { ...ids, refund_id, refund_status: status, total_fee: totalFen, refund_fee: refundFen };
  return `<root>${Object.entries(fields)
    .map(([name, value]) => `<${name}>${value}</${name}>`)
    .join('')}</root>`;
}

const WORDS = {
  v2: { accepted: 'PROCESSING', succeeded: 'SUCCESS', closed: 'REFUNDCLOSE', abnormal: 'CHANGE' },
  v3: { accepted: 'PROCESSING', succeeded: 'SUCCESS', closed: 'CLOSED', abnormal: 'ABNORMAL' },
} as const;

/** A notice that the door has opened comes in at an instance. */
export async function deliver(
  world: World,
  { key, shown }: WechatNotice,
  { via = 0, version = world.setting.version }: { via?: number; version?: 'v2' | 'v3' } = {},
): Promise<Heard<void>> {
  const instance = world.reached(via);
  const account = await world.call(instance, () => instance.domain.directory.byMchId(world.merchant.mchId));
  if (account.kind !== 'answer' || account.answer === null) return { kind: 'nothing' };
  const text = textOf(shown, WORDS[version][shown.status], version === 'v3');
  const notice = { kind: 'refund', account: account.answer, version, text, dedupeKey: key } as const;
  return world.call(instance, () =>
    instance.domain.notifications.receive({ ...notice, shown: version === 'v3' ? { ...shown, appid: null } : shown }),
  );
}

/** Takes a notice off WeChat's list once it is acknowledged; WeChat sends it again otherwise. */
async function deliverPending(world: World, place: number, vias: readonly number[]): Promise<void> {
  const { notices } = world.wechat;
  const notice = notices[place % notices.length];
  if (!notice) return;
  const heard = await Promise.all(vias.map((via) => deliver(world, notice, { via })));
  if (!heard.some(({ kind }) => kind === 'answer')) return;
  notices.splice(notices.indexOf(notice), 1);
  deliveredTo(world).push(notice);
}

const hasPending = ({ world }: Ledger): boolean => world.wechat.notices.length > 0;

const good = fc.nat(1).map((via) =>
  command(
    'notice',
    { via },
    {
      can: hasPending,
      async run(_ledger, world) {
        await deliverPending(world, 0, [via]);
        world.did('a notice came');
      },
    },
  ),
);

const doubled = fc.constant(null).map(() =>
  command('noticeDoubled', null, {
    can: hasPending,
    async run(_ledger, world) {
      const [notice] = world.wechat.notices;
      await deliverPending(world, 0, [0, 1, 0]);
      const rows = await world.lane.sql('SELECT 1 FROM notification WHERE mch_id = $1 AND dedupe_key = $2', [
        world.merchant.mchId,
        notice?.key,
      ]);
      violated(rows.length > 1, 'one notice has several rows');
      world.did('a notice came three times at once');
    },
  }),
);

const reordered = fc.nat(1).map((via) =>
  command(
    'noticeReordered',
    { via },
    {
      can: ({ world }) => world.wechat.notices.length > 1,
      async run(_ledger, world) {
        await deliverPending(world, world.wechat.notices.length - 1, [via]);
        world.did('a later notice came before an earlier one');
      },
    },
  ),
);

const late = fc.record({ which: fc.nat(), anew: fc.boolean() }).map(({ which, anew }) =>
  command(
    'noticeLate',
    { which, anew },
    {
      can: ({ world }) => deliveredTo(world).length > 0,
      async run(_ledger, world) {
        const known = deliveredTo(world);
        const notice = known[which % known.length];
        if (!notice) return;
        const key = anew ? `${notice.key}-again${(forgeries += 1)}` : notice.key;
        await deliver(world, { ...notice, key });
        world.did(anew ? 'an old notice came under a new id' : 'an old notice came again');
      },
    },
  ),
);

const forged = fc
  .record({ which: fc.nat(), lie: fc.constantFrom('succeeded', 'closed', 'amount', 'order') })
  .map(({ which, lie }) =>
    command(
      'noticeForged',
      { which, lie },
      {
        // What is not signed may be spliced; only an operator who chose `apply` takes it at its word.
        can: (ledger) => ledger.known(which) !== null && !appliesUnsigned(ledger.world),
        async run(ledger, world) {
          const wish = ledger.known(which);
          const before = (await world.facts()).find(({ out_refund_no: number }) => number === wish?.outRefundNo);
          if (!wish || !before) return;
          const { mchId, appid, outTradeNo, paidFen } = world.order(lie === 'order' ? wish.order + 1 : wish.order);
          const status = lie === 'closed' ? 'closed' : 'succeeded';
          const shown: ShownRefund = {
            ...{ status, mchId, appid, outTradeNo, transactionId: null, outRefundNo: wish.outRefundNo, refundId: null },
            ...{ refundFen: before.amount_fen + (lie === 'amount' ? 1 : 0), totalFen: paidFen, succeededAt: null },
            ...{ userReceivedAccount: null, wechatStatus: status.toUpperCase() },
          };
          await deliver(world, { key: `forged${(forgeries += 1)}`, shown }, { version: 'v2' });
          world.did('a forged notice came');
        },
      },
    ),
  );

/** A V2 notice of a refund that went out over v2 is booked unseen only where the operator chose so. */
function appliesUnsigned({ setting }: World): boolean {
  return setting.version === 'v2' && setting.notify === 'apply';
}

const contradicting = fc.record({ which: fc.nat(), via: fc.nat(1) }).map(({ which, via }) =>
  command(
    'noticeContradicting',
    { which, via },
    {
      can: ({ world }) => world.wechat.holds.size > 0,
      async run(ledger, world) {
        const held = [...world.wechat.holds.values()];
        const shown = held[which % held.length];
        if (!shown) return;
        const status = shown.status === 'succeeded' ? 'closed' : 'succeeded';
        const isSigned = world.setting.version === 'v3' || world.setting.notify === 'apply';
        if (isSigned) ledger.contradicted.add(shown.outRefundNo);
        const wechatStatus = status.toUpperCase();
        const key = `contradicts${(forgeries += 1)}`;
        await deliver(world, { key, shown: { ...shown, status, wechatStatus, succeededAt: null } }, { via });
        const known = (await world.facts()).some((fact) => fact.out_refund_no === shown.outRefundNo);
        if (known) world.did(`WeChat said ${status} of a refund that is ${shown.status}`);
      },
    },
  ),
);

/** How notices come. */
export const NOTICES = { good, doubled, reordered, late, forged, contradicting };
