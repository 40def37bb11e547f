import pg from 'pg';
import { RefundReads } from '../../../src/refunds/refund-reads.js';
import type { ListRefundsQuery } from '../../../src/refunds/refunds.dto.js';
import type { UnitOfWork } from '../../../src/database/unit-of-work.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { fillTables } from '../../support/filled-tables.js';
import { ADMIN } from '../../support/refund-domain.js';

let database: TestDatabase;
let pool: pg.Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.url, max: 1 });
  await fillTables(pool, 40_000);
});
afterAll(async () => {
  await pool.end();
  await database.close();
});

interface Plan {
  readonly 'Node Type': string;
  readonly 'Index Name'?: string;
  readonly 'Relation Name'?: string;
  readonly Plans?: readonly Plan[];
}

/** How PostgreSQL reads the statement that the service makes of these filters. */
async function nodesOf(query: ListRefundsQuery): Promise<Plan[]> {
  let asked: readonly [string, readonly unknown[]] = ['', []];
  const uow = {
    query: (sql: string, parameters: readonly unknown[]) => {
      asked = [sql, parameters];
      return Promise.resolve([]);
    },
  };
  await new RefundReads(uow as unknown as UnitOfWork).list(ADMIN, query, 'en');
  const { rows } = await pool.query<{ 'QUERY PLAN': readonly { readonly Plan: Plan }[] }>(
    `EXPLAIN (FORMAT JSON) ${asked[0]}`,
    [...asked[1]],
  );
  const flat = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flat)];
  return (rows[0]?.['QUERY PLAN'] ?? []).flatMap(({ Plan: plan }) => flat(plan));
}

const LONG_AGO = new Date(Date.now() - 200 * 86_400_000).toISOString();
const DAY_AFTER = new Date(Date.now() - 199 * 86_400_000).toISOString();
const CURSOR = { cursor: Buffer.from(`re_${'0'.repeat(32)}`).toString('base64url') };

describe('a list of refunds is read by an index', () => {
  it.each<[ListRefundsQuery, string]>([
    [{}, 'refund_created_idx'],
    [CURSOR, 'refund_created_idx'],
    [{ created_lt: LONG_AGO }, 'refund_created_idx'],
    [{ created_gte: LONG_AGO, created_lt: DAY_AFTER }, 'refund_created_idx'],
    [{ state: 'succeeded' }, 'refund_created_idx'],
    [{ state: 'mismatch' }, 'refund_state_idx'],
    [{ state: 'queued' }, 'refund_state_idx'],
    [{ status: 'requires_action', mch_id: '1900000001' }, 'refund_state_idx'],
    [{ appid: 'wxtiny' }, 'refund_appid_idx'],
    [{ appid: 'wxmiddle' }, 'refund_appid_idx'],
    [{ appid: 'wxmiddle', ...CURSOR }, 'refund_appid_idx'],
    [{ appid: 'wxmiddle', created_gte: LONG_AGO, created_lt: DAY_AFTER }, 'refund_appid_idx'],
    [{ mch_id: '1900000003' }, 'refund_mch_id_idx'],
    [{ amount_gte: '99999999' }, 'refund_amount_idx'],
    [{ amount_gte: '1' }, 'refund_created_idx'],
    [{ out_trade_no: 'T-00000100' }, 'payment_order_number_idx'],
    [{ out_refund_no: 'R-00000100' }, 'refund_out_refund_no_key'],
    [{ refund_id: '500000000000000000000000000100' }, 'refund_refund_id_idx'],
    [{ order: `ord_${'0'.repeat(32)}` }, 'refund_order_idx'],
  ])('%j: %s', async (query, index) => {
    const nodes = await nodesOf(query);
    expect(nodes.map((node) => node['Index Name'])).toContain(index);
    expect(nodes.filter((node) => node['Node Type'] === 'Seq Scan').map((node) => node['Relation Name'])).not.toContain(
      'refund',
    );
  });
});
