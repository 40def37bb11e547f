import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { instruments } from '../common/instruments.js';
import { incidentCounts } from '../common/log.js';
import { Settings } from '../config/settings.js';
import { UnitOfWork, WorkerUnitOfWork } from '../database/unit-of-work.js';
import { noticeRefusalCounts } from '../notifications/notice-answers.js';
import { Connections } from '../wechat-pay/connections.js';
import { type DatabaseFigures, DatabaseFiguresReader } from './database-figures.js';
import { type Warning, Warnings } from './warnings.js';

/** The gauges that are set anew at each scrape, by what they show. */
const GAUGES = {
  refunds: ['Refunds that wait for something, by state; final states are not counted.', 'state'],
  refund_oldest_seconds: ['How long the oldest refund has been in its waiting state.', 'state'],
  webhook_deliveries_pending: ['Events that wait to be delivered, over all endpoints.'],
  webhook_delivery_oldest_seconds: ['Age of the oldest of these.'],
  events_waiting: ['Events that no worker has looked at yet.'],
  webhook_endpoints: ['Endpoints: enabled, or why they are not.', 'state'],
  notices_waiting: ['Notices whose confirming query has not come back.'],
  merchant_send_rate: ['Sends per second the merchant may make now.', 'mch_id'],
  merchant_paused: ['1 while nothing is sent for the merchant, by reason.', 'mch_id', 'reason'],
  warnings: ['What will stop work unless a person acts, by code.', 'code', 'mch_id'],
  certificate_days_left: ['Days until a credential of the merchant ends; negative afterwards.', 'mch_id', 'kind'],
  database_connections: ['Connections of each pool: busy, idle, and callers waiting for one.', 'pool', 'state'],
  wechat_clock_skew_seconds: ['The process clock minus WeChat’s, by its last answer.'],
  database_up: ['1 when the figures above that come from the database could be read.'],
} as const satisfies Record<string, readonly [help: string, ...labels: string[]]>;

type GaugeName = keyof typeof GAUGES;

/**
 * What Prometheus reads: counters of this process (common/instruments.ts), figures of the database at most 5 s old, pools and event
 * loop. While the database is away the rest is still told.
 */
@Injectable()
export class Metrics implements OnModuleDestroy {
  private readonly registry = new Registry();
  private readonly gauges: ReadonlyMap<GaugeName, Gauge>;

  constructor(
    private readonly figures: DatabaseFiguresReader,
    private readonly warnings: Warnings,
    private readonly settings: Settings,
    private readonly uow: UnitOfWork,
    private readonly workers: WorkerUnitOfWork,
    @Inject(Connections) private readonly connections: Connections,
  ) {
    const registers = [this.registry];
    this.gauges = new Map(
      (Object.keys(GAUGES) as GaugeName[]).map((name) => {
        const [help, ...labelNames] = GAUGES[name];
        return [name, new Gauge({ name: `tuikuan_${name}`, help, labelNames, registers })];
      }),
    );
    countedElsewhere('incidents', 'code', incidentCounts, registers);
    countedElsewhere('notice_refusals', 'reason', noticeRefusalCounts, registers);
    collectDefaultMetrics({ register: this.registry });
  }

  onModuleDestroy(): void {
    this.registry.clear();
  }

  /** The text exposition. */
  async text(): Promise<string> {
    for (const gauge of this.gauges.values()) gauge.reset();
    this.showProcess();
    await Promise.all([this.figures.read(), this.warnings.standing()]).then(
      ([figures, warnings]) => this.showDatabase(figures, warnings),
      () => this.set('database_up', 0),
    );
    return `${await this.registry.metrics()}\n${await instruments.metrics()}`;
  }

  private showProcess(): void {
    const pools: Record<string, UnitOfWork> =
      this.settings.role === 'api' ? { http: this.uow } : { http: this.uow, worker: this.workers };
    for (const [pool, { pool: figures }] of Object.entries(pools)) {
      this.set('database_connections', figures.open - figures.idle, { pool, state: 'busy' });
      this.set('database_connections', figures.idle, { pool, state: 'idle' });
      this.set('database_connections', figures.waiting, { pool, state: 'waiting' });
    }
    const { ms } = this.connections.skew;
    if (ms !== null) this.set('wechat_clock_skew_seconds', ms / 1000);
  }

  private showDatabase(figures: DatabaseFigures, warnings: readonly Warning[]): void {
    this.set('database_up', 1);
    for (const { code, mchId } of warnings) this.gauges.get('warnings')?.inc({ code, mch_id: mchId ?? '' });
    for (const { state, count, oldest_seconds: oldest } of figures.refunds) {
      this.set('refunds', count, { state });
      this.set('refund_oldest_seconds', oldest, { state });
    }
    this.set('webhook_deliveries_pending', figures.deliveries_pending);
    this.set('webhook_delivery_oldest_seconds', figures.deliveries_oldest_seconds);
    this.set('events_waiting', figures.events_waiting);
    this.set('notices_waiting', figures.notices_waiting);
    for (const { state, count } of figures.endpoints) this.set('webhook_endpoints', count, { state });
    for (const { mch_id, rate, pause_reason: reason } of figures.merchants) {
      this.set('merchant_send_rate', rate, { mch_id });
      if (reason !== null) this.set('merchant_paused', 1, { mch_id, reason });
    }
    for (const { mch_id, kind, days_left: days } of figures.certificates)
      this.set('certificate_days_left', days, { mch_id, kind });
  }

  private set(name: GaugeName, value: number, labels: Record<string, string> = {}): void {
    this.gauges.get(name)?.set(labels, value);
  }
}

/** A counter over counts that are kept in another place. */
function countedElsewhere(
  name: string,
  label: string,
  counts: () => ReadonlyMap<string, number>,
  registers: Registry[],
): void {
  new Counter({
    name: `tuikuan_${name}_total`,
    help: `${name.replaceAll('_', ' ')} since the start, by ${label}`,
    labelNames: [label],
    registers,
    collect() {
      this.reset();
      for (const [word, count] of counts()) this.inc({ [label]: word }, count);
    },
  });
}
