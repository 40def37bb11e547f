import { type Answer, type Json, type Order, type Refund, Stack, unique } from './support/stack.js';
import { secretOf } from '../support/api-key.js';

type Role = 'viewer' | 'operator' | 'admin';
const RANK: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, admin: 2 };

/** Who may call what, written out a second time from design.md 8: the least role, and whether keys bound to apps are let in. */
const ROUTES: Readonly<Record<string, readonly [Role, 'scoped' | 'unscoped']>> = {
  'POST /v1/merchants': ['admin', 'unscoped'],
  'GET /v1/merchants': ['viewer', 'unscoped'],
  'GET /v1/merchants/{mch_id}': ['viewer', 'unscoped'],
  'PATCH /v1/merchants/{mch_id}': ['admin', 'unscoped'],
  'PUT /v1/merchants/{mch_id}/credentials': ['admin', 'unscoped'],
  'POST /v1/merchants/{mch_id}/check': ['admin', 'unscoped'],
  'POST /v1/mini_programs': ['admin', 'unscoped'],
  'GET /v1/mini_programs': ['viewer', 'scoped'],
  'GET /v1/mini_programs/{appid}': ['viewer', 'scoped'],
  'PATCH /v1/mini_programs/{appid}': ['admin', 'unscoped'],
  'POST /v1/orders': ['operator', 'scoped'],
  'POST /v1/orders/register': ['operator', 'scoped'],
  'GET /v1/orders': ['viewer', 'scoped'],
  'GET /v1/orders/{id}': ['viewer', 'scoped'],
  'POST /v1/orders/{id}/sync': ['operator', 'scoped'],
  'POST /v1/orders/{id}/close': ['operator', 'scoped'],
  'POST /v1/refunds': ['operator', 'scoped'],
  'GET /v1/refunds': ['viewer', 'scoped'],
  'GET /v1/refunds/export': ['viewer', 'scoped'],
  'GET /v1/refunds/{id}': ['viewer', 'scoped'],
  'GET /v1/refunds/{id}/timeline': ['viewer', 'scoped'],
  'POST /v1/refunds/{id}/sync': ['operator', 'scoped'],
  'POST /v1/refunds/{id}/cancel': ['operator', 'scoped'],
  'POST /v1/refunds/{id}/retry': ['operator', 'scoped'],
  'POST /v1/refunds/{id}/repair': ['operator', 'scoped'],
  'POST /v1/refunds/{id}/resolve': ['admin', 'scoped'],
  'GET /v1/notifications': ['viewer', 'unscoped'],
  'GET /v1/notifications/{id}': ['viewer', 'unscoped'],
  'POST /v1/notifications/{id}/reprocess': ['operator', 'unscoped'],
  'POST /v1/api_keys': ['admin', 'unscoped'],
  'GET /v1/api_keys': ['admin', 'unscoped'],
  'DELETE /v1/api_keys/{id}': ['admin', 'unscoped'],
  'POST /v1/webhook_endpoints': ['operator', 'scoped'],
  'GET /v1/webhook_endpoints': ['operator', 'scoped'],
  'GET /v1/webhook_endpoints/{id}': ['operator', 'scoped'],
  'PATCH /v1/webhook_endpoints/{id}': ['operator', 'scoped'],
  'DELETE /v1/webhook_endpoints/{id}': ['operator', 'scoped'],
  'POST /v1/webhook_endpoints/{id}/rotate_secret': ['operator', 'scoped'],
  'POST /v1/webhook_endpoints/{id}/test': ['operator', 'scoped'],
  'GET /v1/webhook_deliveries': ['operator', 'scoped'],
  'POST /v1/webhook_deliveries/{id}/resend': ['operator', 'scoped'],
  'GET /v1/events': ['operator', 'scoped'],
  'GET /v1/audit_logs': ['admin', 'unscoped'],
  'GET /metrics': ['viewer', 'unscoped'],
};
const OPEN = ['GET /health/live', 'GET /health/ready'];

/** What a well-formed call of the route carries; routes that take no body are left out. */
const BODIES: Readonly<Record<string, Json>> = {
  'POST /v1/refunds/{id}/resolve': { outcome: 'closed', reason: 'ten letters and more' },
  'POST /v1/refunds/{id}/repair': { type: 'MERCHANT_BANK_CARD' },
  'POST /v1/refunds/{id}/cancel': {},
};

let stack: Stack;
let own: { appid: string; mchId: string; order: Order; refund: Refund; endpoint: string; delivery: string };
let other: typeof own;
beforeAll(async () => {
  stack = await Stack.start({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
  const seeded = async (): Promise<typeof own> => {
    const merchant = await stack.merchant();
    const order = await stack.paidOrder(merchant, 100);
    return { ...merchant, order, refund: await stack.refund(order, { amount: 1 }), ...(await hooked(merchant.appid)) };
  };
  own = await seeded();
  other = await seeded();
});
afterAll(() => stack.close());

const made = (wish: Json): Promise<Json> => stack.ok('POST', '/v1/api_keys', { name: 'test', ...wish });
const bearer = (key: unknown): Record<string, string> => ({ authorization: `Bearer ${String(key)}` });

/** An endpoint that hears of one app, where nobody listens, and a delivery to it. */
async function hooked(appid: string): Promise<{ endpoint: string; delivery: string }> {
  const wish = { url: 'http://127.0.0.1:9/', events: ['*'], appids: [appid] };
  const endpoint = String((await stack.ok('POST', '/v1/webhook_endpoints', wish))['id']);
  const delivery = await stack.ok('POST', `/v1/webhook_endpoints/${endpoint}/test`);
  return { endpoint, delivery: String(delivery['id']) };
}

function call(route: string, key: unknown, of: typeof own, named?: Json): Promise<Answer> {
  const [method = '', path = ''] = route.split(' ');
  const id = {
    orders: of.order.id,
    refunds: of.refund.id,
    notifications: 'ntf_0',
    api_keys: 'key_0',
    webhook_endpoints: of.endpoint,
    webhook_deliveries: of.delivery,
  }[path.split('/')[2] ?? ''];
  const url = path
    .replace('{mch_id}', of.mchId)
    .replace('{appid}', of.appid)
    .replace('{id}', id ?? '');
  const body = method === 'GET' || method === 'DELETE' ? undefined : (named ?? BODIES[route]);
  return stack.api(method, url, body, bearer(key));
}

describe('every route', () => {
  it('of the OpenAPI document stands in the table of this test, and no other', async () => {
    const { paths } = (await stack.ok('GET', '/openapi.json')) as { paths: Record<string, Json> };
    const served = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(served.sort()).toEqual([...Object.keys(ROUTES), ...OPEN].sort());
  });

  it('is closed without a key, and says no more than that', async () => {
    for (const route of Object.keys(ROUTES)) {
      const answer = await call(route, 'none', own);
      expect([route, answer.status, answer.body['code']]).toEqual([route, 401, 'unauthorized']);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    }
  });

  it.each<[Role, boolean]>([
    ['viewer', false],
    ['operator', false],
    ['admin', false],
    ['viewer', true],
    ['operator', true],
    ['admin', true],
  ])('lets a key of role %s in as the table says (bound to an app: %s)', async (role, bound) => {
    const { key } = await made({ role, ...(bound && { appids: [own.appid] }) });
    // One refund is asked for at most once in 10 s, so each key syncs its own.
    const subject = { ...own, refund: await stack.refund(own.order, { amount: 1 }), ...(await hooked(own.appid)) };
    for (const [route, [least, scope]] of Object.entries(ROUTES)) {
      const open = RANK[role] >= RANK[least] && !(bound && scope === 'unscoped');
      const answer = await call(route, key, subject);
      const verdict = answer.status === 403 ? 'closed' : answer.status === 401 ? 'unknown key' : 'open';
      expect([route, verdict]).toEqual([route, open ? 'open' : 'closed']);
      if (!open) expect(answer.body['code']).toBe('forbidden');
    }
  });
});

/** What a well-formed call that names another app's order or app carries. */
const NAMING: Readonly<Record<string, (of: typeof own) => Json>> = {
  'POST /v1/orders': ({ appid }) => ({ appid, amount: 1, description: 'x', openid: 'o', out_trade_no: `T${unique()}` }),
  'POST /v1/orders/register': ({ appid, order }) => ({ appid, amount: 100, out_trade_no: order.outTradeNo }),
  'POST /v1/refunds': ({ order }) => ({ order: order.id, amount: 1, out_refund_no: `R${unique()}` }),
  'POST /v1/webhook_endpoints': ({ appid }) => ({ url: 'http://127.0.0.1:9/', events: ['*'], appids: [appid] }),
};

/** Whatever of an app a caller could have changed. */
async function heldOf({ appid }: typeof own): Promise<unknown> {
  const { rows } = await stack.database.query(
    `SELECT (SELECT count(*) FROM payment_order WHERE appid = $1) AS orders, (SELECT count(*) FROM refund WHERE appid = $1) AS refunds,
       (SELECT string_agg(state || version, ',' ORDER BY id) FROM refund WHERE appid = $1) AS states,
       (SELECT string_agg(concat(id, enabled, url), ',' ORDER BY id) FROM webhook_endpoint WHERE $1 = ANY(appids)) AS endpoints`,
    [appid],
  );
  return rows[0];
}

describe('what belongs to another app', () => {
  const roles: readonly Role[] = ['viewer', 'operator', 'admin'];
  beforeAll(async () => {
    for (const { refund } of [own, other]) await stack.until(refund.id, 'accepted');
  });

  it.each(roles)('is closed or not there for a bound %s on every route, and nothing of it changes', async (role) => {
    const { key } = await made({ role, appids: [own.appid] });
    const before = await heldOf(other);
    for (const [route, [least, scope]] of Object.entries(ROUTES)) {
      const closed = RANK[role] < RANK[least] || scope === 'unscoped';
      const answer = await call(route, key, other, NAMING[route]?.(other));
      const list = route.startsWith('GET ') && !route.includes('{');
      expect([route, answer.status]).toEqual([route, closed ? 403 : list ? 200 : 404]);
      if (list && !closed) expect([route, JSON.stringify(answer.body).includes(other.appid)]).toEqual([route, false]);
    }
    expect(await heldOf(other)).toEqual(before);
  });

  it.each(roles)('is open to an unbound %s as the table says, whichever app it is', async (role) => {
    const { key } = await made({ role });
    const subject = {
      ...other,
      refund: await stack.refund(other.order, { amount: 1 }),
      ...(await hooked(other.appid)),
    };
    for (const [route, [least]] of Object.entries(ROUTES)) {
      const { status } = await call(route, key, subject);
      expect([route, status === 403]).toEqual([route, RANK[role] < RANK[least]]);
      expect([route, status]).not.toEqual([route, 401]);
    }
  });
});

describe('a key bound to an app', () => {
  let key: unknown;
  beforeAll(async () => {
    ({ key } = await made({ role: 'admin', appids: [own.appid] }));
  });

  it('gets 404 for every id of another app, as if it did not exist', async () => {
    const withId = Object.entries(ROUTES).filter(([route, [, scope]]) => scope === 'scoped' && route.includes('{'));
    expect(withId.length).toBeGreaterThan(8);
    for (const [route] of withId) {
      const theirs = await call(route, key, other);
      expect([route, theirs.status]).toEqual([route, 404]);
      const nobodys = await call(route, key, {
        ...other,
        appid: 'wx-nobody',
        order: { ...other.order, id: `ord_${'0'.repeat(32)}` },
        refund: { ...other.refund, id: `re_${'0'.repeat(32)}` },
        endpoint: `we_${'0'.repeat(32)}`,
        delivery: `wd_${'0'.repeat(32)}`,
      });
      expect([route, nobodys.status, nobodys.body['code']]).toEqual([route, 404, theirs.body['code']]);
    }
    expect(await stack.read(other.refund.id)).toMatchObject({ amount: 1 });
  });

  it('lists only what belongs to its app, whatever it filters by', async () => {
    for (const path of ['/v1/orders', '/v1/refunds', '/v1/mini_programs']) {
      const { data } = (await stack.ok('GET', path, undefined, bearer(key))) as { data: Json[] };
      expect(data.length).toBeGreaterThan(0);
      expect(data.every((row) => row['appid'] === own.appid)).toBe(true);
    }
    for (const path of [`/v1/refunds?appid=${other.appid}`, `/v1/orders?out_trade_no=${other.order.outTradeNo}`]) {
      expect(await stack.ok('GET', path, undefined, bearer(key))).toEqual({ data: [], next_cursor: null });
    }
  });

  it.each([
    ['its id', () => ({ order: other.order.id })],
    ['its number', () => ({ out_trade_no: other.order.outTradeNo })],
    ['its number and app', () => ({ out_trade_no: other.order.outTradeNo, appid: other.appid })],
  ])('cannot refund an order of another app named by %s', async (_, name) => {
    const body = { ...name(), amount: 1, out_refund_no: `R${unique()}` };
    const answer = await stack.api('POST', '/v1/refunds', body, bearer(key));
    expect(answer).toMatchObject({ status: 404, body: { code: 'order_not_found' } });
  });

  it('cannot make or register an order for another app', async () => {
    const paid = { appid: other.appid, amount: 1, out_trade_no: `T${unique()}` };
    const answers = await Promise.all([
      stack.api('POST', '/v1/orders', { ...paid, description: 'x', openid: 'o' }, bearer(key)),
      stack.api('POST', '/v1/orders/register', paid, bearer(key)),
    ]);
    for (const answer of answers)
      expect(answer).toMatchObject({ status: 404, body: { code: 'mini_program_not_found' } });
  });

  it("learns nothing of another app's refund from its number", async () => {
    const mine = await stack.ok('POST', '/v1/mini_programs', {
      appid: `wx${unique()}`,
      name: 'a second app of the other merchant',
      mch_ids: [other.mchId],
    });
    const { key: second } = await made({ role: 'operator', appids: [mine['appid']] });
    const order = await stack.paidOrder({ mchId: other.mchId, appid: String(mine['appid']) }, 100).catch(() => null);
    expect(order).toBeNull();
    await stack.control('POST', '/merchants', { mch_id: other.mchId, appids: [mine['appid']] });
    const paid = await stack.paidOrder({ mchId: other.mchId, appid: String(mine['appid']) }, 100);
    const answer = await stack.api(
      'POST',
      '/v1/refunds',
      { order: paid.id, amount: 1, out_refund_no: other.refund.out_refund_no },
      bearer(second),
    );
    expect(answer).toMatchObject({ status: 409, body: { code: 'out_refund_no_conflict' } });
    expect(JSON.stringify(answer.body)).not.toContain(other.refund.id);
    expect(JSON.stringify(answer.body)).not.toContain(other.appid);
  });
});

describe('an API key', () => {
  it('is shown once and kept as a hash', async () => {
    const view = await made({ role: 'viewer', appids: ['wx1'] });
    expect(view).toMatchObject({ object: 'api_key', role: 'viewer', appids: ['wx1'], created_by: 'admin' });
    const key = String(view['key']);
    const { data } = (await stack.ok('GET', '/v1/api_keys')) as { data: Json[] };
    const listed = data.find((row) => row['id'] === view['id']);
    const { key: _, ...rest } = view;
    expect(listed).toEqual(rest);
    const { rows } = await stack.database.query<{ stored: string }>(
      'SELECT string_agg(to_jsonb(k)::text, chr(10)) AS stored FROM api_key k',
    );
    for (const part of [key, secretOf(key)]) expect(rows[0]?.stored).not.toContain(part);
  });

  it('that is deleted is dead on every instance within 5 seconds', async () => {
    const second = await stack.addInstance();
    const { id, key } = await made({ role: 'viewer' });
    const status = async (url: string): Promise<number> =>
      (await fetch(`${url}/v1/refunds`, { headers: bearer(key) })).status;
    expect([await status(stack.url), await status(second.url)]).toEqual([200, 200]);
    expect((await stack.api('DELETE', `/v1/api_keys/${String(id)}`)).status).toBe(204);
    expect(await status(stack.url)).toBe(401);
    expect(
      await stack.eventually(
        () => status(second.url),
        (code) => code === 401,
        5,
      ),
    ).toBe(401);
    expect(await stack.api('DELETE', `/v1/api_keys/${String(id)}`)).toMatchObject({
      status: 404,
      body: { code: 'api_key_not_found' },
    });
  });

  it('dies at its time', async () => {
    const soon = new Date(Date.now() + 2500).toISOString();
    const { key } = await made({ role: 'viewer', expires_at: soon });
    expect((await stack.api('GET', '/v1/refunds', undefined, bearer(key))).status).toBe(200);
    const after = await stack.eventually(
      async () => (await stack.api('GET', '/v1/refunds', undefined, bearer(key))).status,
      (status) => status === 401,
      8,
    );
    expect(after).toBe(401);
  });

  it.each<[string, (key: string) => string]>([
    [
      'one changed letter of the secret',
      (key) => key.replace(/(.{20})_/, (_, head: string) => `${head.slice(0, -1)}!_`),
    ],
    ['another checksum', (key) => `${key.slice(0, -6)}000000`],
    ['a blank behind', (key) => `${key} x`],
    ['nothing', () => ''],
    ['half of it', (key) => key.slice(0, 40)],
  ])('with %s is unauthorized', async (_, change) => {
    const { key } = await made({ role: 'viewer' });
    const answer = await stack.api('GET', '/v1/refunds', undefined, bearer(change(String(key))));
    expect(answer).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
  });

  it('given in another scheme or twice is not looked at', async () => {
    const basic = { authorization: `Basic ${Buffer.from(`admin:${stack.adminKey}`).toString('base64')}` };
    expect((await stack.api('GET', '/v1/refunds', undefined, basic)).status).toBe(401);
    expect((await stack.api('GET', `/v1/refunds?api_key=${stack.adminKey}`, undefined, bearer('x'))).status).toBe(401);
  });

  it.each<[string, Json]>([
    ['role', { role: 'root' }],
    ['name', { role: 'viewer', name: '' }],
    ['appids', { role: 'viewer', appids: [] }],
    ['expires_at', { role: 'viewer', expires_at: 'tomorrow' }],
    ['id', { role: 'viewer', id: 'key_1' }],
  ])('is not made with a wrong %s', async (field, wish) => {
    const answer = await stack.api('POST', '/v1/api_keys', { name: 'test', ...wish });
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect((answer.body['errors'] as Json[]).map((error) => error['field'])).toContain(field);
  });
});
