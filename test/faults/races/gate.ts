import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { SECOND } from '../../support/database.js';

/** Who is inside the gap: waits for a row that the gate holds. */
type Side = 'first' | 'second';

const WAITING_SQL = `
  SELECT DISTINCT application_name AS name FROM pg_stat_activity
  WHERE datname = current_database() AND wait_event_type = 'Lock'`;

/** Below the service's own lock_timeout of 1 s, so that who waits is still there when the gate opens. */
const INSIDE_WITHIN_MS = 800;
/** Who came in may have been waiting since it was started: when the gate opens later than this, its wait may have ended before. */
const LOCK_TIMEOUT_MS = 1000;
const LOOK_AGAIN_MS = 2;

/**
 * Forces two instances into one gap: a session of its own holds the rows that both need, until the database says that both wait for them;
 * then both go on. Nothing in the service knows of it.
 */
export class Gate {
  private constructor(
    private readonly holder: pg.Client,
    private readonly watcher: pg.Client,
  ) {}

  static async on(url: string): Promise<Gate> {
    const [holder, watcher] = [new pg.Client({ connectionString: url }), new pg.Client({ connectionString: url })];
    await Promise.all([holder.connect(), watcher.connect()]);
    return new Gate(holder, watcher);
  }

  async end(): Promise<void> {
    await Promise.all([this.holder.end(), this.watcher.end()]);
  }

  /** Holds orders. */
  holdOrders(...orders: readonly { readonly id: string }[]): Promise<void> {
    return this.hold('SELECT 1 FROM payment_order WHERE id = ANY($1::uuid[]) FOR UPDATE', [orders.map(({ id }) => id)]);
  }

  /** Holds a merchant's rate row. */
  holdRate({ mchId }: { readonly mchId: string }): Promise<void> {
    return this.hold('SELECT 1 FROM merchant_rate WHERE mch_id = $1 FOR UPDATE', [mchId]);
  }

  /** True once all of these wait for what is held; false when they do not come in time. */
  async inside(...sides: readonly Side[]): Promise<boolean> {
    const untilMs = performance.now() + INSIDE_WITHIN_MS;
    for (;;) {
      const { rows } = await this.watcher.query<{ name: string }>(WAITING_SQL);
      const waiting = rows.map(({ name }): Side => (name === SECOND ? 'second' : 'first'));
      if (sides.every((side) => waiting.includes(side))) return true;
      if (performance.now() > untilMs) return false;
      await sleep(LOOK_AGAIN_MS);
    }
  }

  /** Lets both go on. */
  async open(): Promise<void> {
    await this.holder.query('ROLLBACK');
  }

  private async hold(sql: string, parameters: readonly unknown[]): Promise<void> {
    await this.holder.query('BEGIN');
    await this.holder.query(sql, [...parameters]);
  }
}

/** What two sides came to, and whether both were inside the gap, in the order they were started, when it opened. */
export interface Met<A, B> {
  readonly both: boolean;
  readonly first: PromiseSettledResult<A>;
  readonly second: PromiseSettledResult<B>;
}

/**
 * Starts two sides in front of a closed gate, the one named in `ahead` before the other, and opens it when both are inside. PostgreSQL
 * serves those who wait in the order of their coming.
 */
export async function meet<A, B>(
  gate: Gate,
  sides: { readonly first: () => Promise<A>; readonly second: () => Promise<B>; readonly ahead?: Side },
): Promise<Met<A, B>> {
  const { ahead = 'first' } = sides;
  const startMs = performance.now();
  const started: { first?: Promise<PromiseSettledResult<A>>; second?: Promise<PromiseSettledResult<B>> } = {};
  for (const side of ahead === 'first' ? (['first', 'second'] as const) : (['second', 'first'] as const)) {
    if (side === 'first') started.first = settled(sides.first());
    else started.second = settled(sides.second());
    await gate.inside(side);
  }
  const inside = await gate.inside('first', 'second');
  await gate.open();
  const both = inside && performance.now() - startMs < LOCK_TIMEOUT_MS;
  const [first, second] = await Promise.all([started.first, started.second]);
  if (!first || !second) throw new Error('both sides were started');
  return { both, first, second };
}

async function settled<T>(side: Promise<T>): Promise<PromiseSettledResult<T>> {
  const [result] = await Promise.allSettled([side]);
  return result;
}

/** Times that both sides must have been inside. */
export const MEETINGS = 50;
/** A busy machine may let a few of them pass each other. */
const ROUNDS_MAX = 150;

/** Runs rounds until both sides were inside the gap 50 times, prints how often that was, and is void when they never were so often. */
export async function meetings(name: string, round: (number: number) => Promise<boolean>): Promise<void> {
  let rounds = 0;
  let inside = 0;
  for (; inside < MEETINGS && rounds < ROUNDS_MAX; rounds += 1) if (await round(rounds)) inside += 1;
  console.log(`${name} both inside ${inside} of ${rounds}`);
  if (inside < MEETINGS)
    throw new Error(`${name} is void: both sides were inside the gap ${inside} times of ${rounds}`);
}
