import fc from 'fast-check';
import { publicId } from '../../../src/common/ids.js';
import type { Requested } from '../../../src/refunds/refunds.service.js';
import { ADMIN } from '../../support/refund-domain.js';
import { command, violated } from './command.js';
import { countOf, type Ledger, leftFen, type Wish } from './ledger.js';
import type { Heard, RefundFact, World } from './world.js';

const REASONS = ['broken', 'late', 'other'] as const;

const wishParts = fc.record({
  order: fc.nat(1),
  /** In hundredths of what was paid; 0 stands for all that is left. */
  share: fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 6, arbitrary: fc.integer({ min: 1, max: 105 }) }),
  reason: fc.constantFrom(...REASONS),
  keyed: fc.boolean(),
  via: fc.nat(1),
});
type WishParts = typeof wishParts extends fc.Arbitrary<infer T> ? T : never;

function wishOf(world: World, { order, share, reason, keyed }: WishParts): Wish {
  const amount = share === 0 ? undefined : Math.ceil((world.order(order).paidFen * share) / 100);
  const outRefundNo = world.newName();
  return { outRefundNo, order, amount, reason, key: keyed ? `K${outRefundNo}` : null, id: null, unanswered: false };
}

function ask(world: World, wish: Wish, via: number): Promise<Heard<Requested>> {
  const { outRefundNo, order, amount, reason, key } = wish;
  const instance = world.reached(via);
  const body = { order: publicId('order', world.order(order).id), out_refund_no: outRefundNo, reason };
  return world.call(instance, () =>
    instance.domain.service.requestRefund(ADMIN, { ...body, ...(amount !== undefined && { amount }) }, key),
  );
}

const REFUSED_FOR_ROOM = ['amount_exceeds_refundable', 'refund_count_exceeded', 'refund_window_expired'];

/** Notes an answer and says what it may not have been; `before` and `after` are the refunds around it. */
function note(
  ledger: Ledger,
  wish: Wish,
  heard: Heard<Requested>,
  around: { readonly before: readonly RefundFact[]; readonly after: readonly RefundFact[] },
): void {
  const { world } = ledger;
  if (heard.kind === 'nothing') {
    wish.unanswered = true;
    return;
  }
  if (heard.kind === 'refusal') {
    violated(!REFUSED_FOR_ROOM.includes(heard.code), `${wish.outRefundNo} was refused with ${heard.code}`);
    const left = [around.before, around.after].map((facts) => leftFen(world, facts, wish.order));
    const fits = (wish.amount ?? 1) <= Math.min(...left) && countOf(world, around.before, wish.order) < 50;
    violated(fits && heard.code !== 'refund_window_expired', `${wish.outRefundNo} was refused although there is room`);
    world.did(`a request was refused: ${heard.code}`);
    return;
  }
  const { refund, replayed } = heard.answer;
  const amountFen = Number(refund.amount_fen);
  const tooMuch = amountFen > leftFen(world, around.before, wish.order) && leftFen(world, around.after, wish.order) < 0;
  violated(!replayed && tooMuch, `${wish.outRefundNo} was made although there is no room`);
  violated(wish.amount !== undefined && amountFen !== wish.amount, `${wish.outRefundNo} has another amount`);
  const id = publicId('refund', refund.id);
  violated(wish.id !== null && wish.id !== id, `${wish.outRefundNo} has two ids`);
  wish.id = id;
}

async function askAndNote(
  ledger: Ledger,
  wishes: readonly Wish[],
  vias: readonly number[],
): Promise<Heard<Requested>[]> {
  const { world } = ledger;
  const before = await world.facts();
  const heard = await Promise.all(wishes.map((wish, place) => ask(world, wish, vias[place] ?? 0)));
  const after = await world.facts();
  for (const [place, wish] of wishes.entries()) {
    const one = heard[place];
    if (!one) continue;
    // With several at once there is room for some of them; the audit adds them up.
    if (wishes.length === 1) note(ledger, wish, one, { before, after });
    else if (one.kind === 'answer') wish.id = publicId('refund', one.answer.refund.id);
    else wish.unanswered = one.kind === 'nothing';
  }
  return heard;
}

const create = wishParts.map((parts) =>
  command('create', parts, {
    async run(ledger, world) {
      const wish = wishOf(world, parts);
      ledger.wishes.push(wish);
      const [heard] = await askAndNote(ledger, [wish], [parts.via]);
      if (heard?.kind !== 'answer') return;
      world.did(parts.share === 0 ? 'all that was left was asked for' : 'a part was asked for');
    },
  }),
);

const crowd = fc.array(wishParts, { minLength: 2, maxLength: 4 }).map((all) =>
  command('crowd', all, {
    async run(ledger, world) {
      const wishes = all.map((parts) => wishOf(world, { ...parts, order: all[0]?.order ?? 0 }));
      ledger.wishes.push(...wishes);
      const heard = await askAndNote(
        ledger,
        wishes,
        all.map(({ via }) => via),
      );
      const made = heard.filter(({ kind }) => kind === 'answer').length;
      if (made > 0 && made < all.length) world.did('of several requests at once some were made');
    },
  }),
);

const twins = fc.record({ parts: wishParts, other: fc.boolean() }).map(({ parts, other }) =>
  command(
    'twins',
    { parts, other },
    {
      async run(ledger, world) {
        const wish = wishOf(world, parts);
        ledger.wishes.push(wish);
        const twin = other ? { ...wish, reason: `${wish.reason}!` } : wish;
        const [one, two] = await Promise.all([ask(world, wish, 0), ask(world, twin, 1)]);
        const ids = [one, two].flatMap((heard) => (heard.kind === 'answer' ? [heard.answer.refund.id] : []));
        violated(new Set(ids).size > 1, `${wish.outRefundNo} was answered with two ids`);
        violated(other && ids.length > 1, `${wish.outRefundNo} was given for two bodies`);
        const [id] = ids;
        // Which of two bodies was stored, if nobody was answered, the caller cannot know.
        if (id === undefined) wish.unanswered = !other;
        else wish.id = publicId('refund', id);
        if (other && one.kind !== 'answer') Object.assign(wish, { reason: twin.reason });
        if (id !== undefined)
          world.did(other ? 'a number came twice at once with two bodies' : 'a number came twice at once');
      },
    },
  ),
);

const mayRepeat = ({ id, unanswered, replacement }: Wish): boolean => !replacement && (id !== null || unanswered);

const repeat = fc.record({ which: fc.nat(), via: fc.nat(1) }).map(({ which, via }) =>
  command(
    'repeat',
    { which, via },
    {
      can: ({ wishes }) => wishes.some(mayRepeat),
      async run(ledger, world) {
        // Who was left without an answer asks again first.
        const repeatable = ledger.wishes.filter(mayRepeat);
        const unanswered = repeatable.filter((wish) => wish.unanswered);
        const wishes = unanswered.length > 0 ? unanswered : repeatable;
        const wish = wishes[which % wishes.length];
        if (!wish) return;
        const existed = (await world.facts()).some((fact) => fact.out_refund_no === wish.outRefundNo);
        const [heard] = await askAndNote(ledger, [wish], [via]);
        if (heard?.kind === 'refusal')
          violated(existed, `a repeat of ${wish.outRefundNo} was not given the first refund`);
        if (heard?.kind !== 'answer') return;
        violated(existed !== heard.answer.replayed, `${wish.outRefundNo} was replayed from nothing, or made twice`);
        world.did(wish.unanswered ? 'a repeat after a crash was answered' : 'a repeat was given the first refund');
        wish.unanswered = false;
      },
    },
  ),
);

/** What was asked for, whatever has become of it. */
const asked = (facts: readonly RefundFact[]): string =>
  JSON.stringify(
    facts
      .filter(({ source }) => source === 'api')
      .map(({ id, order_id, out_refund_no, amount_fen }) => [id, order_id, out_refund_no, amount_fen]),
  );

type Changed = 'amount' | 'reason' | 'order' | 'key';

/** A wish that shares its number, or its key, with another and is not the same. */
const CHANGES: Readonly<Record<Changed, (wish: Wish, world: World) => Wish>> = {
  amount: (wish) => ({ ...wish, amount: (wish.amount ?? 0) + 1 }),
  reason: (wish) => ({ ...wish, reason: `${wish.reason}?` }),
  order: (wish) => ({ ...wish, order: wish.order + 1 }),
  key: (wish, world) => ({ ...wish, outRefundNo: world.newName(), reason: `${wish.reason}?` }),
};

const changed = fc
  .record({ which: fc.nat(), what: fc.constantFrom<Changed>('amount', 'reason', 'order', 'key'), via: fc.nat(1) })
  .map(({ which, what, via }) =>
    command(
      'changedRepeat',
      { which, what, via },
      {
        can: (ledger) => ledger.known(which) !== null,
        async run(ledger, world) {
          const wish = ledger.known(which);
          if (!wish || (what === 'key' && wish.key === null)) return;
          const before = asked(await world.facts());
          const heard = await ask(world, CHANGES[what](wish, world), via);
          if (heard.kind === 'nothing') return;
          const code = heard.kind === 'refusal' ? heard.code : 'an answer';
          const expected = what === 'key' ? 'idempotency_key_reused' : 'out_refund_no_conflict';
          violated(code !== expected, `${wish.outRefundNo} with another ${what}: ${code} instead of ${expected}`);
          violated(before !== asked(await world.facts()), `a changed repeat of ${wish.outRefundNo} changed something`);
          world.did('a changed repeat was refused');
        },
      },
    ),
  );

/** How callers ask for refunds. */
export const ASKING = { create, crowd, twins, repeat, changed };
