import fc from 'fast-check';
import { publicId } from '../../../src/common/ids.js';
import type { RefundRow } from '../../../src/refunds/refund.view.js';
import { ADMIN, type RefundDomain } from '../../support/refund-domain.js';
import { command, violated } from './command.js';
import type { RefundState } from '../../../src/refunds/states.js';
import { type Ledger, leftFen, type Wish } from './ledger.js';
import type { Heard, RefundFact, World } from './world.js';

const chosen = fc.record({ which: fc.nat(), via: fc.nat(1) });

interface Called {
  readonly heard: Heard<RefundRow>;
  readonly before: RefundFact;
  readonly after: RefundFact;
  /** What its order had left before the call. */
  readonly leftFen: number;
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

/** One in so many calls is about any refund at all, however little sense it makes. */
const ANY_EVERY = 5;

type Known = Wish & { readonly id: string };

/** A refund that the caller knows, where there is one in these states, and in doubt before any other. */
async function knownIn(ledger: Ledger, which: number, states: readonly RefundState[]): Promise<Known | null> {
  const facts = (await ledger.world.facts()).filter(({ state }) => states.includes(state));
  const known = (some: readonly RefundFact[]): Known[] =>
    ledger.allKnown().filter(({ outRefundNo }) => some.some((fact) => fact.out_refund_no === outRefundNo));
  const inDoubt = known(facts.filter((fact) => fact.in_doubt));
  const fitting = inDoubt.length > 0 ? inDoubt : known(facts);
  if (fitting.length === 0 || which % ANY_EVERY === 0) return ledger.known(which);
  return fitting[which % fitting.length] ?? null;
}

/** Calls about a refund once it is its turn, if the call asks WeChat; null when its turn does not come. */
async function callAbout(
  ledger: Ledger,
  wish: Known | null,
  via: number,
  { call, asks }: { readonly call: Call; readonly asks: boolean },
): Promise<Called | null> {
  const { world } = ledger;
  if (!wish) return null;
  if (asks && !(await turn(world, wish.id))) return null;
  const before = await factOf(world, wish.id);
  const left = leftFen(world, await world.facts(), wish.order);
  const instance = world.reached(via);
  const heard = await world.call(instance, () => call(instance.domain, wish.id));
  return { heard, before, after: await factOf(world, wish.id), leftFen: left };
}

const anyKnown = (ledger: Ledger): boolean => ledger.known(0) !== null;

const cancel = chosen.map((choice) =>
  command('cancel', choice, {
    can: anyKnown,
    async run(ledger, world) {
      const wish = await knownIn(ledger, choice.which, ['queued', 'insufficient_balance', 'blocked']);
      const call: Call = (domain, id) => domain.actions.cancel(ADMIN, id, undefined);
      const called = await callAbout(ledger, wish, choice.via, { call, asks: false });
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

const RETRIED = ['queued', 'insufficient_balance', 'blocked', 'rejected', 'closed'] as const;

const retry = chosen.map((choice) =>
  command('retry', choice, {
    can: anyKnown,
    async run(ledger, world) {
      const wish = await knownIn(ledger, choice.which, RETRIED);
      const asks = wish !== null && (await factOf(world, wish.id)).state === 'closed';
      let created = false;
      const call: Call = async (domain, id) => {
        const answer = await domain.actions.retry(ADMIN, id);
        created = answer.created;
        return answer.refund;
      };
      const called = await callAbout(ledger, wish, choice.via, { call, asks });
      if (!wish || called?.heard.kind !== 'answer') return;
      const { before, leftFen: leftBefore } = called;
      const reserves = before.state === 'rejected' || created;
      violated(reserves && before.amount_fen > leftBefore, `what was ${before.state} was reserved again without room`);
      if (created) noteReplacement(ledger, wish, called.heard.answer);
      else if (before.state === 'rejected') world.did('a rejected refund was sent again');
      else if (before.state !== 'closed') world.did(`a refund that was ${before.state} was hurried`);
    },
  }),
);

function noteReplacement({ wishes, world }: Ledger, wish: Known, made: RefundRow): void {
  const id = publicId('refund', made.id);
  violated(id === wish.id, 'a closed refund was replaced by itself');
  violated(world.wechat.holds.get(wish.outRefundNo)?.status !== 'closed', 'what is not closed was replaced');
  const { out_refund_no: outRefundNo, amount_fen: amount } = made;
  wishes.push({ ...wish, outRefundNo, amount: Number(amount), key: null, id, replacement: true });
  world.did('a closed refund was replaced');
}

/** WeChat was asked while nothing was wrong, shows the refund as succeeded, and it is not. */
function isUntold({ world: { wechat }, contradicted }: Ledger, { before, after }: Called): boolean {
  const { out_refund_no: number, amount_fen: amountFen, state } = before;
  const shown = wechat.holds.get(number);
  if (state === 'queued' || wechat.queryFault !== null || contradicted.has(number)) return false;
  return shown?.status === 'succeeded' && shown.refundFen === amountFen && after.state !== 'succeeded';
}

const MAY_FAIL = ['wechat_unavailable', 'temporarily_unavailable'];

const sync = chosen.map((choice) =>
  command('sync', choice, {
    can: anyKnown,
    async run(ledger, world) {
      const call: Call = (domain, id) => domain.actions.sync(ADMIN, id);
      const called = await callAbout(ledger, ledger.known(choice.which), choice.via, { call, asks: true });
      if (called?.heard.kind === 'refusal')
        violated(!MAY_FAIL.includes(called.heard.code), `a sync was refused: ${called.heard.code}`);
      if (called?.heard.kind !== 'answer') return;
      violated(isUntold(ledger, called), 'a sync did not bring the truth');
      world.did('a refund was synced');
    },
  }),
);

/** WeChat was asked, holds the refund as it is here, and another end of it was booked. */
function isOverruled({ world: { wechat }, contradicted }: Ledger, fact: RefundFact): boolean {
  const { out_refund_no: number, amount_fen: amountFen, state } = fact;
  const shown = wechat.holds.get(number);
  if (wechat.queryFault !== null || wechat.byHand.has(number) || contradicted.has(number)) return false;
  return shown !== undefined && shown.refundFen === amountFen && shown.status !== state;
}

/** The last move was a person's. */
async function isDecided({ lane }: World, { id }: RefundFact): Promise<boolean> {
  const moves = await lane.sql<{ cause: string }>(
    'SELECT cause FROM refund_event WHERE refund_id = $1 AND from_state <> to_state ORDER BY seq DESC LIMIT 1',
    [id],
  );
  return moves[0]?.cause === 'operator';
}

const resolve = fc
  .record({ which: fc.nat(), via: fc.nat(1), outcome: fc.constantFrom('succeeded', 'closed', 'rejected') })
  .map(({ outcome, ...choice }) =>
    command(
      'resolve',
      { outcome, ...choice },
      {
        can: anyKnown,
        async run(ledger, world) {
          const reason = 'looked at in the merchant platform';
          const wish = await knownIn(ledger, choice.which, ['mismatch']);
          const call: Call = (domain, id) => domain.actions.resolve(ADMIN, id, outcome, reason);
          const called = await callAbout(ledger, wish, choice.via, { call, asks: true });
          if (!called) return;
          const { before, after, heard } = called;
          // Its history tells: it may have become a mismatch, or WeChat may have told its end, since it was looked at.
          const moved = before.state !== outcome && after.state === outcome;
          if (!moved || heard.kind === 'refusal' || !(await isDecided(world, after))) return;
          violated(isOverruled(ledger, after), 'a person overruled WeChat');
          ledger.decided.add(before.out_refund_no);
          world.did('a mismatch was resolved');
        },
      },
    ),
  );

const repair = chosen.map((choice) =>
  command('repair', choice, {
    can: ({ world: { setting, wechat } }) =>
      setting.version === 'v3' && [...wechat.holds.values()].some(({ status }) => status === 'abnormal'),
    async run(ledger, world) {
      // The rhythm of questions shows what WeChat has shown nobody yet.
      await world.forward(61);
      await world.quiet();
      const wish = await knownIn(ledger, choice.which, ['abnormal']);
      if (!wish || !(await turn(world, wish.id))) return;
      const instance = world.reached(choice.via);
      const heard = await world.call(instance, () =>
        instance.repairs.repair(ADMIN, wish.id, { type: 'MERCHANT_BANK_CARD' }),
      );
      if (heard.kind !== 'answer') return;
      world.did('an abnormal refund was repaired');
    },
  }),
);

/** What callers do with refunds. */
export const WORKING = { cancel, retry, sync, resolve, repair };
