import type { RequestRow } from './ledger.js';
import type { World } from './world.js';

const SECOND_MS = 1000;

/**
 * The limit that a refund request breaks: the 151st, or the one after six failing ones, of its merchant within a rolling second, over
 * both protocols together. Source: protocol.md 5.
 */
export function rateBroken(
  world: World,
  mchId: string,
  row: RequestRow,
): 'requests_per_second' | 'failures_per_second' | null {
  const recent = refundsWithinASecond(world.ledger.requests, mchId, row);
  const failing = recent.filter((other) => other.failing && other !== row).length;
  const { requestsPerSecond, failuresPerSecond } = world.limits;
  if (recent.length <= requestsPerSecond && failing < failuresPerSecond) return null;
  const broken = recent.length > requestsPerSecond ? 'requests_per_second' : 'failures_per_second';
  world.ledger.violate(broken, mchId, row.out_trade_no);
  return broken;
}

function refundsWithinASecond(requests: readonly RequestRow[], mchId: string, row: RequestRow): RequestRow[] {
  const before = requests.findLastIndex((other) => row.received_ms - other.received_ms >= SECOND_MS);
  return requests.slice(before + 1).filter((other) => other.mch_id === mchId && other.call === 'refund');
}
