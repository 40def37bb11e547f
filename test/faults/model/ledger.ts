import type { ShownRefund } from '../../../src/refunds/refund-gateway.port.js';
import { REFUND_STATES } from '../../../src/refunds/states.js';
import type { RefundFact, World } from './world.js';

/** What was asked for under one number, and what the caller knows of it. */
export interface Wish {
  readonly outRefundNo: string;
  readonly order: number;
  /** Undefined: all that is left. */
  readonly amount: number | undefined;
  readonly reason: string;
  readonly key: string | null;
  /** The public id, once the caller was told it. */
  id: string | null;
  /** A crash left the caller without an answer. */
  unanswered: boolean;
  /** True for the replacement of a closed refund: nobody ever asked for it by a body of its own. */
  readonly replacement?: boolean;
}

/**
 * The books of somebody who stands outside: what was paid, what was asked for and answered, what a person decided and where WeChat was
 * made to contradict itself. What WeChat holds is in its own ledger. No state of the service is computed here.
 */
export class Ledger {
  readonly wishes: Wish[] = [];
  /** Numbers about which a person decided, and about which WeChat has said what is not so. */
  readonly decided = new Set<string>();
  readonly contradicted = new Set<string>();

  constructor(readonly world: World) {}

  /** The wishes whose ids the caller knows. */
  allKnown(): (Wish & { id: string })[] {
    return this.wishes.filter((wish): wish is Wish & { id: string } => wish.id !== null);
  }

  /** One of them; null where there is none. */
  known(which: number): (Wish & { id: string }) | null {
    const known = this.allKnown();
    return known[which % known.length] ?? null;
  }
}

const isReleased = ({ state }: Pick<RefundFact, 'state'>): boolean => REFUND_STATES[state].money === 'released';

/** What an order still has to give, as its caller sees it from the refunds; below zero where more is taken than was paid. */
export function leftFen(world: World, facts: readonly RefundFact[], order: number): number {
  const { id, paidFen } = world.order(order);
  const takenFen = facts
    .filter(({ order_id: orderId }) => orderId === id)
    .reduce((sum, fact) => sum + (isReleased(fact) ? 0 : fact.amount_fen) + (fact.outside_shown_fen ?? 0), 0);
  return paidFen - takenFen;
}

/** How many refunds of an order count against the fifty. */
export function countOf(world: World, facts: readonly RefundFact[], order: number): number {
  const { id } = world.order(order);
  return facts.filter((fact) => fact.order_id === id && !isReleased(fact) && !fact.booked_outside).length;
}

type Wrong = string | null;

/** What must hold between any two commands; gives what does not. */
export function audit(ledger: Ledger, facts: readonly RefundFact[]): string[] {
  const { world } = ledger;
  const { wechat } = world;
  const orders = world.orders.map(({ id, paidFen }): Wrong => {
    const live = facts.filter((fact) => fact.order_id === id && !isReleased(fact) && !fact.booked_outside);
    const sumFen = live.reduce((sum, fact) => sum + fact.amount_fen, 0);
    if (sumFen > paidFen) return `order ${id} gives ${sumFen} of ${paidFen} fen`;
    return live.length > 50 ? `order ${id} has ${live.length} refunds` : null;
  });
  const held = [...wechat.holds.values()].map((shown) => ofHeld(ledger, facts, shown));
  const booked = facts.map((fact) => ofBooked(ledger, fact));
  const wishes = ledger.wishes.map((wish) => ofWish(wish, facts));
  const asked = [
    ...wechat.otherParameters
      .filter((number) => !wechat.byHand.has(number))
      .map((number) => `WeChat was asked for ${number} with two sets of parameters`),
    ...wechat.overAsked
      .filter((number) => !hasForeignMoney(ledger, number))
      .map((number) => `WeChat was asked to give more of ${number} than was paid`),
  ];
  return [...orders, ...held, ...booked, ...wishes, ...asked].filter((wrong) => wrong !== null);
}

/** What WeChat took from us is known here under the same amount, and never shown as failed or canceled while WeChat works on it. */
function ofHeld(ledger: Ledger, facts: readonly RefundFact[], shown: ShownRefund): Wrong {
  const { outRefundNo, refundFen, status } = shown;
  if (ledger.world.wechat.byHand.has(outRefundNo)) return null;
  const fact = facts.find(({ out_refund_no: number }) => number === outRefundNo);
  if (!fact) return `WeChat holds ${outRefundNo}, which is not known here`;
  if (fact.amount_fen !== refundFen) return `WeChat holds ${outRefundNo} with ${refundFen}, we ${fact.amount_fen} fen`;
  if (status === 'closed' || ledger.contradicted.has(outRefundNo) || !isReleased(fact)) return null;
  return `WeChat holds ${outRefundNo} as ${status}, it is ${fact.state} here`;
}

/** Succeeded and closed are WeChat's words. */
function ofBooked(ledger: Ledger, fact: RefundFact): Wrong {
  const { out_refund_no: number, state } = fact;
  if ((state !== 'succeeded' && state !== 'closed') || ledger.contradicted.has(number) || ledger.decided.has(number))
    return null;
  const shown = ledger.world.wechat.holds.get(number);
  return shown?.status === state ? null : `${number} is ${state} here, WeChat says ${shown?.status ?? 'nothing'}`;
}

/** What was promised to a caller exists, and once. */
function ofWish({ outRefundNo, id, amount }: Wish, facts: readonly RefundFact[]): Wrong {
  const found = facts.filter((fact) => fact.out_refund_no === outRefundNo);
  if (found.length > 1) return `${outRefundNo} exists ${found.length} times`;
  if (id === null) return null;
  const [fact] = found;
  if (!fact) return `${outRefundNo} was answered and is gone`;
  return amount !== undefined && fact.amount_fen !== amount ? `${outRefundNo} has another amount than asked for` : null;
}

/** Money the service did not send: then WeChat may run out of room before it does. */
function hasForeignMoney(ledger: Ledger, outTradeNo: string): boolean {
  const { byHand, holds } = ledger.world.wechat;
  return [...byHand, ...ledger.contradicted].some((number) => holds.get(number)?.outTradeNo === outTradeNo);
}

/** What must hold when everything has settled: the database and WeChat's ledger are the same; gives what is not. */
export function disagreements(ledger: Ledger, facts: readonly RefundFact[]): string[] {
  const { wechat } = ledger.world;
  const unheld = facts.filter(({ out_refund_no: number }) => !wechat.holds.has(number)).map((f) => ofUnheld(ledger, f));
  const held = [...wechat.holds.values()].map((shown): Wrong => {
    const fact = facts.find(({ out_refund_no: number }) => number === shown.outRefundNo);
    return fact
      ? ofSettled(ledger, fact, shown)
      : `WeChat holds ${shown.outRefundNo}, which never came to be known here`;
  });
  return [...unheld, ...held].filter((wrong) => wrong !== null);
}

function ofUnheld(ledger: Ledger, fact: RefundFact): Wrong {
  const { out_refund_no: number, state, failure_code: reason } = fact;
  const waits = state === 'blocked' || state === 'mismatch';
  if (waits) return reason === null ? `${number} waits as ${state} without a reason` : null;
  if (state === 'rejected' || state === 'canceled') return fact.in_doubt ? `${number} is ${state} in doubt` : null;
  const said = ledger.decided.has(number);
  return said && (state === 'succeeded' || state === 'closed')
    ? null
    : `${number} is ${state}, WeChat has nothing of it`;
}

function ofSettled(ledger: Ledger, fact: RefundFact, shown: ShownRefund): Wrong {
  const { out_refund_no: number, state, failure_code: reason, amount_fen: amountFen } = fact;
  const waits = state === 'abnormal' || state === 'mismatch';
  const isOther = amountFen !== shown.refundFen || fact.order_id !== orderOf(ledger, shown);
  const settled = isOther ? isForAPerson(ledger, fact) : agree(ledger, fact, shown);
  if (settled && (!waits || reason !== null)) return null;
  return `${number} is ${state} (${reason ?? 'no reason'}), WeChat says ${shown.status}`;
}

/** Another system of the merchant has the number: a person decides. */
function isForAPerson({ decided }: Ledger, fact: RefundFact): boolean {
  return fact.state === 'mismatch' || isReleased(fact) || decided.has(fact.out_refund_no);
}

function agree({ contradicted, decided }: Ledger, fact: RefundFact, { status }: ShownRefund): boolean {
  const { out_refund_no: number, state } = fact;
  if (state === status) return true;
  if (status === 'succeeded') return false;
  const isMisled = contradicted.has(number) || decided.has(number);
  if (isMisled && REFUND_STATES[state].final) return true;
  return status === 'closed' && isReleased(fact);
}

function orderOf({ world }: Ledger, shown: ShownRefund): string | undefined {
  return world.orders.find(({ outTradeNo }) => outTradeNo === shown.outTradeNo)?.id;
}
