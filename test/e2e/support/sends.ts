import { setPriority } from 'node:os';
import type { Json, Stack } from './stack.js';

/** One refund request as the simulated WeChat saw it; times are those of its clock that only runs forward. */
export interface Send {
  readonly outRefundNo: string;
  readonly outTradeNo: string;
  readonly receivedMs: number;
  readonly failing: boolean;
}

/** The refund requests that came in, in their order; with `mchId` those of one merchant. */
export async function sendsOf(stack: Stack, mchId?: string): Promise<Send[]> {
  const { requests } = (await stack.control('GET', '/ledger')) as { requests: Json[] };
  return requests
    .filter((row) => row['call'] === 'refund' && (mchId === undefined || row['mch_id'] === mchId))
    .map((row) => ({
      outRefundNo: String(row['out_refund_no']),
      outTradeNo: String(row['out_trade_no']),
      receivedMs: Number(row['received_ms']),
      failing: row['failing'] === true,
    }))
    .sort((a, b) => a.receivedMs - b.receivedMs);
}

/** The most of these that any rolling second holds. */
export function fullestSecond(sends: readonly Send[]): number {
  let fullest = 0;
  let first = 0;
  for (const [last, { receivedMs }] of sends.entries()) {
    while (receivedMs - (sends[first]?.receivedMs ?? receivedMs) >= 1000) first += 1;
    fullest = Math.max(fullest, last - first + 1);
  }
  return fullest;
}

/** From now on WeChat notes a request when it arrives, on a busy machine too; without the right to say so it takes its turn. */
export function putFirst({ simulatorProcess }: Stack): void {
  if (process.getuid?.() === 0) setPriority(simulatorProcess.pid ?? 0, -20);
}

const SLOWED_SQL = `
  SELECT extract(epoch FROM rate_changed_at - (SELECT min(intent_at) FROM gateway_call WHERE mch_id = $1 AND outcome = 'later')) * 1000 AS ms
  FROM merchant_rate WHERE mch_id = $1 AND rate_per_second < 6`;

/** Waits until errors have slowed a merchant down; milliseconds from the slot of the first failing request to that moment. */
export async function slowedAfterMs(stack: Stack, mchId: string): Promise<number> {
  const slowed = async (): Promise<Json | undefined> => (await stack.database.query<Json>(SLOWED_SQL, [mchId])).rows[0];
  const known = await stack.eventually(slowed, (row) => row !== undefined);
  if (!known) throw new Error('errors have not slowed the merchant down');
  return Number(known['ms']);
}
