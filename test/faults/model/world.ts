import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../../../src/common/problem.js';
import type { RefundState } from '../../../src/refunds/states.js';
import { LittleWechat } from '../../support/little-wechat.js';
import type { Merchant, Order } from '../../support/refund-domain.js';
import { Instance } from './instance.js';
import type { Lane } from './lane.js';

/** How the merchant of a run is set up. */
export interface Setting {
  readonly version: 'v2' | 'v3';
  readonly notify: 'confirm' | 'apply';
  readonly paidFen: readonly [number, number];
  /** True for orders that are a day short of the end of their window. */
  readonly old: boolean;
  readonly balanceFen: number | null;
  /** True when the notices of what ends after the last command are lost. */
  readonly mute: boolean;
}

/** A refund as the database has it. */
export interface RefundFact {
  readonly id: string;
  readonly order_id: string;
  readonly out_refund_no: string;
  readonly amount_fen: number;
  readonly outside_shown_fen: number | null;
  readonly state: RefundState;
  readonly failure_code: string | null;
  readonly booked_outside: boolean;
  readonly source: 'api' | 'external';
  readonly in_doubt: boolean;
  readonly leased: boolean;
  /** Asked within the last ten seconds: a caller's question would wait for them. */
  readonly asked: boolean;
  readonly api_version: 'v2' | 'v3' | null;
  readonly replaces: string | null;
}

/** What came of a call: its answer, the code it was refused with, or nothing because the instance died. */
export type Heard<T> =
  | { readonly kind: 'answer'; readonly answer: T }
  | { readonly kind: 'refusal'; readonly code: string }
  | { readonly kind: 'nothing' };

const FACTS_SQL = `
  SELECT id, order_id, out_refund_no, amount_fen::float8 AS amount_fen, outside_shown_fen::float8 AS outside_shown_fen, state, failure_code,
    booked_outside, source, in_doubt_since IS NOT NULL AS in_doubt, lease_until >= tuikuan_now() IS TRUE AS leased,
    last_query_at > tuikuan_now() - interval '10 seconds' IS TRUE AS asked, api_version, replaces
  FROM refund WHERE mch_id = $1 ORDER BY id`;

/** Its refunds, and whether anything of a merchant is due now or under way on a living instance. $1 mch_id, $2 its live leases. */
const BUSY_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  waiting AS MATERIALIZED (
    SELECT r.*, o.next_send_at, q.pause_reason, q.paused_until, q.next_probe_at, q.probe_refund_id, c.now,
      (r.lease_until IS NULL OR r.lease_until < c.now) AS free
    FROM clock c, refund r JOIN payment_order o ON o.id = r.order_id JOIN merchant_rate q ON q.mch_id = r.mch_id
    WHERE r.mch_id = $1)
  SELECT EXISTS (SELECT 1 FROM waiting w WHERE
      (NOT w.free AND w.lease_token = ANY($2::uuid[]))
      OR (w.free AND w.state = 'submitting')
      OR (w.free AND w.next_attempt_at <= w.now AND coalesce(w.next_send_at <= w.now, true) AND (w.pause_reason IS NULL
        OR (w.pause_reason = 'too_many_requests' AND w.paused_until <= w.now)
        OR (w.pause_reason = 'configuration' AND w.next_probe_at <= w.now AND coalesce(w.probe_refund_id = w.id, true))))
      OR (w.state = 'blocked' AND w.failure_code = 'configuration' AND w.pause_reason = 'configuration' AND w.next_probe_at <= w.now
        AND w.probe_refund_id IS NULL)
      OR (w.free AND w.next_query_at <= w.now AND w.state <> 'submitting'
        AND coalesce(w.last_query_at <= w.now - interval '10 seconds', true)
        AND (w.state <> 'queued' OR w.in_doubt_since IS NULL OR w.pause_reason IS NOT NULL)))
    OR EXISTS (SELECT 1 FROM merchant_rate q, clock c WHERE q.mch_id = $1 AND q.release_at <= c.now)
    OR EXISTS (SELECT 1 FROM notification n, clock c WHERE n.mch_id = $1 AND n.next_query_at <= c.now)
    OR EXISTS (SELECT 1 FROM payment_order o, clock c WHERE o.mch_id = $1 AND o.refunds_query_at <= c.now) AS busy,
    (SELECT coalesce(jsonb_agg(f), '[]') FROM (${FACTS_SQL}) f) AS facts`;

interface Look {
  readonly busy: boolean;
  readonly facts: RefundFact[];
}

const QUIET_WITHIN_MS = 30_000;
const LOOK_AGAIN_MS = 8;
/** One thing leads to another: the workers are woken again with every so many looks. */
const LOOKS_PER_WAKE = 3;

/** The real side of a run: one merchant with two paid orders, its WeChat, and the instances that serve it. */
export class World {
  readonly wechat: LittleWechat;
  readonly instances: Instance[] = [];
  merchant!: Merchant;
  readonly orders: Order[] = [];
  private names = 0;

  private constructor(
    readonly lane: Lane,
    readonly setting: Setting,
    /** Counts what has really taken place. */
    readonly did: (what: string) => void,
  ) {
    this.wechat = new LittleWechat(lane.nowSeconds, setting.version === 'v3');
    this.wechat.balanceFen = setting.balanceFen ?? Infinity;
    this.instances.push(new Instance(lane, this.wechat));
  }

  static async begin(lane: Lane, setting: Setting, did: (what: string) => void): Promise<World> {
    const world = new World(lane, setting, did);
    const { domain } = world.main;
    world.merchant = await domain.merchant({ api_version: setting.version, refund_notify: setting.notify });
    const paidAt = `tuikuan_now() - interval '${setting.old ? '364 days' : '1 hour'}'`;
    for (const paidFen of setting.paidFen) world.orders.push(await domain.order(world.merchant, paidFen, paidAt));
    return world;
  }

  async end(): Promise<void> {
    this.wechat.calm();
    await Promise.all(this.instances.map((instance) => instance.rest()));
    await this.lane.putAway(this.merchant.mchId);
  }

  newName(): string {
    return `R${this.merchant.mchId}x${(this.names += 1)}`;
  }

  get main(): Instance {
    const [main] = this.instances;
    if (!main) throw new Error('one instance always lives');
    return main;
  }

  /** The instance a caller happens to reach. */
  reached(via: number): Instance {
    return this.instances[via % this.instances.length] ?? this.main;
  }

  order(number: number): Order {
    const order = this.orders[number % this.orders.length];
    if (!order) throw new Error('there are two orders');
    return order;
  }

  async call<T>(instance: Instance, work: () => Promise<T>): Promise<Heard<T>> {
    const answered = work().then(
      (answer): Heard<T> => ({ kind: 'answer', answer }),
      (error: unknown): Heard<T> => {
        if (error instanceof AppError) return { kind: 'refusal', code: error.code };
        throw error;
      },
    );
    return Promise.race([answered, instance.life.end.then((): Heard<T> => ({ kind: 'nothing' }))]);
  }

  facts(): Promise<RefundFact[]> {
    return this.lane.sql<RefundFact>(FACTS_SQL, [this.merchant.mchId]);
  }

  /** Time moves on for the database and for WeChat. */
  async forward(seconds: number): Promise<void> {
    this.wechat.arrive(seconds);
    await this.lane.forward(seconds);
  }

  /** Whoever has died is replaced, and everything that is due now is done; gives the refunds as they are then. */
  async quiet(): Promise<RefundFact[]> {
    const untilMs = performance.now() + QUIET_WITHIN_MS;
    for (let looks = 0; ; looks += 1) {
      this.revive();
      const { busy, facts } = await this.look();
      if (!busy) return facts;
      if (performance.now() > untilMs) throw new Error(`never quiet: ${JSON.stringify(facts)}`);
      if (looks % LOOKS_PER_WAKE === 0) for (const instance of this.instances) instance.wake();
      await sleep(LOOK_AGAIN_MS);
    }
  }

  private revive(): void {
    for (const [place, { life }] of this.instances.entries()) {
      if (life.alive) continue;
      this.instances[place] = new Instance(this.lane, this.wechat);
      this.did('an instance died and was replaced');
    }
  }

  private async look(): Promise<Look> {
    const held = this.wechat.heldAnswers.map(({ callId }) => callId);
    const leases = this.instances.flatMap(({ uow }) => [...uow.claimed]).filter((lease) => !held.includes(lease));
    const [look] = await this.lane.sql<Look>(BUSY_SQL, [this.merchant.mchId, leases]);
    if (!look) throw new Error('a look has one row');
    return look;
  }
}
