import { systemClock } from '../../../src/common/clock.js';
import { DatabaseFiguresReader, FIGURES_SQL } from '../../../src/operations/database-figures.js';
import { createTestDatabase, runSql, type TestDatabase } from '../../support/database.js';
import { makeOrder, seed, takeIn } from '../events/support.js';

const FINISHED = 20_000;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await seed(database);
  const { id } = await makeOrder(database, { paidFen: 1_000_000 });
  // On a connection of its own: a slow machine takes longer for it than the role's statement_timeout allows the service.
  await runSql(
    database.url,
    `SET statement_timeout = 0;
    INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, source, created_by, created_at,
      updated_at, succeeded_at)
    SELECT gen_random_uuid(), o.id, o.mch_id, o.appid, 'F' || n, 1, (ARRAY['succeeded', 'closed', 'rejected', 'canceled'])[n % 4 + 1], c.now, 'api', 'key_test', c.now, c.now, c.now
    FROM payment_order o, (SELECT tuikuan_now() AS now) c, generate_series(1, ${FINISHED}) n WHERE o.id = '${id}';
    ANALYZE refund`,
  );
});
afterAll(() => database.close());

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly Plans?: readonly PlanNode[];
}

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

it('a scrape looks at what waits, however many refunds are finished', async () => {
  const order = await makeOrder(database, { paidFen: 1000 });
  for (const amountFen of [1, 2, 3]) await takeIn(database, order, amountFen);
  const nodes = await database.uow.run(async (tx) => {
    await tx.query('SET LOCAL enable_seqscan = off');
    const [row] = await tx.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }[]>(
      `EXPLAIN (ANALYZE, FORMAT JSON) ${FIGURES_SQL}`,
    );
    return nodesOf(row?.['QUERY PLAN'][0]?.Plan as PlanNode);
  });
  const growing = ['refund', 'notification', 'webhook_delivery', 'outgoing_event'];
  const scans = nodes.filter((node) => growing.includes(node['Relation Name'] ?? ''));
  expect(scans.length).toBeGreaterThanOrEqual(7);
  expect(scans.map((node) => node['Node Type']).filter((type) => type === 'Seq Scan')).toEqual([]);
  const indexes = new Set(nodes.map((node) => node['Index Name']));
  // That of the states holds what is on the wire and what is blocked as closely as their own.
  for (const names of [
    ['refund_due_idx'],
    ['refund_query_due_idx'],
    ['refund_lease_idx', 'refund_state_idx'],
    ['refund_blocked_idx', 'refund_state_idx'],
  ])
    expect(names.filter((name) => indexes.has(name))).not.toEqual([]);
  expect(Math.max(...scans.map((node) => node['Actual Rows']))).toBeLessThan(10);
});

it('waiting refunds are told by state with the age of the oldest, finished ones not', async () => {
  const reader = new DatabaseFiguresReader(database.uow, systemClock);
  const before = await reader.read();
  expect(before.refunds).toEqual([{ state: 'queued', count: 3, oldest_seconds: expect.any(Number) as number }]);
  await database.shiftClock('1 hour');
  const later = await new DatabaseFiguresReader(database.uow, systemClock).read();
  expect(later.refunds[0]?.oldest_seconds).toBeGreaterThan(3599);
  await database.shiftClock('0');
});

it('scrapes within five seconds share one reading', async () => {
  let nowMs = 0;
  const reader = new DatabaseFiguresReader(database.uow, { wallMs: () => nowMs, monotonicMs: () => nowMs });
  const first = await reader.read();
  nowMs = 4999;
  expect(await reader.read()).toBe(first);
  nowMs = 5000;
  expect(await reader.read()).not.toBe(first);
});
