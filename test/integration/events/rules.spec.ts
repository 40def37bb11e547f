import { constraintOf } from '../../../src/database/unit-of-work.js';
import { EVENT_TYPES, TEST_TYPE } from '../../../src/events/event-types.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { makeEndpoint, makeOrder, seed, takeIn } from './support.js';

let database: TestDatabase;
let ids: Readonly<Record<'order' | 'refund' | 'event' | 'endpoint' | 'delivery', string>>;
beforeAll(async () => {
  database = await createTestDatabase();
  await seed(database);
  const order = await makeOrder(database);
  const refund = await takeIn(database, order, 100);
  const endpoint = await makeEndpoint(database);
  const [event] = await database.uow.query<{ id: string }>('SELECT id FROM outgoing_event', []);
  const delivery = '01900000-0000-7000-8000-00000000000e';
  await database.uow.query(
    `INSERT INTO webhook_delivery (id, event_id, endpoint_id, subject_id, sequence, state, next_attempt_at, created_at)
     VALUES ($1, $2, $3, $4, 1, 'pending', now(), now())`,
    [delivery, event?.id, endpoint, refund.id],
  );
  await database.uow.query(
    `INSERT INTO webhook_attempt (id, delivery_id, at, result, latency) VALUES ($1, $1, now(), '2xx', 'under_1s')`,
    [delivery],
  );
  ids = { order: order.id, refund: refund.id, event: event?.id ?? '', endpoint, delivery };
});
afterAll(() => database.close());

/** Statements with the names of {@link ids} in braces. */
type Rule = readonly [guarantee: string, constraint: string, ...forbidden: string[]];
const NEW = '01900000-0000-7000-8000-0000000000aa';

/** Another event of the refund, with other values where the change says so. */
const event = (change: Record<string, unknown>): string =>
  `INSERT INTO outgoing_event SELECT (jsonb_populate_record(v, '${JSON.stringify({ id: NEW, sequence: 2, fanned_out_at: null, ...change })}')).*
   FROM outgoing_event v WHERE id = '{event}'`;
const endpoint = (assignment: string): string => `UPDATE webhook_endpoint SET ${assignment} WHERE id = '{endpoint}'`;
const delivery = (assignment: string): string => `UPDATE webhook_delivery SET ${assignment} WHERE id = '{delivery}'`;
const attempt = (result: string, latency: string): string =>
  `INSERT INTO webhook_attempt VALUES ('${NEW}', '{delivery}', now(), '${result}', '${latency}')`;

const RULES: readonly Rule[] = [
  ['a refund or order has a number of its events once', 'outgoing_event_sequence_key', event({ sequence: 1 })],
  ['events are counted from 1', 'outgoing_event_sequence_check', event({ sequence: 0 }), event({ sequence: -1 })],
  ['an event is about its refund', 'outgoing_event_subject_check', event({ subject_id: NEW })],
  ['a refund event names a refund', 'outgoing_event_kind_check', event({ refund_id: null, subject_id: '{order}' })],
  [
    'an order event names no refund, and an event of an app its app',
    'outgoing_event_kind_check',
    event({ type: 'order.paid' }),
    event({ appid: null }),
    event({ type: TEST_TYPE, refund_id: null, subject_id: '{order}' }),
  ],
  ['an event has a type of the contract', 'outgoing_event_type_check', event({ type: 'refund.invented' })],
  ['an event is of a refund that exists', 'outgoing_event_refund_id_fkey', event({ refund_id: NEW, subject_id: NEW })],
  ['an endpoint asks for something', 'webhook_endpoint_events_check', endpoint(`events = '{}'`)],
  ['an endpoint for apps has some', 'webhook_endpoint_appids_check', endpoint(`appids = '{}'`)],
  [
    'an endpoint is disabled for a reason or not at all',
    'webhook_endpoint_disabled_check',
    endpoint('enabled = false'),
    endpoint(`disabled_reason = 'gone'`),
  ],
  ['the reason is one of four', 'webhook_endpoint_reason_check', endpoint(`enabled = false, disabled_reason = 'mood'`)],
  [
    'an endpoint that fails has failed since a time',
    'webhook_endpoint_failing_check',
    endpoint('failures_in_row = 1'),
    endpoint('failing_since = now()'),
  ],
  [
    'an endpoint has one current secret',
    'webhook_secret_current_key',
    `INSERT INTO webhook_secret VALUES ('{endpoint}', 2, 'k', 'y', now())`,
  ],
  [
    'a version of a secret is one secret',
    'webhook_secret_pkey',
    `INSERT INTO webhook_secret VALUES ('{endpoint}', 1, 'k', 'y', now(), now())`,
  ],
  [
    'an endpoint is sent an event in one delivery',
    'webhook_delivery_event_key',
    `INSERT INTO webhook_delivery SELECT (jsonb_populate_record(d, '{"id": "${NEW}"}')).* FROM webhook_delivery d`,
  ],
  [
    'a delivery is pending, delivered or failed',
    'webhook_delivery_state_check',
    delivery(`state = 'lost', next_attempt_at = NULL`),
  ],
  [
    'a delivery has a next time exactly while it is pending',
    'webhook_delivery_attempt_check',
    delivery('next_attempt_at = NULL'),
    delivery(`state = 'failed'`),
  ],
  [
    'a lease has a token and an end, or neither',
    'webhook_delivery_lease_check',
    delivery('lease_until = now()'),
    delivery('lease_token = id'),
  ],
  [
    'a delivered one was delivered at a time, no other',
    'webhook_delivery_delivered_check',
    delivery(`state = 'delivered', next_attempt_at = NULL`),
    delivery('delivered_at = now()'),
  ],
  ['a try ended in a class, nothing finer', 'webhook_attempt_result_check', attempt('404', 'under_1s')],
  ['a try took roughly so long, nothing finer', 'webhook_attempt_latency_check', attempt('2xx', '37ms')],
];

const APPEND_ONLY: readonly (readonly [guarantee: string, ...forbidden: string[]])[] = [
  [
    'an event is never deleted',
    // One without deliveries, whose foreign key would refuse it as well.
    `INSERT INTO outgoing_event SELECT (json_populate_record(v, json_build_object('id', gen_random_uuid(), 'sequence', 99))).*
       FROM outgoing_event v LIMIT 1;
     DELETE FROM outgoing_event WHERE sequence = 99`,
  ],
  ['events are never truncated', 'TRUNCATE outgoing_event CASCADE'],
  [
    'an event never changes',
    ...[
      `type = 'refund.failed'`,
      'sequence = 9',
      `snapshot = '{}'`,
      'at = now()',
      `previous_status = 'failed'`,
      `appid = 'wx-other'`,
      'fanned_out_at = now(), sequence = 9',
    ].map((assignment) => `UPDATE outgoing_event SET ${assignment}`),
  ],
  [
    'an event is fanned out once',
    'UPDATE outgoing_event SET fanned_out_at = now(); UPDATE outgoing_event SET fanned_out_at = NULL',
    'UPDATE outgoing_event SET fanned_out_at = now(); UPDATE outgoing_event SET fanned_out_at = now()',
  ],
  ['a try in the log never changes', `UPDATE webhook_attempt SET result = '5xx'`, 'DELETE FROM webhook_attempt'],
  ['the log is never truncated', 'TRUNCATE webhook_attempt'],
];

/** Runs the statements and takes them back; the error, if there was one. */
async function outcomeOf(sql: string): Promise<unknown> {
  const named = sql.replace(/\{([a-z]+)\}/g, (whole, name: string) =>
    name in ids ? ids[name as keyof typeof ids] : whole,
  );
  const runner = database.dataSource.createQueryRunner();
  await runner.startTransaction();
  try {
    await runner.query(named);
    return null;
  } catch (error) {
    return error;
  } finally {
    await runner.rollbackTransaction();
    await runner.release();
  }
}

describe('the schema refuses by itself', () => {
  it.each(RULES)('%s', async (_guarantee, constraint, ...forbidden) => {
    for (const sql of forbidden) expect([sql, constraintOf(await outcomeOf(sql))]).toEqual([sql, constraint]);
  });

  it.each(APPEND_ONLY)('%s', async (_guarantee, ...forbidden) => {
    for (const sql of forbidden) expect(await outcomeOf(sql)).toMatchObject({ driverError: { code: '23001' } });
  });
});

it('the mark of the fan-out may be set', async () => {
  expect(await outcomeOf('UPDATE outgoing_event SET fanned_out_at = now()')).toBeNull();
});

it.each([...EVENT_TYPES])('the schema knows %s', async (type) => {
  const change = type.startsWith('order.') ? { type, refund_id: null, subject_id: '{order}', sequence: 1 } : { type };
  expect(await outcomeOf(event(change))).toBeNull();
});

it('every CHECK and key of these tables has a test here', async () => {
  const rows = await database.uow.query<{ name: string }>(
    `SELECT conname AS name FROM pg_constraint WHERE contype IN ('c', 'u') AND conrelid IN ('outgoing_event'::regclass,
       'webhook_endpoint'::regclass, 'webhook_secret'::regclass, 'webhook_delivery'::regclass, 'webhook_attempt'::regclass)`,
    [],
  );
  const tested = new Set(RULES.map(([, constraint]) => constraint));
  expect(rows.map(({ name }) => name).filter((name) => !tested.has(name))).toEqual([]);
});

it('an id made by the database is a UUIDv7 of its time', async () => {
  const rows = await database.uow.query<{ id: string }>(
    `SELECT uuid7('2026-01-02T03:04:05.678Z') AS id FROM generate_series(1, 1000)`,
    [],
  );
  const stamp = Date.parse('2026-01-02T03:04:05.678Z').toString(16).padStart(12, '0');
  for (const { id } of rows) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(id.replaceAll('-', '').slice(0, 12)).toBe(stamp);
  }
  expect(new Set(rows.map(({ id }) => id)).size).toBe(1000);
});
