import { deliveriesTo, endpointFor, isVerified, Receiver, verify } from './support/receiver.js';
import { type Json, type Merchant, type Order, type Refund, Stack, unique } from './support/stack.js';

/** Events as a company's backend hears them, from the built service, verified by the independent package. */
let stack: Stack;
let merchant: Merchant;
let receiver: Receiver;
let secret: string;
let endpoint: string;
beforeAll(async () => {
  stack = await Stack.start({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
  merchant = await stack.merchant();
  receiver = await Receiver.start();
  ({ id: endpoint, secret } = await endpointFor(stack, `${receiver.url}/hooks`));
});
afterAll(async () => {
  receiver.close();
  await stack.close();
});

const heard = async (id: string, count: number): Promise<string[]> =>
  stack.eventually(
    () => Promise.resolve(receiver.types(id)),
    (types) => types.length >= count,
  );

/** Each message about `id` is verified, comes once, and in sequence; the last one shows what the API shows. */
async function expectTold(id: string, types: readonly string[], path: string): Promise<void> {
  expect(await heard(id, types.length)).toEqual(types);
  const messages = receiver.about(id);
  for (const message of messages) verify(message, secret);
  expect(messages.map(({ event }) => event.sequence)).toEqual(types.map((_, place) => place + 1));
  expect(new Set(messages.map(({ headers }) => headers['webhook-id'])).size).toBe(types.length);
  for (const { headers, event } of messages) expect(headers['webhook-id']).toBe(event.id);
  const { updated_at: _at, ...shown } = await stack.ok('GET', path);
  expect(messages.at(-1)?.event.data.object).toMatchObject(shown);
}

const toldOfRefund = (refund: { id: string }, ...types: string[]): Promise<void> =>
  expectTold(
    refund.id,
    types.map((type) => `refund.${type}`),
    `/v1/refunds/${refund.id}`,
  );
const toldOfOrder = (order: { id: string }, ...types: string[]): Promise<void> =>
  expectTold(
    order.id,
    types.map((type) => `order.${type}`),
    `/v1/orders/${order.id}`,
  );

async function accepted(order: Order, wish: Json): Promise<Refund> {
  const refund = await stack.refund(order, wish);
  return stack.until(refund.id, 'accepted');
}

describe('a backend hears, signed and in order of sequence,', () => {
  it('of a refund that succeeds, and of its order', async () => {
    const order = await stack.paidOrder(merchant, 1000);
    const first = await accepted(order, { amount: 300, reason: '商品售罄', metadata: { shop: '7' } });
    await stack.settle(first, 'SUCCESS');
    await toldOfRefund(first, 'created', 'processing', 'succeeded');
    const second = await accepted(order, { amount: 700 });
    await stack.settle(second, 'SUCCESS');
    await toldOfRefund(second, 'created', 'processing', 'succeeded');
    await toldOfOrder(order, 'paid', 'partially_refunded', 'refunded');
    const steps = receiver.about(first.id).map(({ event: { data } }) => [data.object['status'], data.previous_status]);
    expect(steps).toEqual([
      ['pending', null],
      ['processing', 'processing'],
      ['succeeded', 'processing'],
    ]);
  });

  it('of one that WeChat refuses, and of its second try', async () => {
    const order = await stack.paidOrder(merchant, 1000);
    await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'USER_ACCOUNT_ABNORMAL' });
    const refund = await stack.refund(order, { amount: 300 });
    await stack.until(refund.id, 'rejected');
    await toldOfRefund(refund, 'created', 'failed');
    await stack.ok('POST', `/v1/refunds/${refund.id}/retry`);
    await stack.until(refund.id, 'accepted');
    await toldOfRefund(refund, 'created', 'failed', 'corrected', 'processing');
  });

  it('of one that WeChat closes', async () => {
    const refund = await accepted(await stack.paidOrder(merchant, 1000), { amount: 300 });
    await stack.settle(refund, 'REFUNDCLOSE');
    await toldOfRefund(refund, 'created', 'processing', 'failed');
  });

  it('of one that needs a person, and of its end', async () => {
    const refund = await accepted(await stack.paidOrder(merchant, 1000), { amount: 300 });
    await stack.settle(refund, 'CHANGE');
    await toldOfRefund(refund, 'created', 'processing', 'requires_action');
    await stack.settle(refund, 'SUCCESS');
    await toldOfRefund(refund, 'created', 'processing', 'requires_action', 'succeeded');
  });

  it('of one that is withdrawn', async () => {
    const order = await stack.paidOrder(merchant, 1000);
    await stack.database.query(
      `UPDATE payment_order SET next_send_at = tuikuan_now() + interval '1 hour' WHERE out_trade_no = $1`,
      [order.outTradeNo],
    );
    const refund = await stack.refund(order, { amount: 300 });
    await stack.ok('POST', `/v1/refunds/${refund.id}/cancel`, {});
    await toldOfRefund(refund, 'created', 'canceled');
  });

  it('of one that waits for the merchant’s balance, once', async () => {
    const poor = await stack.merchant();
    const order = await stack.paidOrder(poor, 1000);
    await stack.control('POST', `/merchants/${poor.mchId}/balance`, { balance_fen: 0 });
    const refund = await stack.refund(order, { amount: 300 });
    await stack.until(refund.id, 'insufficient_balance');
    await toldOfRefund(refund, 'created', 'insufficient_balance');
    await stack.ok('POST', `/v1/refunds/${refund.id}/retry`);
    await stack.eventually(
      () => stack.requests(refund.out_refund_no),
      (requests) => requests.length === 2,
    );
    await stack.until(refund.id, 'insufficient_balance');
    await stack.control('POST', `/merchants/${poor.mchId}/balance`, { add_fen: 1000 });
    await stack.ok('POST', `/v1/refunds/${refund.id}/retry`);
    await stack.until(refund.id, 'accepted');
    await toldOfRefund(refund, 'created', 'insufficient_balance', 'processing');
  });

  it('of one made in the merchant platform', async () => {
    const order = await stack.paidOrder(merchant, 1000);
    const hand = await stack.control('POST', '/refunds', {
      mch_id: merchant.mchId,
      out_trade_no: order.outTradeNo,
      amount: 400,
    });
    await stack.control('POST', `/refunds/${String(hand['out_refund_no'])}/state`, {
      state: 'SUCCESS',
      mch_id: merchant.mchId,
    });
    const external = await stack.eventually(
      async () => ((await stack.ok('GET', `/v1/refunds?order=${order.id}`)) as { data: Refund[] }).data[0],
      (found) => found !== undefined,
    );
    await toldOfRefund(external as Refund, 'external_detected');
    await toldOfOrder(order, 'paid', 'partially_refunded');
  });

  it('of an order that is paid, and of one that is closed', async () => {
    const wish = { appid: merchant.appid, amount: 500, description: 'x', openid: 'oSecretPayer' };
    const [paid, closed] = await Promise.all([
      stack.ok('POST', '/v1/orders', { ...wish, out_trade_no: `T${unique()}` }),
      stack.ok('POST', '/v1/orders', { ...wish, out_trade_no: `T${unique()}` }),
    ]);
    await stack.control('POST', '/payments', { mch_id: merchant.mchId, out_trade_no: paid['out_trade_no'] });
    await stack.ok('POST', `/v1/orders/${String(closed['id'])}/close`);
    await toldOfOrder(paid as { id: string } & Json, 'paid');
    await toldOfOrder(closed as { id: string } & Json, 'closed');
    expect(JSON.stringify(receiver.received)).not.toContain('oSecretPayer');
  });
});

describe('the signing secret', () => {
  it('has a successor that signs beside it for a day, and then alone', async () => {
    const own = await Receiver.start();
    const { id, secret: before } = await endpointFor(stack, own.url);
    const rotated = await stack.ok('POST', `/v1/webhook_endpoints/${id}/rotate_secret`);
    const after = String(rotated['secret']);
    expect(after).not.toBe(before);
    expect(Date.parse(String(rotated['previous_secret_until'])) - Date.now()).toBeGreaterThan(23 * 3_600_000);
    const next = async (): Promise<boolean[]> => {
      const count = own.received.length;
      await stack.ok('POST', `/v1/webhook_endpoints/${id}/test`);
      await stack.eventually(
        () => Promise.resolve(own.received.length),
        (length) => length > count,
      );
      const message = own.received.at(-1);
      return [before, after].map((known) => message !== undefined && isVerified(message, known));
    };
    expect(await next()).toEqual([true, true]);
    // A second rotation within the day leaves two live ones, not three.
    const third = String((await stack.ok('POST', `/v1/webhook_endpoints/${id}/rotate_secret`))['secret']);
    expect(await next()).toEqual([false, true]);
    await stack.database.query(`UPDATE webhook_secret SET usable_until = tuikuan_now() WHERE usable_until IS NOT NULL`);
    expect(await next()).toEqual([false, false]);
    expect(isVerified(own.received.at(-1) as (typeof own.received)[number], third)).toBe(true);
    await stack.ok('DELETE', `/v1/webhook_endpoints/${id}`).catch(() => undefined);
    own.close();
  });

  it('is shown once, sealed at rest, and gone with its endpoint', async () => {
    const view = await stack.ok('GET', `/v1/webhook_endpoints/${endpoint}`);
    expect(JSON.stringify(view)).not.toContain('whsec_');
    const { rows } = await stack.database.query<{ text: string }>(
      `SELECT string_agg(s::text, '') AS text FROM webhook_secret s`,
    );
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
    for (const form of [secret, key.toString('hex'), Buffer.from(secret).toString('hex')])
      expect(rows[0]?.text).not.toContain(form);
    for (const { log } of stack.instances) expect(log).not.toContain(secret);
    const made = await endpointFor(stack, receiver.url);
    expect((await stack.api('DELETE', `/v1/webhook_endpoints/${made.id}`)).status).toBe(204);
    const uuid = made.id.replace('we_', '');
    const { rows: left } = await stack.database.query(
      `SELECT 1 FROM webhook_secret WHERE replace(endpoint_id::text, '-', '') = $1 AND length(sealed) > 0`,
      [uuid],
    );
    expect(left).toEqual([]);
  });
});

describe('what an endpoint asks for', () => {
  it('is what it gets: types and mini-programs', async () => {
    const other = await stack.merchant();
    const own = await Receiver.start();
    await endpointFor(stack, `${own.url}/succeeded`, { events: ['refund.succeeded', 'order.refunded'] });
    await endpointFor(stack, `${own.url}/other`, { appids: [other.appid] });
    const orders = [await stack.paidOrder(merchant, 100), await stack.paidOrder(other, 100)];
    for (const order of orders) await stack.settle(await accepted(order, {}), 'SUCCESS');
    await stack.eventually(
      () => Promise.resolve(own.received.length),
      (count) => count >= 9,
    );
    const types = (path: string): string[] =>
      own.received.filter((message) => message.path === path).map(({ event }) => event.type);
    expect(types('/succeeded').sort()).toEqual([
      'order.refunded',
      'order.refunded',
      'refund.succeeded',
      'refund.succeeded',
    ]);
    expect(types('/other').sort()).toEqual([
      'order.paid',
      'order.refunded',
      'refund.created',
      'refund.processing',
      'refund.succeeded',
    ]);
    const apps = own.received.filter(({ path }) => path === '/other').map(({ event }) => event.data.object['appid']);
    expect(new Set(apps)).toEqual(new Set([other.appid]));
    own.close();
  });
});

describe('whoever missed something', () => {
  it('reads every event again, newest first, exactly as it was sent', async () => {
    const order = await stack.paidOrder(merchant, 100);
    const refund = await accepted(order, {});
    await stack.settle(refund, 'SUCCESS');
    await toldOfRefund(refund, 'created', 'processing', 'succeeded');
    await toldOfOrder(order, 'paid', 'refunded');
    const listed = async (query: string): Promise<Json[]> =>
      ((await stack.ok('GET', `/v1/events?${query}`)) as { data: Json[] }).data;
    const sent = receiver.about(refund.id).map(({ event }) => event);
    expect(await listed(`refund=${refund.id}`)).toEqual([...sent].reverse());
    expect((await listed(`order=${order.id}`)).map(({ type }) => type).sort()).toEqual(
      ['order.paid', 'order.refunded', 'refund.created', 'refund.processing', 'refund.succeeded'].sort(),
    );
    expect((await listed(`order=${order.id}&type=order.paid,refund.created`)).length).toBe(2);
    expect(
      await listed(`refund=${refund.id}&created_gte=${encodeURIComponent(sent[1]?.timestamp ?? '')}`),
    ).toHaveLength(2);
    const page = await stack.ok('GET', `/v1/events?refund=${refund.id}&limit=2`);
    const rest = await stack.ok('GET', `/v1/events?refund=${refund.id}&limit=2&cursor=${String(page['next_cursor'])}`);
    expect([(page['data'] as Json[]).length, (rest['data'] as Json[]).length, rest['next_cursor']]).toEqual([
      2,
      1,
      null,
    ]);
    expect(await stack.api('GET', '/v1/events?type=refund.invented')).toMatchObject({
      status: 400,
      body: { code: 'validation_failed' },
    });
  });

  it('sees each delivery with its tries, and has one sent again under the same id', async () => {
    const refund = await accepted(await stack.paidOrder(merchant, 100), {});
    await toldOfRefund(refund, 'created', 'processing');
    const [first] = receiver.about(refund.id);
    const id = first?.event.id ?? '';
    const one = async (): Promise<Json> => (await deliveriesTo(stack, endpoint, `&event=${id}`))[0] ?? {};
    const delivery = await stack.eventually(one, ({ status }) => status === 'delivered');
    expect(delivery).toMatchObject({
      object: 'webhook_delivery',
      endpoint,
      event: id,
      type: 'refund.created',
      sequence: 1,
      status: 'delivered',
      next_attempt_at: null,
      attempts: [{ at: expect.any(String), result: '2xx', latency: expect.stringMatching(/^under_/) }],
    });
    expect((await stack.api('POST', `/v1/webhook_deliveries/${String(delivery['id'])}/resend`)).status).toBe(202);
    await heard(refund.id, 3);
    const again = receiver.about(refund.id).at(-1);
    expect([again?.headers['webhook-id'], again?.body]).toEqual([id, first?.body]);
    const resent = await stack.eventually(one, ({ attempts }) => (attempts as Json[]).length === 2);
    expect(resent).toMatchObject({ status: 'delivered', attempts: [{ result: '2xx' }, { result: '2xx' }] });
  });

  it('tries an endpoint out with a test event, which is no event of a refund or order', async () => {
    const own = await Receiver.start();
    const made = await endpointFor(stack, own.url, { events: ['refund.failed'] });
    const delivery = await stack.ok('POST', `/v1/webhook_endpoints/${made.id}/test`);
    expect(delivery).toMatchObject({ object: 'webhook_delivery', type: 'webhook_endpoint.test', status: 'pending' });
    await stack.eventually(
      () => Promise.resolve(own.received.length),
      (count) => count > 0,
    );
    const [message] = own.received;
    if (!message) throw new Error('nothing came');
    verify(message, made.secret);
    expect(message.event).toMatchObject({
      type: 'webhook_endpoint.test',
      sequence: 1,
      data: { object: { id: made.id, object: 'webhook_endpoint' }, previous_status: null },
    });
    const { data } = (await stack.ok('GET', '/v1/events?limit=100')) as { data: Json[] };
    expect(data.map(({ type }) => type)).not.toContain('webhook_endpoint.test');
    expect(receiver.types(made.id)).toEqual([]);
    own.close();
  });
});

describe('a URL', () => {
  it.each([
    'https://127.0.0.1.nip.invalid/',
    'https://10.0.0.1/',
    'https://[::ffff:10.0.0.1]/',
    'https://169.254.169.254/latest/meta-data/',
    'https://user@example.com/',
    'http://example.com/',
    'https://example.com:5432/',
    'nonsense',
  ])('%s is refused when it is saved and when it is changed', async (url) => {
    const refused = await stack.api('POST', '/v1/webhook_endpoints', { url, events: ['*'] });
    expect(refused).toMatchObject({ status: 422, body: { code: 'webhook_url_refused', errors: [{ field: 'url' }] } });
    expect(await stack.api('PATCH', `/v1/webhook_endpoints/${endpoint}`, { url })).toMatchObject({ status: 422 });
    expect(await stack.ok('GET', `/v1/webhook_endpoints/${endpoint}`)).toMatchObject({ url: `${receiver.url}/hooks` });
  });

  it.each<[string, Json]>([
    ['events', { events: [] }],
    ['events', { events: ['refund.invented'] }],
    ['events', { events: ['*', '*'] }],
    ['events', { events: 'refund.created' }],
    ['events', {}],
    ['url', { events: ['*'], url: 7 }],
    ['appids', { events: ['*'], appids: [] }],
    ['secret', { events: ['*'], secret: 'whsec_mine' }],
    ['description', { events: ['*'], description: '' }],
  ])('with a wrong %s (%j) is 400', async (field, wish) => {
    const answer = await stack.api('POST', '/v1/webhook_endpoints', { url: 'https://example.com/', ...wish });
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect((answer.body['errors'] as Json[]).map((error) => error['field'])).toContain(field);
  });
});

describe('a key bound to a mini-program', () => {
  it('makes and sees endpoints of its own mini-programs only, and hears of nothing else', async () => {
    const [own, other] = [await stack.merchant(), await stack.merchant()];
    const keyOf = async (appids: string[]): Promise<Record<string, string>> => {
      const { key } = await stack.ok('POST', '/v1/api_keys', { name: 'test', role: 'operator', appids });
      return { authorization: `Bearer ${String(key)}` };
    };
    const [key, theirs] = [await keyOf([own.appid]), await keyOf([other.appid])];
    const backend = await Receiver.start();
    const wish = { url: backend.url, events: ['*'] };
    const mine = await stack.ok('POST', '/v1/webhook_endpoints', wish, key);
    expect(mine).toMatchObject({ appids: [own.appid], created_by: expect.stringMatching(/^key_/) });
    for (const appids of [[other.appid], [own.appid, other.appid], ['wx-nobody']]) {
      const refused = await stack.api('POST', '/v1/webhook_endpoints', { ...wish, appids }, key);
      expect(refused).toMatchObject({ status: 404, body: { code: 'mini_program_not_found' } });
    }
    expect(await stack.api('POST', '/v1/webhook_endpoints', { ...wish, appids: ['wx-nobody'] })).toMatchObject({
      status: 404,
    });

    const [forAll, shared] = [
      await endpointFor(stack, backend.url),
      await endpointFor(stack, backend.url, { appids: [own.appid, other.appid] }),
    ];
    const listed = async (headers: Record<string, string>, path = '/v1/webhook_endpoints'): Promise<unknown[]> =>
      ((await stack.ok('GET', path, undefined, headers)) as { data: Json[] }).data.map((row) => row['id']);
    expect(await listed(key)).toEqual([mine['id']]);
    expect(await listed(theirs)).toEqual([]);
    for (const id of [forAll.id, shared.id, `we_${unique()}`]) {
      expect(await stack.api('GET', `/v1/webhook_endpoints/${id}`, undefined, key)).toMatchObject({
        status: 404,
        body: { code: 'webhook_endpoint_not_found' },
      });
    }

    await stack.paidOrder(own, 100);
    await stack.paidOrder(other, 100);
    await stack.eventually(
      () => Promise.resolve(backend.received.length),
      (count) => count >= 5,
    );
    expect(await listed(key, '/v1/events')).toHaveLength(1);
    expect(await listed(theirs, '/v1/events')).toHaveLength(1);
    const delivery = await stack.eventually(
      async () => (await deliveriesTo(stack, String(mine['id'])))[0] ?? {},
      ({ status }) => status === 'delivered',
    );
    expect(await listed(key, '/v1/webhook_deliveries')).toEqual([delivery['id']]);
    expect(await listed(theirs, '/v1/webhook_deliveries')).toEqual([]);
    const resend = `/v1/webhook_deliveries/${String(delivery['id'])}/resend`;
    expect(await stack.api('POST', resend, undefined, theirs)).toMatchObject({
      status: 404,
      body: { code: 'webhook_delivery_not_found' },
    });
    expect((await stack.api('POST', resend, undefined, key)).status).toBe(202);
    backend.close();
  });
});
