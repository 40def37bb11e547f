import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { testSettings } from '../../support/refund-domain.js';
import { brokenInvariants } from '../../support/invariants.js';
import type { Settings } from '../../../src/config/settings.js';
import pg from 'pg';

/**
 * The database of many runs, one after the other. Its clock is moved by a sequence, which every session sees at once and for which no
 * statement is planned anew.
 */
const CLOCK_SQL = `
  CREATE SEQUENCE test_ahead_seconds;
  SELECT setval('test_ahead_seconds', 1);
  CREATE OR REPLACE FUNCTION tuikuan_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
    AS $$ SELECT clock_timestamp() + make_interval(secs => pg_sequence_last_value('test_ahead_seconds'::regclass)) $$`;

/** Tables of which a copy holds what one merchant has in them, in the order of their filling; and what belongs to it. */
const COPIES: Readonly<Record<string, string>> = {
  payment_order: 'mch_id = $1',
  refund: 'mch_id = $1',
  refund_event: 'refund_id IN (SELECT id FROM one_merchant.refund)',
  gateway_call: 'mch_id = $1',
  notification: 'mch_id = $1',
  outgoing_event: 'order_id IN (SELECT id FROM one_merchant.payment_order)',
};

const COPIES_SQL = Object.keys(COPIES)
  .map((table) => `CREATE UNLOGGED TABLE one_merchant.${table} (LIKE public.${table} INCLUDING INDEXES);`)
  .join('\n');

/** What is left over of a run is never due again. */
const PUT_AWAY_SQL = `
  WITH m AS (UPDATE merchant SET enabled = false WHERE mch_id = $1),
  r AS (UPDATE refund SET next_attempt_at = NULL, next_query_at = NULL, lease_token = NULL, lease_until = NULL WHERE mch_id = $1),
  n AS (UPDATE notification SET next_query_at = NULL WHERE mch_id = $1),
  o AS (UPDATE payment_order SET refunds_query_at = NULL WHERE mch_id = $1)
  UPDATE merchant_rate SET release_at = NULL, paused_at = NULL, pause_reason = NULL, paused_until = NULL, next_probe_at = NULL,
    probe_refund_id = NULL WHERE mch_id = $1`;

/** Few, since many lanes share one PostgreSQL. */
const CONNECTIONS_MAX = 6;

/** What many runs share, one run at a time: a database whose time only moves on, and the connections to it. */
export class Lane {
  aheadSeconds = 1;

  private constructor(
    readonly database: TestDatabase,
    readonly settings: Settings,
    private readonly inspector: pg.Client,
  ) {}

  static async start(): Promise<Lane> {
    const database = await createTestDatabase(CONNECTIONS_MAX);
    await database.dataSource.query(CLOCK_SQL);
    await database.dataSource.query(`CREATE SCHEMA one_merchant;\n${COPIES_SQL}`);
    const inspector = new pg.Client({ connectionString: database.url });
    await inspector.connect();
    await inspector.query('SET search_path = one_merchant, public');
    return new Lane(database, testSettings({ REFUND_SPACING_SECONDS: '60' }), inspector);
  }

  async close(): Promise<void> {
    await this.inspector.end();
    await this.database.close();
  }

  async forward(seconds: number): Promise<void> {
    this.aheadSeconds += seconds;
    await this.sql(`SELECT setval('test_ahead_seconds', $1)`, [this.aheadSeconds]);
  }

  /** The lane's own time in seconds. */
  nowSeconds = (): number => this.aheadSeconds + performance.now() / 1000;

  sql<T>(sql: string, parameters: readonly unknown[] = []): Promise<T[]> {
    return this.database.uow.query<T>(sql, parameters);
  }

  /** What does not hold of one merchant: the invariants see its rows only, so they cost the same after many runs. */
  async brokenOf(mchId: string): Promise<Record<string, readonly unknown[]>> {
    const fill = Object.entries(COPIES).map(
      ([table, whose]) =>
        `DELETE FROM one_merchant.${table};
         INSERT INTO one_merchant.${table} SELECT * FROM public.${table} WHERE ${whose.replace('$1', `'${mchId}'`)};`,
    );
    await this.inspector.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; ${fill.join('')} COMMIT`);
    return brokenInvariants(async (sql) => (await this.inspector.query<Record<string, unknown>>(sql)).rows);
  }

  async putAway(mchId: string): Promise<void> {
    await this.sql(PUT_AWAY_SQL, [mchId]);
  }
}
