import { setTimeout as sleep } from 'node:timers/promises';
import { deliveriesTo, endpointFor, Receiver, verify } from './support/receiver.js';
import { type Json, Stack } from './support/stack.js';

/** What receivers, crashes and addresses do to deliveries (P13, C28–C30, S16–S19), each test on a stack of its own time. */
let stack: Stack;
const receivers: Receiver[] = [];
beforeEach(async () => {
  stack = await Stack.start({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
});
afterEach(async () => {
  for (const receiver of receivers.splice(0)) receiver.close();
  await stack.close();
});

async function listen(answer?: Receiver['answer']): Promise<Receiver> {
  const receiver = await Receiver.start();
  if (answer) receiver.answer = answer;
  receivers.push(receiver);
  return receiver;
}

/** An event for every endpoint: an order registered as paid. */
async function anEvent(): Promise<string> {
  const merchant = await stack.merchant();
  return (await stack.paidOrder(merchant, 100)).id;
}

const came = (receiver: Receiver, count: number, seconds = 20): Promise<number> =>
  stack.eventually(
    () => Promise.resolve(receiver.received.length),
    (length) => length >= count,
    seconds,
  );
const countOf = async (from: string): Promise<number> => {
  const { rows } = await stack.database.query<{ count: number }>(`SELECT count(*)::int AS count FROM ${from}`);
  return rows[0]?.count ?? 0;
};
/** What has happened so far was offered to whoever asks for it. */
const allFannedOut = (): Promise<number> =>
  stack.eventually(
    () => countOf('outgoing_event WHERE fanned_out_at IS NULL'),
    (count) => count === 0,
  );
const one = async (endpoint: string): Promise<Json> => (await deliveriesTo(stack, endpoint))[0] ?? {};
const settled = (endpoint: string, done: (delivery: Json) => boolean): Promise<Json> =>
  stack.eventually(() => one(endpoint), done);
const attemptsOf = (delivery: Json): Json[] => (delivery['attempts'] ?? []) as Json[];

describe('a service that is killed', () => {
  it('while a receiver thinks delivers again, under the same id and body', async () => {
    const receiver = await listen(() => undefined);
    const { secret } = await endpointFor(stack, receiver.url);
    await anEvent();
    await came(receiver, 1);
    await stack.instances[0]?.kill();
    receiver.answer = (response) => void response.writeHead(200).end();
    await stack.addInstance();
    await stack.shiftClock('61 seconds');
    await came(receiver, 2);
    const [first, second] = receiver.received;
    expect([second?.headers['webhook-id'], second?.body]).toEqual([first?.headers['webhook-id'], first?.body]);
    for (const message of receiver.received) verify(message, secret);
  });

  it('after the 2xx and before it is booked delivers again, under the same id, and books it then', async () => {
    const receiver = await listen();
    const { id } = await endpointFor(stack, receiver.url);
    const holder = await stack.database.connect();
    receiver.answer = (response) => {
      // Nobody can book anything about the endpoint while this lock is held.
      void holder
        .query('BEGIN')
        .then(() => holder.query('SELECT 1 FROM webhook_endpoint FOR UPDATE'))
        .then(() => response.writeHead(200).end());
    };
    await anEvent();
    await came(receiver, 1);
    const waiting = `pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
    const blocked = await stack.eventually(
      () => countOf(waiting),
      (count) => count > 0,
    );
    expect(blocked).toBe(1);
    await stack.instances[0]?.kill();
    // Its last statement is still in the line for the lock: it dies with it.
    await stack.database.query(`SELECT pg_terminate_backend(pid) FROM ${waiting}`);
    await stack.eventually(
      () => countOf(waiting),
      (count) => count === 0,
    );
    await holder.query('ROLLBACK');
    holder.release();
    receiver.answer = (response) => void response.writeHead(200).end();
    await stack.addInstance();
    await stack.shiftClock('61 seconds');
    expect(await came(receiver, 2)).toBe(2);
    const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
    expect(ids).toEqual([ids[0], ids[0]]);
    expect(await settled(id, ({ status }) => status === 'delivered')).toMatchObject({ status: 'delivered' });
  });

  it('cleanly gives back what hangs, and another instance sends it at once', async () => {
    const receiver = await listen(() => undefined);
    await endpointFor(stack, receiver.url);
    await anEvent();
    await came(receiver, 1);
    const [first] = stack.instances;
    const exit = new Promise<number | null>((resolve) => first?.child.once('exit', resolve));
    first?.signal('SIGTERM');
    expect(await exit).toBe(0);
    receiver.answer = (response) => void response.writeHead(200).end();
    await stack.addInstance();
    await came(receiver, 2);
    const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
    expect(ids).toEqual([ids[0], ids[0]]);
  });
});

describe('a receiver', () => {
  it('that is down gets the event when it is back, with each try in the log and nothing of its answers', async () => {
    const receiver = await listen((response) => {
      response.setHeader('x-internal', 'secret-header');
      response.writeHead(500).end('secret answer of an internal server');
    });
    const { id } = await endpointFor(stack, receiver.url);
    await anEvent();
    await settled(id, (delivery) => attemptsOf(delivery).length === 1);
    receiver.answer = (response) => void response.writeHead(204).end();
    await stack.shiftClock('10 seconds');
    expect(await settled(id, ({ status }) => status === 'delivered')).toMatchObject({
      status: 'delivered',
      attempts: [
        { result: '5xx', latency: expect.any(String) },
        { result: '2xx', latency: expect.any(String) },
      ],
    });
    expect(Object.keys(attemptsOf(await one(id))[0] ?? {}).sort()).toEqual(['at', 'latency', 'result']);
    const { rows } = await stack.database.query<{ all: string }>(
      `SELECT string_agg(a::text, '') || (SELECT string_agg(d::text, '') FROM webhook_delivery d) AS all FROM webhook_attempt a`,
    );
    for (const text of [rows[0]?.all ?? '', stack.instances[0]?.log ?? '']) expect(text).not.toContain('secret');
  });

  it('that redirects is not followed, inside or outside', async () => {
    const inside = await listen();
    const receiver = await listen((response) => void response.writeHead(307, { location: `${inside.url}/x` }).end());
    const { id } = await endpointFor(stack, receiver.url);
    await anEvent();
    expect(await settled(id, (delivery) => attemptsOf(delivery).length > 0)).toMatchObject({
      status: 'pending',
      attempts: [{ result: '3xx' }],
    });
    expect(inside.received).toEqual([]);
  });

  it('that asks to wait is left alone for so long, whatever else there is for it', async () => {
    const receiver = await listen((response) => void response.writeHead(429, { 'retry-after': '600' }).end());
    const { id } = await endpointFor(stack, receiver.url);
    await anEvent();
    await settled(id, (delivery) => attemptsOf(delivery).length > 0);
    await stack.shiftClock('590 seconds');
    await anEvent();
    // Another receiver shows that the workers have been at it since.
    const other = await listen();
    await endpointFor(stack, other.url);
    await anEvent();
    await came(other, 1);
    expect(receiver.received).toHaveLength(1);
    receiver.answer = (response) => void response.writeHead(200).end();
    await stack.shiftClock('605 seconds');
    await came(receiver, 4);
    expect(new Set(receiver.received.map(({ event }) => event.id)).size).toBe(3);
  });

  it('that answers 410 is not called again until a person switches it on', async () => {
    const receiver = await listen((response) => void response.writeHead(410).end());
    const { id } = await endpointFor(stack, receiver.url);
    await anEvent();
    const view = (): Promise<Json> => stack.ok('GET', `/v1/webhook_endpoints/${id}`);
    expect(await stack.eventually(view, ({ enabled }) => enabled === false)).toMatchObject({
      enabled: false,
      disabled_reason: 'gone',
    });
    expect(await one(id)).toMatchObject({ status: 'failed', attempts: [{ result: '4xx' }] });
    const resend = `/v1/webhook_deliveries/${String((await one(id))['id'])}/resend`;
    for (const path of [resend, `/v1/webhook_endpoints/${id}/test`]) {
      expect(await stack.api('POST', path)).toMatchObject({ status: 409, body: { code: 'invalid_state' } });
    }
    await anEvent();
    await allFannedOut();
    receiver.answer = (response) => void response.writeHead(200).end();
    await stack.ok('PATCH', `/v1/webhook_endpoints/${id}`, { enabled: true });
    await stack.ok('POST', resend);
    await came(receiver, 2);
    expect(receiver.received.map(({ event }) => event.id)).toEqual([
      receiver.received[0]?.event.id,
      receiver.received[0]?.event.id,
    ]);
  });

  it('that fails for five days is disabled, and the log says so once', async () => {
    const receiver = await listen((response) => void response.writeHead(503).end());
    const { id } = await endpointFor(stack, receiver.url);
    await anEvent();
    const tried = (count: number): Promise<Json> => settled(id, (delivery) => attemptsOf(delivery).length >= count);
    await tried(1);
    await stack.shiftClock('2 days');
    await tried(2);
    expect(await stack.ok('GET', `/v1/webhook_endpoints/${id}`)).toMatchObject({
      enabled: true,
      failing_since: expect.any(String),
    });
    await stack.shiftClock('5 days 1 hour');
    const view = (): Promise<Json> => stack.ok('GET', `/v1/webhook_endpoints/${id}`);
    expect(await stack.eventually(view, ({ enabled }) => enabled === false)).toMatchObject({
      disabled_reason: 'failing',
    });
    const incidents = (stack.instances[0]?.log ?? '')
      .split('\n')
      .filter((line) => line.includes('webhook_endpoint_disabled'));
    expect(incidents.map((line) => JSON.parse(line) as Json)).toMatchObject([
      { message: 'incident', endpoint: id, reason: 'failing' },
    ]);
    await stack.ok('PATCH', `/v1/webhook_endpoints/${id}`, { enabled: true });
    expect(await view()).toMatchObject({ enabled: true, disabled_reason: null, failing_since: null });
  });

  it('that hangs delays none of 99 others, and one that answers without end is cut', async () => {
    const dead = await listen(() => undefined);
    const endless = await listen((response) => {
      response.writeHead(200);
      const more = (): void => {
        if (!response.destroyed) response.write('x'.repeat(8192), () => setImmediate(more));
      };
      more();
    });
    const good = await listen();
    await endpointFor(stack, `${dead.url}/dead`);
    const { id: cut } = await endpointFor(stack, `${endless.url}/endless`);
    for (let n = 0; n < 99; n += 1) await endpointFor(stack, `${good.url}/${n}`);
    const merchant = await stack.merchant();
    const startMs = Date.now();
    for (let n = 0; n < 10; n += 1) await stack.paidOrder(merchant, 100);
    expect(await came(good, 990, 15)).toBe(990);
    const seconds = (Date.now() - startMs) / 1000;
    expect(seconds).toBeLessThan(12);
    const perPath = new Map<string, number>();
    for (const { path } of good.received) perPath.set(path, (perPath.get(path) ?? 0) + 1);
    expect([...new Set(perPath.values())]).toEqual([10]);
    expect(perPath.size).toBe(99);
    await stack.eventually(
      () => deliveriesTo(stack, cut, '&status=delivered'),
      (delivered) => delivered.length === 10,
    );
    const delays = good.received.map(({ atMs, event }) => atMs - Date.parse(event.timestamp)).sort((a, b) => a - b);
    console.log(
      `99 good endpoints beside a dead one: 990 events in ${seconds.toFixed(1)} s, p50 ${delays[495]} ms, worst ${delays.at(-1)} ms`,
    );
  });
});

it('a URL of this machine is refused without the development switch, at save and when it is dialled', async () => {
  const receiver = await listen();
  const { id } = await endpointFor(stack, receiver.url);
  await stack.instances[0]?.kill();
  await stack.addInstance({ WEBHOOK_ALLOW_LOOPBACK: 'false' });
  for (const url of [receiver.url, receiver.url.replace('http', 'https'), 'https://localhost/', 'https://127.1/']) {
    expect(await stack.api('POST', '/v1/webhook_endpoints', { url, events: ['*'] })).toMatchObject({ status: 422 });
  }
  await anEvent();
  expect(await settled(id, (delivery) => attemptsOf(delivery).length > 0)).toMatchObject({
    status: 'pending',
    attempts: [{ result: 'address_refused' }],
  });
  expect(receiver.received).toEqual([]);
});

it('an instance that only serves requests leaves sending to the worker, which finds the event by itself', async () => {
  await stack.instances[0]?.kill();
  await stack.addInstance({ ROLE: 'api' });
  const receiver = await listen();
  await endpointFor(stack, receiver.url);
  await anEvent();
  await sleep(1000);
  expect(receiver.received).toEqual([]);
  await stack.addInstance({ ROLE: 'worker' });
  expect(await came(receiver, 1)).toBe(1);
});
