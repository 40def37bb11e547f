import { setTimeout as sleep } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import type { Caller } from '../../src/access/caller.js';
import { type Clock, systemClock } from '../../src/common/clock.js';
import { newUuid, publicId, uuidOf } from '../../src/common/ids.js';
import { setLogLevel } from '../../src/common/log.js';
import { loadSettings, type Settings } from '../../src/config/settings.js';
import { WorkerUnitOfWork } from '../../src/database/unit-of-work.js';
import type { ProbeResult } from '../../src/merchants/credential-probe.port.js';
import { MerchantsService } from '../../src/merchants/merchants.service.js';
import { SealedMerchantDirectory } from '../../src/merchants/sealed-directory.js';
import { Sealer } from '../../src/merchants/sealing.js';
import { NotificationsService } from '../../src/notifications/notifications.service.js';
import { Dispatcher } from '../../src/refunds/dispatcher.js';
import { RefundInquiry } from '../../src/refunds/inquiry.js';
import { Reconciler } from '../../src/refunds/reconciler.js';
import { RefundActions } from '../../src/refunds/refund-actions.js';
import type { RefundGateway, ShownRefund } from '../../src/refunds/refund-gateway.port.js';
import { RefundLedger } from '../../src/refunds/refund-ledger.js';
import { RefundReads } from '../../src/refunds/refund-reads.js';
import { RefundTargets } from '../../src/refunds/refund-targets.js';
import { RefundsService, type RefundWish } from '../../src/refunds/refunds.service.js';
import type { RefundState } from '../../src/refunds/states.js';
import { createTestDatabase, sameDatabase, type TestDatabase } from './database.js';
import { brokenInvariants } from './invariants.js';
import { ScriptedGateway } from './scripted-gateway.js';

export const ADMIN: Caller = {
  id: 'admin',
  name: 'admin',
  role: 'admin',
  appids: null,
  address: null,
  requestId: null,
};

export interface Merchant {
  readonly mchId: string;
  readonly appid: string;
}

/** A paid order; `id` is the database's. */
export interface Order extends Merchant {
  readonly id: string;
  readonly outTradeNo: string;
  readonly paidFen: number;
}

/** A refund by both of its ids; `uuid` is the database's. */
export interface Refund {
  readonly id: string;
  readonly uuid: string;
  readonly outRefundNo: string;
  readonly order: Order;
}

/** A row of refund as it stands. */
export interface Row {
  readonly state: RefundState;
  readonly in_doubt_since: Date | null;
  readonly first_sent_at: Date | null;
  readonly next_attempt_at: Date | null;
  readonly next_query_at: Date | null;
  readonly lease_until: Date | null;
  readonly attempts: number;
  readonly not_sent_count: number;
  readonly query_step: number;
  readonly version: number;
  readonly api_version: string | null;
  readonly booked_outside: boolean;
  readonly outside_shown_fen: string | null;
  readonly failure_code: string | null;
}

export interface Event {
  readonly from_state: string | null;
  readonly to_state: string;
  readonly cause: string;
  readonly incident: string | null;
  readonly detail: Record<string, unknown>;
}

export interface Counters {
  readonly reserved: number;
  readonly refunded: number;
  readonly outside: number;
  readonly count: number;
}

let counter = 0;
const unique = (): string => `${(counter += 1)}x${randomBytes(4).toString('hex')}`;

/** A machine clock that a test can make jump. */
export class JumpingClock implements Clock {
  jumpMs = 0;
  wallMs = (): number => systemClock.wallMs();
  monotonicMs = (): number => systemClock.monotonicMs() + this.jumpMs;
}

/** Settings of a service without spacing between the refunds of one order, changed by `env`. */
export function testSettings(env: Readonly<Record<string, string>> = {}): Settings {
  return loadSettings({
    DATABASE_URL: 'postgres://localhost/unused',
    MASTER_KEYS: `test:${randomBytes(32).toString('base64')}`,
    MASTER_KEY_ACTIVE: 'test',
    ADMIN_API_KEY: 'admin_key_of_the_tests_0000000000',
    WECHATPAY_BASE_URL: 'https://localhost:1',
    REFUND_SPACING_SECONDS: '0',
    ...env,
  });
}

/** What an instance can be given instead of its own: WeChat, its way there, its units of work. */
export interface Parts {
  readonly gateway: ScriptedGateway;
  readonly wire: RefundGateway;
  readonly uow: WorkerUnitOfWork;
}

/** The real services of the refunds domain on a database of their own, with WeChat behind a scripted gateway. */
export class RefundDomain {
  readonly gateway: ScriptedGateway;
  readonly clock = new JumpingClock();
  readonly ledger: RefundLedger;
  readonly inquiry: RefundInquiry;
  readonly dispatcher: Dispatcher;
  readonly reconciler: Reconciler;
  readonly reads: RefundReads;
  readonly service: RefundsService;
  readonly actions: RefundActions;
  readonly merchants: MerchantsService;
  readonly notifications: NotificationsService;
  readonly directory: SealedMerchantDirectory;
  /** What WeChat says to a check of a merchant's credentials. */
  probeResults: readonly ProbeResult[] = [{ kind: 'api_v2_key', result: 'ok', wechatCode: null, message: '' }];
  private aheadSeconds = 0;
  private working = false;

  private constructor(
    readonly database: TestDatabase,
    readonly settings: Settings,
    parts: Partial<Parts> = {},
  ) {
    this.gateway = parts.gateway ?? new ScriptedGateway();
    const wire = parts.wire ?? this.gateway;
    const uow = parts.uow ?? database.uow;
    const worker = parts.uow ?? new WorkerUnitOfWork(database.dataSource);
    const reads = new RefundReads(uow);
    this.reads = reads;
    const targets = new RefundTargets(uow, settings);
    const sealer = new Sealer(settings);
    const probe = { probe: () => Promise.resolve(this.probeResults) };
    this.ledger = new RefundLedger(settings);
    this.inquiry = new RefundInquiry(this.ledger, wire);
    this.dispatcher = new Dispatcher(worker, this.ledger, settings, wire, this.clock);
    this.reconciler = new Reconciler(worker, this.inquiry, this.ledger, settings, wire);
    this.service = new RefundsService(uow, settings, targets, this.dispatcher);
    this.actions = new RefundActions(uow, settings, this.ledger, reads, targets, this.inquiry, this.dispatcher);
    this.directory = new SealedMerchantDirectory(uow, sealer, settings, this.clock);
    this.merchants = new MerchantsService(uow, sealer, this.directory, settings, probe, this.clock);
    this.notifications = new NotificationsService(uow, this.ledger, this.reconciler, sealer);
  }

  /** With `env` over the settings of {@link testSettings}; the workers do not run before {@link work}. */
  static async start(env: Readonly<Record<string, string>> = {}): Promise<RefundDomain> {
    setLogLevel('error');
    return new RefundDomain(await createTestDatabase(), testSettings(env));
  }

  /** A second instance: its own services on its own connections to the same database, before the same WeChat. */
  async second(): Promise<RefundDomain> {
    return new RefundDomain(await sameDatabase(this.database), this.settings, { gateway: this.gateway });
  }

  /** Services on connections and before a WeChat that a test brings along. */
  static on(database: TestDatabase, settings: Settings, parts: Partial<Parts>): RefundDomain {
    return new RefundDomain(database, settings, parts);
  }

  /** Starts dispatcher and reconciler. */
  work(): void {
    this.working = true;
    this.dispatcher.onApplicationBootstrap();
    this.reconciler.onApplicationBootstrap();
  }

  /** Ends dispatcher and reconciler. */
  async rest(): Promise<void> {
    if (!this.working) return;
    await this.dispatcher.beforeApplicationShutdown();
    await this.reconciler.beforeApplicationShutdown();
  }

  async close(): Promise<void> {
    await this.rest();
    await this.database.close();
  }

  /** Moves database time on; the workers look at once. */
  async forward(seconds: number): Promise<void> {
    this.aheadSeconds += seconds;
    await this.database.shiftClock(`${this.aheadSeconds} seconds`);
    this.dispatcher.wake();
    this.reconciler.wake();
  }

  /** Stops database time at this moment, an SQL expression. */
  async freeze(moment: string): Promise<void> {
    const [row] = await this.sql<{ at: string }>(`SELECT (${moment})::text AS at`);
    await this.sql(`CREATE OR REPLACE FUNCTION tuikuan_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
      AS $$ SELECT timestamptz '${row?.at ?? ''}' $$`);
  }

  sql<T>(sql: string, parameters: readonly unknown[] = []): Promise<T[]> {
    return this.database.uow.query<T>(sql, parameters);
  }

  async merchant(more: { api_version?: 'v2' | 'v3'; refund_notify?: 'confirm' | 'apply' } = {}): Promise<Merchant> {
    counter += 1;
    const mchId = `19${String(process.pid).padStart(7, '0').slice(-7)}${String(counter).padStart(4, '0')}`;
    const appid = `wx${unique()}`;
    await this.merchants.create(ADMIN, { mch_id: mchId, name: 'test', api_version: 'v2', ...more });
    await this.sql(`INSERT INTO mini_program VALUES ($1, 'test', tuikuan_now(), tuikuan_now())`, [appid]);
    await this.sql('INSERT INTO mini_program_merchant VALUES ($1, $2)', [appid, mchId]);
    return { mchId, appid };
  }

  /** A paid order; `paidAt` is an SQL expression. */
  async order(merchant: Merchant, paidFen = 1000, paidAt = `tuikuan_now() - interval '1 hour'`): Promise<Order> {
    const id = newUuid();
    const outTradeNo = `T${unique()}`;
    await this.sql(
      `INSERT INTO payment_order (id, mch_id, appid, out_trade_no, status, amount_fen, paid_fen, source, request_digest, paid_at,
         created_by, created_at, updated_at)
       SELECT $1, $2, $3, $4, 'paid', $5::bigint, $5::bigint, 'register', '\\x00', ${paidAt}, 'test', tuikuan_now(), tuikuan_now()`,
      [id, merchant.mchId, merchant.appid, outTradeNo, paidFen],
    );
    return { ...merchant, id, outTradeNo, paidFen };
  }

  /** As many orders as said, each with room for one refund and more. */
  orders(merchant: Merchant, count: number): Promise<Order[]> {
    return Promise.all(Array.from({ length: count }, () => this.order(merchant)));
  }

  /** Asks for a refund through the service. */
  async refund(order: Order, amount = 300, wish: Partial<RefundWish> = {}): Promise<Refund> {
    const outRefundNo = wish.out_refund_no ?? `R${unique()}`;
    const asked = { order: publicId('order', order.id), amount, out_refund_no: outRefundNo, ...wish };
    const { refund } = await this.service.requestRefund(ADMIN, asked);
    return { id: publicId('refund', refund.id), uuid: refund.id, outRefundNo, order };
  }

  /** Puts a refund into any state without a history, its money counted; `columns` are SQL expressions by name. */
  async plant(
    order: Order,
    state: RefundState,
    amount = 300,
    columns: Readonly<Record<string, string>> = {},
  ): Promise<Refund> {
    const uuid = newUuid();
    const outRefundNo = `R${unique()}`;
    const names = Object.keys(columns);
    await this.sql(
      `WITH made AS (
         INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, request_digest,
           created_by, created_at, updated_at${names.map((name) => `, ${name}`).join('')})
         SELECT $1, $2, $3, $4, $5, $6::bigint, $7, tuikuan_now(), 'api', '\\x00', 'test', tuikuan_now(),
           tuikuan_now()${names.map((name) => `, ${columns[name] ?? 'NULL'}`).join('')}
         RETURNING id, state, amount_fen),
       counted AS (
         UPDATE payment_order o SET
           reserved_fen = o.reserved_fen + CASE WHEN m.state IN ('succeeded', 'closed', 'rejected', 'canceled') THEN 0 ELSE m.amount_fen END,
           refunded_fen = o.refunded_fen + CASE WHEN m.state = 'succeeded' THEN m.amount_fen ELSE 0 END,
           refund_count = o.refund_count + CASE WHEN m.state IN ('closed', 'rejected', 'canceled') THEN 0 ELSE 1 END
         FROM made m WHERE o.id = $2)
       INSERT INTO refund_event (refund_id, seq, to_state, cause, at) SELECT id, 1, state, 'request', tuikuan_now() FROM made`,
      [uuid, order.id, order.mchId, order.appid, outRefundNo, amount, state],
    );
    return { id: publicId('refund', uuid), uuid, outRefundNo, order };
  }

  /** WeChat's word about a refund: everything as it is here unless changed. */
  async shown(refund: Refund, change: Partial<ShownRefund> = {}): Promise<ShownRefund> {
    const [row] = await this.sql<{ amount_fen: string; refund_id: string | null }>(
      'SELECT amount_fen, refund_id FROM refund WHERE id = $1',
      [refund.uuid],
    );
    const { mchId, appid, outTradeNo, paidFen } = refund.order;
    const status = change.status ?? 'accepted';
    return {
      status,
      mchId,
      appid,
      outTradeNo,
      transactionId: null,
      outRefundNo: refund.outRefundNo,
      refundId: row?.refund_id ?? `50${refund.outRefundNo}`,
      refundFen: Number(row?.amount_fen),
      totalFen: paidFen,
      userReceivedAccount: null,
      succeededAt: status === 'succeeded' ? '2026-01-01T00:00:00+08:00' : null,
      wechatStatus: status.toUpperCase(),
      ...change,
    };
  }

  /** A notice about a refund, opened, comes in, V2 unless said otherwise; it says what `change` does not change as it is here. */
  async notice(
    refund: Refund,
    change: Partial<ShownRefund>,
    { version = 'v2', dedupeKey = unique() }: { version?: 'v2' | 'v3'; dedupeKey?: string } = {},
  ): Promise<void> {
    const account = await this.directory.byMchId(refund.order.mchId);
    if (!account) throw new Error('the merchant is not known');
    const shown = await this.shown(refund, change);
    await this.notifications.receive({
      kind: 'refund',
      account,
      version,
      text: '<root/>',
      dedupeKey,
      shown,
    });
  }

  /** What became of the notices about a refund, oldest first. */
  notices({ uuid }: Refund): Promise<{ result: string; reason: string | null }[]> {
    return this.sql('SELECT result, reason FROM notification WHERE refund_id = $1 ORDER BY id', [uuid]);
  }

  /** From now on WeChat shows this refund so. */
  async show(refund: Refund, change: Partial<ShownRefund>): Promise<void> {
    this.gateway.holds.set(refund.outRefundNo, await this.shown(refund, change));
  }

  async row({ uuid }: Pick<Refund, 'uuid'>): Promise<Row> {
    const [row] = await this.sql<Row>('SELECT * FROM refund WHERE id = $1', [uuid]);
    if (!row) throw new Error(`there is no refund ${uuid}`);
    return row;
  }

  /** The refund behind a public id. */
  uuid(id: string): string {
    return uuidOf('refund', id) ?? '';
  }

  events({ uuid }: Pick<Refund, 'uuid'>): Promise<Event[]> {
    return this.sql<Event>('SELECT * FROM refund_event WHERE refund_id = $1 ORDER BY seq', [uuid]);
  }

  async incidents(refund: Pick<Refund, 'uuid'>): Promise<string[]> {
    return (await this.events(refund)).map(({ incident }) => incident).filter((code) => code !== null);
  }

  async counters({ id }: Order): Promise<Counters> {
    const [row] = await this.sql<Counters>(
      `SELECT reserved_fen::int AS reserved, refunded_fen::int AS refunded, outside_fen::int AS outside, refund_count AS count
       FROM payment_order WHERE id = $1`,
      [id],
    );
    if (!row) throw new Error(`there is no order ${id}`);
    return row;
  }

  /** How many refunds of a merchant are in each state. */
  async states({ mchId }: Merchant): Promise<Record<string, number>> {
    const rows = await this.sql<{ state: string; n: number }>(
      'SELECT state, count(*)::int AS n FROM refund WHERE mch_id = $1 GROUP BY state',
      [mchId],
    );
    return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
  }

  async pause({ mchId }: Merchant): Promise<'configuration' | 'too_many_requests' | null> {
    const [row] = await this.sql<{ pause_reason: 'configuration' | 'too_many_requests' | null }>(
      'SELECT pause_reason FROM merchant_rate WHERE mch_id = $1',
      [mchId],
    );
    return row?.pause_reason ?? null;
  }

  /** Database time in milliseconds. */
  async nowMs(): Promise<number> {
    const [row] = await this.sql<{ ms: string }>('SELECT extract(epoch FROM tuikuan_now()) * 1000 AS ms');
    return Number(row?.ms);
  }

  /** Seconds from database time to a moment; null stays null. */
  async secondsUntil(moment: Date | null): Promise<number | null> {
    return moment === null ? null : Math.round((moment.getTime() - (await this.nowMs())) / 1000);
  }

  /** Waits for a state; throws with the refund's history when it does not come. */
  async until(refund: Refund, ...states: readonly RefundState[]): Promise<Row> {
    const row = await this.eventually(
      () => this.row(refund),
      ({ state }) => states.includes(state),
    );
    if (states.includes(row.state)) return row;
    const history = (await this.events(refund)).map((event) => JSON.stringify(event)).join('\n');
    throw new Error(`${refund.outRefundNo} is ${row.state}, not ${states.join(' or ')}\n${history}`);
  }

  /** Reads until `done`; gives the last value either way, so that the expectation after it shows what is wrong. */
  async eventually<T>(
    read: () => T | Promise<T>,
    done: (value: T) => boolean = (value) => Boolean(value),
    seconds = 10,
  ): Promise<T> {
    let value = await read();
    for (let waitedMs = 0; waitedMs < seconds * 1000 && !done(value); waitedMs += 20) {
      await sleep(20);
      value = await read();
    }
    return value;
  }

  /**
   * Waits until both workers have twice looked for work and done what they found, which refunds of other merchants show: what they would
   * do by now is done.
   */
  async quiet(): Promise<void> {
    for (let round = 0; round < 2; round += 1) {
      const merchant = await this.merchant();
      this.gateway.exempt.add(merchant.mchId);
      const [one, other] = await this.orders(merchant, 2);
      if (!one || !other) return;
      const sent = await this.plant(one, 'queued', 1, { next_attempt_at: 'tuikuan_now()' });
      const asked = await this.plant(other, 'outcome_unknown', 1, { next_query_at: 'tuikuan_now()', attempts: '10' });
      this.dispatcher.wake();
      this.reconciler.wake();
      await this.until(sent, 'accepted');
      await this.eventually(() => this.gateway.queriesOf(asked.outRefundNo).length > 0);
    }
  }

  /** What does not hold in the database; empty when all is well. */
  broken(): Promise<Record<string, readonly unknown[]>> {
    return brokenInvariants((sql) => this.sql(sql), { planted: true });
  }
}
