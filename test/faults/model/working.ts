import fc from 'fast-check';
import { publicId } from '../../../src/common/ids.js';
import type { RefundRow } from '../../../src/refunds/refund.view.js';
import { ADMIN, type RefundDomain } from '../../support/refund-domain.js';
import { command, violated } from './command.js';
import { type Ledger, roomFen } from './ledger.js';
import type { Heard, RefundFact, World } from './world.js';

const chosen = fc.record({ which: fc.nat(), via: fc.nat(1) });
type Chosen = typeof chosen extends fc.Arbitrary<infer T> ? T : never;

interface Called {
  readonly heard: Heard<RefundRow>;
  readonly before: RefundFact;
  readonly after: RefundFact;
  /** What its order had left before the call. */
  readonly roomFen: number;
}

type Call = (domain: RefundDomain, id: string) => Promise<RefundRow>;

async function factOf(world: World, id: string): Promise<RefundFact> {
  const fact = (await world.facts()).find((one) => publicId('refund', one.id) === id);
  if (!fact) throw new Error(`${id} is gone`);
  return fact;
}

const TURNS_MAX = 4;

/** Lets any lease and the spacing of questions pass, since a caller's question waits for both in real time; false if it cannot. */
async function turn(world: World, id: string): Promise<boolean> {
  for (let turns = 0; turns < TURNS_MAX; turns += 1) {
    const { leased, asked, state } = await factOf(world, id);
    if (!leased && !asked && state !== 'submitting') return true;
    await world.forward(leased ? 61 : 11);
    await world.quiet();
  }
  return false;
}

/** Calls about a refund in one of these states; null when it is in none of them any more. */
async function callAbout(
  ledger: Ledger,
  { which, via }: Chosen,
  call: Call,
  asks: boolean,
): Promise<Called | null> {
  const { world } = ledger;
  const wish = ledger.known(which);
  if (!wish) return null;
  if (asks && !(await turn(world, wish.id))) return null;
  const before = await factOf(world, wish.id);
  const room = roomFen(world, await world.facts(), wish.order);
  const instance = world.reached(via);
  const heard = await world.call(instance, () => call(instance.domain, wish.id));
  return { heard, before, after: await factOf(world, wish.id), roomFen: room };
}

const codeOf = ({ heard }: Called): string | null => (heard.kind === 'refusal' ? heard.code : null);
const anyKnown = (ledger: Ledger): boolean => ledger.known(0) !== null;

const cancel = chosen.map((choice) =>
  command('cancel', choice, {
    can: anyKnown,
    async run(ledger, world) {
      const called = await callAbout(ledger, choice, (domain, id) => domain.actions.cancel(ADMIN, id, undefined), false);
      if (!called) return;
      const { heard, before, after } = called;
      if (heard.kind === 'answer') {
        const { holds, byHand } = world.wechat;
        const isHeld = holds.get(before.out_refund_no)?.status === 'accepted' && !byHand.has(before.out_refund_no);
        violated(isHeld, 'what WeChat has was canceled');
        violated(heard.answer.state !== 'canceled', 'a cancel was answered with another state');
        world.did('a refund was canceled');
      } else if (heard.kind === 'refusal') {
        violated(after.state === 'canceled' && before.state !== 'canceled', 'a refused cancel canceled');
        if (heard.code === 'send_in_doubt') world.did('a cancel was refused in doubt');
      }
    },
  }),
);

const retry = chosen.map((choice) =>
  command('retry', choice, {
    can: anyKnown,
    async run(ledger, world) {
      const wish = ledger.known(choice.which);
      const asks = wish !== null && (await factOf(world, wish.id)).state === 'closed';
      let created = false;
      const again: Call = async (domain, id) => {
        const answer = await domain.actions.retry(ADMIN, id);
        created = answer.created;
        return answer.refund;
      };
      const called = await callAbout(ledger, choice, again, asks);
      if (!called || !wish) return;
      if (called.heard.kind !== 'answer') return;
      const { before, roomFen: roomBefore } = called;
      const refund = called.heard.answer;
      if (before.state === 'rejected') {
        violated(before.amount_fen > roomBefore, 'a rejected refund was queued again without room');
        world.did('a rejected refund was sent again');
      } else if (before.state === 'closed') {
        const id = publicId('refund', refund.id);
        violated(id === wish.id, 'a closed refund was not replaced by another');
        if (!created) return;
        violated(world.wechat.holds.get(before.out_refund_no)?.status !== 'closed', 'what is not closed was replaced');
        violated(before.amount_fen > roomBefore, 'a closed refund was replaced without room');
        const { out_refund_no: outRefundNo, amount_fen: amount } = refund;
        ledger.wishes.push({ ...wish, outRefundNo, amount: Number(amount), key: null, id, replacement: true });
        world.did('a closed refund was replaced');
      } else world.did(`a refund that was ${before.state} was hurried`);
    },
  }),
);

const sync = chosen.map((choice) =>
  command('sync', choice, {
    can: anyKnown,
    async run(ledger, world) {
      const called = await callAbout(ledger, choice, (domain, id) => domain.actions.sync(ADMIN, id), true);
      if (!called) return;
      if (called.heard.kind === 'answer') world.did('a refund was synced');
      const code = codeOf(called);
      violated(code !== null && !['wechat_unavailable', 'temporarily_unavailable'].includes(code), `sync: ${code ?? ''}`);
      const shown = world.wechat.holds.get(called.before.out_refund_no);
      const asked = called.heard.kind === 'answer' && !ledger.contradicted.has(called.before.out_refund_no);
      const told = asked && shown?.status === 'succeeded' && shown.refundFen === called.before.amount_fen;
      const swapped = world.wechat.queryFault !== null;
      violated(told && !swapped && called.after.state !== 'succeeded' && called.before.state !== 'queued', 'a sync did not bring the truth');
    },
  }),
);

const resolve = fc
  .record({ which: fc.nat(), via: fc.nat(1), outcome: fc.constantFrom('succeeded', 'closed', 'rejected') })
  .map(({ outcome, ...choice }) =>
    command('resolve', { outcome, ...choice }, {
      can: anyKnown,
      async run(ledger, world) {
        const reason = 'looked at in the merchant platform';
        const facts = await world.facts();
        const mismatches = ledger.wishes.filter(({ outRefundNo, id }) =>
          facts.some((fact) => id !== null && fact.out_refund_no === outRefundNo && fact.state === 'mismatch'),
        );
        const target = mismatches[choice.which % mismatches.length];
        const which = target ? ledger.wishes.filter(({ id }) => id !== null).indexOf(target) : choice.which;
        const call: Call = (domain, id) => domain.actions.resolve(ADMIN, id, outcome, reason);
        const called = await callAbout(ledger, { ...choice, which }, call, true);
        if (!called) return;
        const { before, after, heard } = called;
        const decided = before.state === 'mismatch' && after.state === outcome;
        const shown = world.wechat.holds.get(before.out_refund_no);
        const agrees = shown?.refundFen === before.amount_fen && !world.wechat.byHand.has(before.out_refund_no);
        if (!decided || heard.kind === 'refusal') return;
        if (agrees && world.wechat.queryFault === null)
          violated(shown.status !== after.state && !ledger.contradicted.has(before.out_refund_no), 'a person overruled WeChat');
        ledger.decided.add(before.out_refund_no);
        world.did('a mismatch was resolved');
      },
    }),
  );

const repair = chosen.map((choice) =>
  command('repair', choice, {
    can: (ledger) => ledger.world.setting.version === 'v3' && anyKnown(ledger),
    async run(ledger, world) {
      const facts = await world.facts();
      const known = ledger.wishes.filter(({ id }) => id !== null);
      const place = known.findIndex(({ outRefundNo }) =>
        facts.some((fact) => fact.out_refund_no === outRefundNo && fact.state === 'abnormal'),
      );
      const which = place < 0 ? choice.which : place;
      const wish = ledger.known(which);
      if (!wish) return;
      if (!(await turn(world, wish.id))) return;
      const instance = world.reached(choice.via);
      const heard = await world.call(instance, () => instance.repairs.repair(ADMIN, wish.id, { type: 'MERCHANT_BANK_CARD' }));
      if (heard.kind !== 'answer') return;
      world.did('an abnormal refund was repaired');
    },
  }),
);

/** What callers do with refunds. */
export const WORKING = { cancel, retry, sync, resolve, repair };
