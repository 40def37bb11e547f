import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../common/clock.js';
import { UnitOfWork } from '../database/unit-of-work.js';

/** Scrapes within this time share one reading, however many servers scrape. */
const CACHE_MS = 5000;

interface StateFigures {
  readonly state: string;
  readonly count: number;
  readonly oldest_seconds: number;
}

/** What /metrics reads from the database. */
export interface DatabaseFigures {
  /** Refunds that wait for something, by state; final states are as many as there ever were and are not counted. */
  readonly refunds: readonly StateFigures[];
  readonly deliveries_pending: number;
  readonly deliveries_oldest_seconds: number;
  readonly events_waiting: number;
  readonly notices_waiting: number;
  readonly merchants: readonly {
    readonly mch_id: string;
    readonly rate: number;
    readonly pause_reason: string | null;
  }[];
  readonly certificates: readonly { readonly mch_id: string; readonly kind: string; readonly days_left: number }[];
  readonly endpoints: readonly { readonly state: string; readonly count: number }[];
}

/**
 * One statement, in which every part reads a partial index that is as small as what waits, or a table of configuration. The states part
 * each by the index that holds them: what is to be sent (refund_due_idx), what is to be asked (refund_query_due_idx), what is on
 * the wire (refund_lease_idx) and what is blocked (refund_blocked_idx). A million finished refunds are not looked at.
 */
export const FIGURES_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  waiting AS (
    SELECT state, state_since FROM refund WHERE next_attempt_at IS NOT NULL
    UNION ALL
    SELECT state, state_since FROM refund
    WHERE next_query_at IS NOT NULL AND state IN ('outcome_unknown', 'accepted', 'abnormal', 'mismatch')
    UNION ALL
    SELECT state, state_since FROM refund WHERE lease_until IS NOT NULL AND state = 'submitting'
    UNION ALL
    SELECT state, state_since FROM refund WHERE state = 'blocked'),
  refunds AS (
    SELECT state, count(*) AS count, extract(epoch FROM c.now - min(state_since)) AS oldest_seconds
    FROM waiting, clock c GROUP BY state, c.now),
  deliveries AS (
    SELECT count(*) AS pending, coalesce(extract(epoch FROM max(c.now) - min(d.created_at)), 0) AS oldest_seconds
    FROM webhook_delivery d, clock c WHERE d.state = 'pending'),
  merchants AS (
    SELECT q.mch_id, q.rate_per_second AS rate,
      CASE WHEN q.paused_until <= c.now THEN NULL ELSE q.pause_reason END AS pause_reason
    FROM merchant_rate q, clock c),
  certificates AS (
    SELECT mch_id, kind, extract(epoch FROM valid_until - c.now) / 86400 AS days_left
    FROM credential, clock c WHERE replaced_at IS NULL AND valid_until IS NOT NULL),
  endpoints AS (
    SELECT coalesce(disabled_reason, 'enabled') AS state, count(*) AS count
    FROM webhook_endpoint WHERE disabled_reason IS DISTINCT FROM 'deleted' GROUP BY 1)
  SELECT jsonb_build_object(
    'refunds', coalesce((SELECT jsonb_agg(to_jsonb(r)) FROM refunds r), '[]'),
    'deliveries_pending', (SELECT pending FROM deliveries),
    'deliveries_oldest_seconds', (SELECT oldest_seconds FROM deliveries),
    'events_waiting', (SELECT count(*) FROM outgoing_event WHERE fanned_out_at IS NULL),
    'notices_waiting', (SELECT count(*) FROM notification WHERE result = 'waiting_for_query'),
    'merchants', coalesce((SELECT jsonb_agg(to_jsonb(m)) FROM merchants m), '[]'),
    'certificates', coalesce((SELECT jsonb_agg(to_jsonb(k)) FROM certificates k), '[]'),
    'endpoints', coalesce((SELECT jsonb_agg(to_jsonb(e)) FROM endpoints e), '[]')) AS figures`;

/** Reads the figures at most once in 5 seconds. */
@Injectable()
export class DatabaseFiguresReader {
  private last: { readonly figures: Promise<DatabaseFigures>; readonly atMs: number } | null = null;

  constructor(
    private readonly uow: UnitOfWork,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Errors as of {@link UnitOfWork}; an error is not kept. */
  read(): Promise<DatabaseFigures> {
    const nowMs = this.clock.monotonicMs();
    if (this.last && nowMs - this.last.atMs < CACHE_MS) return this.last.figures;
    const figures = this.fresh();
    this.last = { figures, atMs: nowMs };
    figures.catch(() => (this.last = null));
    return figures;
  }

  private fresh(): Promise<DatabaseFigures> {
    return this.uow.run(async (tx) => {
      // Whatever the planner believes of the tables: a scan of all refunds is never cheaper.
      await tx.query('SET LOCAL enable_seqscan = off');
      const [row] = await tx.query<{ figures: DatabaseFigures }[]>(FIGURES_SQL);
      return row?.figures as DatabaseFigures;
    });
  }
}
