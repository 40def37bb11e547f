import { setTimeout as sleep } from 'node:timers/promises';
import type { Json, Stack } from '../../e2e/support/stack.js';
import { brokenInvariants } from '../../support/invariants.js';
import type { Asked } from './load.js';

interface Row {
  readonly number: string;
  readonly amount: number;
  readonly state: string;
}

interface Ledger {
  readonly accepted: readonly Json[];
  readonly orders: readonly Json[];
  readonly acks: readonly Json[];
  readonly violations: readonly Json[];
}

const ROWS_SQL = `SELECT out_refund_no AS number, amount_fen::integer AS amount, state FROM refund`;
const NOTED_SQL = `SELECT DISTINCT r.out_refund_no AS number FROM notification n JOIN refund r ON r.id = n.refund_id`;
/** A lease (60 s) runs out within one step; what is in doubt is asked, and sent again where WeChat does not know it. */
const STEP_SECONDS = 61;
const STEP_WAIT_MS = 1500;
const STEPS_MAX = 40;
/** So long it may go on without a step, while something moves. */
const WAITS_MAX = 80;

/** How far the service's time of each stack was moved. */
const movedSeconds = new WeakMap<Stack, number>();

/**
 * Lets the service's time pass, `stepSeconds` at a time whenever nothing moves by itself, until every refund has succeeded; throws with
 * what is left when it does not come to that. A step ends every lease, so on a busy machine steps alone would let nothing come to its end.
 */
export async function settle(stack: Stack, stepSeconds = STEP_SECONDS): Promise<void> {
  const open = async (): Promise<Json[]> =>
    (await stack.database.query<Json>(`SELECT state, count(*) FROM refund WHERE state <> 'succeeded' GROUP BY 1`)).rows;
  let left = '';
  for (let step = 0, waits = 0; step < STEPS_MAX;) {
    for (let waitedMs = 0; waitedMs < STEP_WAIT_MS; waitedMs += 100) {
      if ((await open()).length === 0) return;
      await sleep(100);
    }
    const now = JSON.stringify(await open());
    const moves = now !== left && waits < WAITS_MAX;
    left = now;
    waits += 1;
    if (moves) continue;
    step += 1;
    const seconds = (movedSeconds.get(stack) ?? 0) + stepSeconds;
    movedSeconds.set(stack, seconds);
    await stack.shiftClock(`${seconds} seconds`);
  }
  throw new Error(`not settled: ${JSON.stringify(await open())}`);
}

/**
 * What does not hold, after all has settled: the invariants of the database, what was acknowledged to callers (`taken`) and to WeChat,
 * and the books beside those of the simulated WeChat; `mayBreak` are rules of WeChat that the harm itself breaks. Empty when all is well.
 */
export async function faultsOfBooks(
  stack: Stack,
  taken: readonly Asked[],
  mayBreak: readonly string[] = [],
): Promise<Record<string, readonly unknown[]>> {
  const { rows } = await stack.database.query<Row>(ROWS_SQL);
  const { accepted, orders, acks, violations } = (await stack.control('GET', '/ledger')) as unknown as Ledger;
  // Notices may still come: those that WeChat knows of as acknowledged are looked for after it was asked.
  const noted = new Set((await stack.database.query<{ number: string }>(NOTED_SQL)).rows.map(({ number }) => number));
  const ours = new Map(rows.map((row) => [row.number, row]));
  const theirs = new Map(accepted.map((row) => [String(row['out_refund_no']), row]));
  const differs = (number: string, amount: unknown): boolean => ours.get(number)?.amount !== amount;
  const found: Record<string, readonly unknown[]> = {
    'acknowledged to a caller and not here': taken.filter(({ number, amountFen }) => differs(number, amountFen)),
    'acknowledged to WeChat and not here': acks.filter(
      ({ ok, kind, out_refund_no: number }) => ok === true && kind === 'refund' && !noted.has(String(number)),
    ),
    'refunded by WeChat twice': accepted.length === theirs.size ? [] : [accepted.length - theirs.size],
    'refunded by WeChat and not here': [...theirs].filter(([number, row]) => differs(number, row['amount_fen'])),
    'succeeded here and not refunded by WeChat': rows.filter(
      ({ number, state }) => state === 'succeeded' && !theirs.has(number),
    ),
    'more refunded than paid': orders.filter(({ refunded, total }) => Number(refunded) > Number(total)),
    'rules of WeChat that were broken': violations.filter(({ rule }) => !mayBreak.includes(String(rule))),
    ...(await brokenInvariants(async (sql) => (await stack.database.query<Json>(sql)).rows)),
  };
  return Object.fromEntries(
    Object.entries(found)
      .filter(([, wrong]) => wrong.length > 0)
      .map(([name, wrong]) => [name, wrong.slice(0, 3)]),
  );
}
