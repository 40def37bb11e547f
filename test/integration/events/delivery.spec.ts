import { newUuid } from '../../../src/common/ids.js';
import { incidentCounts } from '../../../src/common/log.js';
import { bookTries, type EndedTry } from '../../../src/events/delivery-booking.js';
import { claimDeliveries, type ClaimedDelivery } from '../../../src/events/delivery-claim.js';
import { fanOut } from '../../../src/events/fan-out.js';
import { IN_FLIGHT_FAILING, IN_FLIGHT_HEALTHY } from '../../../src/events/schedule.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { APPID, makeEndpoint, makeOrder, seed, takeIn } from './support.js';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
  await seed(database);
});
afterEach(() => database.close());

interface DeliveryRow {
  readonly event_id: string;
  readonly endpoint_id: string;
  readonly sequence: number;
  readonly state: string;
  readonly tries: number;
  readonly waits_seconds: number;
}
const deliveries = (): Promise<DeliveryRow[]> =>
  database.uow.query<DeliveryRow>(
    `SELECT *, round(extract(epoch FROM next_attempt_at - tuikuan_now()))::int AS waits_seconds FROM webhook_delivery ORDER BY sequence, id`,
    [],
  );
const endpoint = async (id: string): Promise<Record<string, unknown>> =>
  (await database.uow.query<Record<string, unknown>>('SELECT * FROM webhook_endpoint WHERE id = $1', [id]))[0] ?? {};
const claim = (count = 100): Promise<ClaimedDelivery[]> => claimDeliveries(database.uow, count);

const ended = (claimed: ClaimedDelivery, verdict: EndedTry['verdict'], change: Partial<EndedTry> = {}): EndedTry => ({
  delivery_id: claimed.delivery_id,
  endpoint_id: claimed.endpoint_id,
  lease_token: claimed.lease_token,
  at: claimed.claimed_at,
  verdict,
  wait_seconds: verdict === 'retry' ? 5 : null,
  hold_seconds: 0,
  result: verdict === 'delivered' ? '2xx' : '5xx',
  latency: 'under_100ms',
  ...change,
});
const book = (...tries: EndedTry[]): Promise<void> => bookTries(database.uow, tries);

/** Refunds that were taken in, one event each, fanned out. */
async function newRefunds(count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await takeIn(database, await makeOrder(database), 100);
  await fanOut(database.uow);
}

/** Events of one subject beyond its first, as changes would write them. */
async function moreEvents(subjectId: string, ...sequences: number[]): Promise<void> {
  await database.uow.query(
    `INSERT INTO outgoing_event (id, type, subject_id, refund_id, order_id, appid, sequence, previous_status, snapshot, at)
     SELECT uuid7(tuikuan_now()), 'refund.requires_action', v.subject_id, v.refund_id, v.order_id, v.appid, s.n, 'pending', v.snapshot, tuikuan_now()
     FROM outgoing_event v, unnest($2::int[]) AS s(n) WHERE v.subject_id = $1 AND v.sequence = 1`,
    [subjectId, sequences],
  );
  await fanOut(database.uow);
}

describe('fan-out', () => {
  it('makes a delivery for each endpoint that asks for the type and the mini-program, and for no other', async () => {
    const all = await makeEndpoint(database);
    const typed = await makeEndpoint(database, { events: ['refund.created', 'order.paid'] });
    const own = await makeEndpoint(database, { appids: [APPID] });
    await makeEndpoint(database, { events: ['refund.succeeded'] });
    await makeEndpoint(database, { appids: ['wx-other'] });
    await makeEndpoint(database, { enabled: false });
    await newRefunds(1);
    const made = (await deliveries()).map((row) => row.endpoint_id);
    expect(made.sort()).toEqual([all, typed, own].sort());
  });

  it('of many workers at once makes each delivery once', async () => {
    await makeEndpoint(database);
    await makeEndpoint(database);
    for (let n = 0; n < 40; n += 1) await takeIn(database, await makeOrder(database), 100);
    await Promise.all(Array.from({ length: 10 }, () => fanOut(database.uow)));
    while (await fanOut(database.uow));
    expect(await deliveries()).toHaveLength(80);
    expect(await database.uow.query('SELECT 1 FROM outgoing_event WHERE fanned_out_at IS NULL', [])).toEqual([]);
  });

  it('says when more than one batch waits', async () => {
    const order = await makeOrder(database);
    const refund = await takeIn(database, order, 100);
    await database.uow.query(
      `INSERT INTO outgoing_event (id, type, subject_id, refund_id, order_id, appid, sequence, previous_status, snapshot, at)
       SELECT uuid7(tuikuan_now()), 'refund.requires_action', $1, $1, $2, $3, n, 'pending', '{}', tuikuan_now()
       FROM generate_series(2, 700) n`,
      [refund.id, order.id, APPID],
    );
    expect([await fanOut(database.uow), await fanOut(database.uow)]).toEqual([true, false]);
  });

  it('to many endpoints takes fewer events at a time, and each gets all', async () => {
    await database.uow.query(
      `INSERT INTO webhook_endpoint (id, url, events, created_by, created_at, updated_at)
       SELECT uuid7(tuikuan_now()), 'https://shop.example/', '{*}', 'key_test', tuikuan_now(), tuikuan_now() FROM generate_series(1, 3000)`,
      [],
    );
    for (let n = 0; n < 4; n += 1) await takeIn(database, await makeOrder(database), 100);
    expect([await fanOut(database.uow), await fanOut(database.uow)]).toEqual([true, false]);
    expect(await database.uow.query('SELECT 1 FROM webhook_delivery', [])).toHaveLength(12_000);
  });
});

describe('a lease', () => {
  it('holds a delivery for a minute, and no two workers ever hold it together', async () => {
    await makeEndpoint(database);
    await makeEndpoint(database);
    await newRefunds(40);
    const claims = (await Promise.all(Array.from({ length: 12 }, () => claim()))).flat();
    const ids = claims.map((claimed) => claimed.delivery_id);
    expect(new Set(ids).size).toBe(ids.length);
    // As many tries at once per endpoint; claims that meet may take a few more.
    expect(ids.length).toBeGreaterThanOrEqual(2 * IN_FLIGHT_HEALTHY);
    expect(await claim()).toEqual([]);
  });

  it('whose worker died before the POST runs out, and the same event goes again under the same id (C28)', async () => {
    await makeEndpoint(database);
    await newRefunds(1);
    const [first] = await claim();
    await database.shiftClock('59 seconds');
    expect(await claim()).toEqual([]);
    await database.shiftClock('61 seconds');
    const [second] = await claim();
    expect(second).toMatchObject({ event_id: first?.event_id, delivery_id: first?.delivery_id, tries: 0 });
    expect(second?.lease_token).not.toBe(first?.lease_token);
  });

  it('that ran out after the receiver took the event: its 2xx counts all the same, a failure does not (C29)', async () => {
    await makeEndpoint(database);
    await newRefunds(2);
    const late = await claim();
    await database.shiftClock('61 seconds');
    const again = await claim();
    expect(again).toHaveLength(2);
    await book(ended(late[0] as ClaimedDelivery, 'delivered'), ended(late[1] as ClaimedDelivery, 'failed'));
    const states = new Map((await deliveries()).map((row) => [row.event_id, row.state]));
    expect([states.get(late[0]?.event_id ?? ''), states.get(late[1]?.event_id ?? '')]).toEqual([
      'delivered',
      'pending',
    ]);
    // The second holder's word about the first changes nothing any more, but both tries are in the log.
    await book(...again.map((claimed) => ended(claimed, 'retry')));
    expect((await deliveries()).map((row) => row.state).sort()).toEqual(['delivered', 'pending']);
    expect(await database.uow.query('SELECT 1 FROM webhook_attempt', [])).toHaveLength(4);
  });

  it('given back unsent is free at once and costs no try', async () => {
    await makeEndpoint(database);
    await newRefunds(1);
    const [claimed] = await claim();
    await book(ended(claimed as ClaimedDelivery, 'released', { result: null, latency: null }));
    expect(await claim()).toMatchObject([{ event_id: claimed?.event_id, tries: 0 }]);
    expect(await database.uow.query('SELECT 1 FROM webhook_attempt', [])).toEqual([]);
  });

  it('booked twice is one try', async () => {
    await makeEndpoint(database);
    await newRefunds(1);
    const [claimed] = await claim();
    await book(ended(claimed as ClaimedDelivery, 'retry'));
    await book(ended(claimed as ClaimedDelivery, 'retry'));
    expect(await deliveries()).toMatchObject([{ tries: 1 }]);
    expect(await database.uow.query('SELECT 1 FROM webhook_attempt', [])).toHaveLength(1);
  });
});

describe('the order of sequence', () => {
  it('holds: a later event of a refund waits for the earlier one, and for nobody else', async () => {
    await makeEndpoint(database);
    const refund = await takeIn(database, await makeOrder(database), 100);
    const other = await takeIn(database, await makeOrder(database), 100);
    await moreEvents(refund.id, 2, 3);
    const first = await claim();
    expect(first.map(({ refund_id: id, sequence }) => [id, sequence]).sort()).toEqual(
      [
        [refund.id, 1],
        [other.id, 1],
      ].sort(),
    );
    expect(await claim()).toEqual([]);
    await book(...first.map((claimed) => ended(claimed, 'delivered')));
    const second = await claim();
    expect(second).toMatchObject([{ refund_id: refund.id, sequence: 2 }]);
    await book(ended(second[0] as ClaimedDelivery, 'delivered'));
    expect(await claim()).toMatchObject([{ sequence: 3 }]);
  });

  it('holds through a failure: those behind share its next time, one that comes later too', async () => {
    await makeEndpoint(database);
    const refund = await takeIn(database, await makeOrder(database), 100);
    await moreEvents(refund.id, 2);
    const [first] = await claim();
    await book(ended(first as ClaimedDelivery, 'retry', { wait_seconds: 300 }));
    await moreEvents(refund.id, 3);
    expect((await deliveries()).map((row) => [row.sequence, row.waits_seconds > 290])).toEqual([
      [1, true],
      [2, true],
      [3, true],
    ]);
    await database.shiftClock('301 seconds');
    const [again] = await claim();
    expect(again).toMatchObject({ sequence: 1, tries: 1 });
    // It fails for good: the rest is free.
    await book(ended(again as ClaimedDelivery, 'failed'));
    expect(await claim()).toMatchObject([{ sequence: 2 }]);
  });

  it('is each endpoint’s own', async () => {
    const [slow, fast] = [await makeEndpoint(database), await makeEndpoint(database)];
    const refund = await takeIn(database, await makeOrder(database), 100);
    await moreEvents(refund.id, 2);
    const first = await claim();
    await book(
      ...first.filter((claimed) => claimed.endpoint_id === fast).map((claimed) => ended(claimed, 'delivered')),
    );
    expect(await claim()).toMatchObject([{ endpoint_id: fast, sequence: 2 }]);
    expect(first.filter((claimed) => claimed.endpoint_id === slow)).toHaveLength(1);
  });
});

describe('an endpoint', () => {
  it('that fails has two tries at once, and from the fifth failure in a row pauses between them', async () => {
    const id = await makeEndpoint(database);
    await newRefunds(IN_FLIGHT_HEALTHY + 8);
    const first = await claim();
    expect(first).toHaveLength(IN_FLIGHT_HEALTHY);
    await book(...first.slice(0, 4).map((claimed) => ended(claimed, 'retry', { wait_seconds: 3600 })));
    expect(await claim()).toEqual([]); // The rest of the first is still under way.
    await book(...first.slice(4).map((claimed) => ended(claimed, 'released', { result: null, latency: null })));
    const second = await claim();
    expect(second).toHaveLength(IN_FLIGHT_FAILING);
    await book(...second.map((claimed) => ended(claimed, 'retry', { wait_seconds: 3600 })));
    expect(await endpoint(id)).toMatchObject({ failures_in_row: 6, held_until: expect.any(Date) });
    expect(await claim()).toEqual([]);
    await database.shiftClock('5 seconds');
    const third = await claim();
    expect(third).toHaveLength(2);
    await book(ended(third[0] as ClaimedDelivery, 'delivered'), ended(third[1] as ClaimedDelivery, 'delivered'));
    expect(await endpoint(id)).toMatchObject({ failures_in_row: 0, failing_since: null, held_until: null });
    expect((await claim()).length).toBeGreaterThan(IN_FLIGHT_FAILING);
  });

  it('that asks to be left alone is, for all its events', async () => {
    await makeEndpoint(database);
    await newRefunds(2);
    const [first, second] = await claim();
    await book(ended(second as ClaimedDelivery, 'released', { result: null, latency: null }));
    await book(ended(first as ClaimedDelivery, 'retry', { wait_seconds: 120, hold_seconds: 120 }));
    await newRefunds(1);
    expect(await claim()).toEqual([]);
    await database.shiftClock('121 seconds');
    expect(await claim()).toHaveLength(2);
  });

  it('that answered 410 is disabled, and what waits for it stays (C30)', async () => {
    const id = await makeEndpoint(database);
    await newRefunds(3);
    const before = incidentCounts().get('webhook_endpoint_disabled') ?? 0;
    const [first, ...others] = await claim();
    await book(ended(first as ClaimedDelivery, 'gone', { result: '4xx' }));
    expect(await endpoint(id)).toMatchObject({ enabled: false, disabled_reason: 'gone' });
    expect(incidentCounts().get('webhook_endpoint_disabled')).toBe(before + 1);
    await book(...others.map((claimed) => ended(claimed, 'retry')));
    await database.shiftClock('1 day');
    expect(await claim()).toEqual([]);
    expect((await deliveries()).map((row) => row.state).sort()).toEqual(['failed', 'pending', 'pending']);
    await newRefunds(1);
    expect(await deliveries()).toHaveLength(3);
  });

  it('whose 410 was never booked gets at most one more call', async () => {
    await makeEndpoint(database);
    await newRefunds(1);
    await claim();
    await database.shiftClock('61 seconds');
    const [again] = await claim();
    await book(ended(again as ClaimedDelivery, 'gone', { result: '4xx' }));
    await database.shiftClock('10 days');
    expect(await claim()).toEqual([]);
  });

  it('without a success is disabled after five days of failures, with an incident, and not a day before', async () => {
    const id = await makeEndpoint(database);
    await newRefunds(1);
    const before = incidentCounts().get('webhook_endpoint_disabled') ?? 0;
    for (const shift of ['0', '1 day', '4 days 23 hours', '5 days 1 hour']) {
      expect(await endpoint(id)).toMatchObject({ enabled: true });
      await database.shiftClock(shift);
      const [claimed] = await claim();
      await book(ended(claimed as ClaimedDelivery, 'retry'));
    }
    expect(await endpoint(id)).toMatchObject({ enabled: false, disabled_reason: 'failing' });
    expect(incidentCounts().get('webhook_endpoint_disabled')).toBe(before + 1);
  });

  it('is forgiven by one success', async () => {
    const id = await makeEndpoint(database);
    await newRefunds(2);
    const [first, second] = await claim();
    await book(ended(first as ClaimedDelivery, 'retry'));
    await database.shiftClock('4 days');
    await book(ended(second as ClaimedDelivery, 'delivered'));
    await database.shiftClock('6 days');
    const [claimed] = await claim();
    await book(ended(claimed as ClaimedDelivery, 'retry'));
    expect(await endpoint(id)).toMatchObject({ enabled: true, failures_in_row: 1 });
  });

  it('that was switched off meanwhile is not switched on again by a late answer', async () => {
    const id = await makeEndpoint(database);
    await newRefunds(1);
    const [claimed] = await claim();
    const holder = database.dataSource.createQueryRunner();
    await holder.startTransaction();
    await holder.query(`UPDATE webhook_endpoint SET enabled = false, disabled_reason = 'caller' WHERE id = $1`, [id]);
    const waiting = book(ended(claimed as ClaimedDelivery, 'retry'));
    const blocked = (): Promise<unknown[]> =>
      database.uow.query(
        `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
        [],
      );
    while ((await blocked()).length === 0);
    await holder.commitTransaction();
    await holder.release();
    await waiting;
    expect(await endpoint(id)).toMatchObject({ enabled: false, disabled_reason: 'caller', failures_in_row: 1 });
  });

  it('a hundred of them share a claim fairly', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 100; n += 1) ids.push(await makeEndpoint(database));
    await newRefunds(3);
    const claimed = await claim(1000);
    expect(claimed).toHaveLength(300);
    expect(new Set(claimed.map((one) => one.endpoint_id)).size).toBe(ids.length);
  });
});

it('two live secrets come with a claim while they rotate, and a dead one does not', async () => {
  const id = await makeEndpoint(database);
  await newRefunds(1);
  await database.uow.query(
    `UPDATE webhook_secret SET usable_until = tuikuan_now() + interval '24 hours' WHERE endpoint_id = $1`,
    [id],
  );
  await database.uow.query(
    `INSERT INTO webhook_secret (endpoint_id, version, kek_id, sealed, created_at) VALUES ($1, 2, 'k', 'y', tuikuan_now())`,
    [id],
  );
  const [claimed] = await claim();
  expect(claimed?.secrets.map(({ version }) => version)).toEqual([2, 1]);
  await database.shiftClock('25 hours');
  expect((await claim())[0]?.secrets.map(({ version }) => version)).toEqual([2]);
});

it('a token nobody holds moves nothing', async () => {
  await makeEndpoint(database);
  await newRefunds(1);
  const [claimed] = await claim();
  await book(ended(claimed as ClaimedDelivery, 'failed', { lease_token: newUuid() }));
  expect(await deliveries()).toMatchObject([{ state: 'pending', tries: 0 }]);
});
