import pg from 'pg';
import { ALWAYS, checkInvariants } from '../../src/commands/invariants/check-invariants.js';
import { readOnly } from '../../src/database/read-only.js';
import { APPID, MCH_ID, seed } from '../integration/events/support.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

/**
 * How long `check-invariants` takes at `REFUNDS` refunds (a million), each asked for, sent, accepted, told of by a notice, asked about and
 * succeeded: four refund events, three outgoing events, two calls and a notice each, four refunds to an order. Filled set by set without triggers and foreign keys,
 * which takes a minute or two: `npm run bench:invariants`.
 */
const REFUNDS = Number(process.env['REFUNDS'] ?? 1_000_000);
const PER_ORDER = 4;

const EVENTS = [
  ['NULL', 'queued', 'request', 'NULL'],
  ["'queued'", 'submitting', 'claim', 'c.sent'],
  ["'submitting'", 'accepted', 'answer', 'c.sent'],
  ["'accepted'", 'succeeded', 'query', 'c.asked'],
] as const;
const TOLD = ['refund.created', 'refund.processing', 'refund.succeeded'] as const;

const FILL = [
  'SET session_replication_role = replica',
  `INSERT INTO payment_order (id, mch_id, appid, out_trade_no, status, amount_fen, paid_fen, refunded_fen, refund_count, paid_at, verified,
     source, request_digest, created_by, created_at, updated_at)
   SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '${MCH_ID}', '${APPID}', 'order-' || n, 'paid', 1000, 1000,
     ${PER_ORDER} * 10, ${PER_ORDER}, now() - interval '1 day', true, 'prepay', '', 'key_bench', now(), now()
   FROM generate_series(0, ${REFUNDS / PER_ORDER - 1}) n`,
  `INSERT INTO refund (id, order_id, mch_id, appid, out_refund_no, amount_fen, state, state_since, version, source, request_digest, created_by,
     created_at, updated_at, first_sent_at, succeeded_at, api_version, event_sequence)
   SELECT ('01910000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
     ('01900000-0000-7000-8000-' || lpad(to_hex(n / ${PER_ORDER}), 12, '0'))::uuid, '${MCH_ID}', '${APPID}', 'refund-' || n, 10, 'succeeded',
     now(), 4, 'api', '', 'key_bench', now(), now(), now(), now(), 'v2', 3
   FROM generate_series(0, ${REFUNDS - 1}) n`,
  `CREATE TEMPORARY TABLE call AS SELECT id AS refund_id, gen_random_uuid() AS sent, gen_random_uuid() AS asked FROM refund`,
  ...(['sent', 'asked'] as const).map(
    (
      name,
    ) => `INSERT INTO gateway_call (id, mch_id, refund_id, order_id, kind, api_version, intent_at, done_at, outcome)
     SELECT c.${name}, r.mch_id, r.id, r.order_id, '${name === 'sent' ? 'refund' : 'refund_query'}', 'v2', now(), now(), 'shown'
     FROM refund r JOIN call c ON c.refund_id = r.id`,
  ),
  ...EVENTS.map(
    ([from, to, cause, source], place) =>
      `INSERT INTO refund_event (refund_id, seq, from_state, to_state, cause, source_id, actor, at)
       SELECT c.refund_id, ${place + 1}, ${from}, '${to}', '${cause}', ${source}, 'key_bench', '2026-01-01' FROM call c`,
  ),
  ...TOLD.map(
    (type, place) =>
      `INSERT INTO outgoing_event (id, type, subject_id, refund_id, order_id, appid, sequence, snapshot, at, fanned_out_at)
       SELECT uuid7(now()), '${type}', id, id, order_id, appid, ${place + 1}, '{}', '2026-01-01', now() FROM refund`,
  ),
  `INSERT INTO notification (id, mch_id, appid, kind, version, dedupe_key, received_at, last_received_at, status, result, refund_id, order_id,
     kek_id, content)
   SELECT gen_random_uuid(), mch_id, appid, 'refund', 'v2', id::text, now(), now(), 'succeeded', 'applied', id, order_id, 'test', '' FROM refund`,
  'SET session_replication_role = DEFAULT',
];

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await seed(database);
});
afterAll(() => database.close());

it('check-invariants', async () => {
  const began = performance.now();
  await fill();
  const filledMs = performance.now() - began;
  const start = performance.now();
  const { invariants, findings } = await checkInvariants(database.url, {});
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  expect(findings).toEqual([]);
  const slowest = await timesOf();
  process.stdout.write(
    `check-invariants: ${invariants.length} invariants over ${REFUNDS} refunds in ${seconds} s (filled in ${Math.round(filledMs / 1000)} s)\n${slowest}\n`,
  );
});

async function fill(): Promise<void> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  for (const sql of ['SET statement_timeout = 0; SET lock_timeout = 0', ...FILL, 'ANALYZE']) await client.query(sql);
  await client.end();
}

/** The three slowest by themselves. */
async function timesOf(): Promise<string> {
  const times = await readOnly(database.url, async (connection) => {
    const taken: (readonly [number, string])[] = [];
    for (const { name, sql } of ALWAYS) {
      const start = performance.now();
      await connection.query(sql);
      taken.push([Math.round(performance.now() - start), name]);
    }
    return taken.sort(([a], [b]) => b - a).slice(0, 3);
  });
  return times.map(([ms, name]) => `  ${ms} ms ${name}`).join('\n');
}
