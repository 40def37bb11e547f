import { documentedQuery, lists, routes } from './support/routes.js';
import { type Answer, type Json, type Merchant, type Order, Stack, unique } from './support/stack.js';

/** What holds for every route and every list alike; the tables are read from openapi.json. */
let stack: Stack;
let merchant: Merchant;
let order: Order;
beforeAll(async () => {
  stack = await Stack.start();
  merchant = await stack.merchant();
  order = await stack.paidOrder(merchant, 1000);
});
afterAll(() => stack.close());

const withParameter = routes().filter(({ path }) => path.includes('{'));
const HOSTILE = ['%00', '%zz', '%ff', 'x'.repeat(300), '', '%2e%2e', '..%2f..', ';a=b', '%0d%0ax: y'];

function expectProblem(answer: Answer): void {
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(answer.body['request_id']).toBe(answer.headers.get('x-request-id'));
  expect(answer.body).toMatchObject({ status: answer.status, code: expect.any(String), detail: expect.any(String) });
}

describe('a path parameter', () => {
  it('stands in every route of this table', () => {
    expect(withParameter.length).toBeGreaterThan(18);
  });

  it.each(withParameter.map(({ method, path }) => [method, path]))(
    'that is no id is a problem, never a fault of the service: %s %s',
    async (method, path) => {
      for (const value of HOSTILE) {
        const body = method === 'GET' || method === 'DELETE' ? undefined : {};
        const answer = await stack.api(method, path.replace(/\{[^}]+\}/, value), body);
        expect([value, Math.floor(answer.status / 100)]).toEqual([value, 4]);
        expectProblem(answer);
      }
    },
  );

  it('in an address of another length is an unknown path', async () => {
    for (const { method, path } of withParameter) {
      const answer = await stack.api(
        method,
        `${path.replace(/\{[^}]+\}/, 'x')}/y/z`,
        method === 'GET' ? undefined : {},
      );
      expect([path, answer.status, answer.body['code']]).toEqual([path, 404, 'not_found']);
      expectProblem(answer);
    }
  });
});

/** A bad value of each common parameter. */
const BAD: Readonly<Record<string, readonly string[]>> = {
  limit: ['0', '101', '1e1', '-1', '', ' 5', '5&limit=6'],
  cursor: ['%00', 'bm90aGluZw', '', 'x'.repeat(101)],
  created_gte: ['monday', ''],
  created_lt: ['2026-01-01', ''],
};
const WITH_AMOUNT = ['/v1/orders', '/v1/refunds'];

describe('every list', () => {
  it('is one of this table', () => {
    expect(lists().sort()).toEqual(
      [
        'api_keys',
        'audit_logs',
        'events',
        'merchants',
        'mini_programs',
        'notifications',
        'orders',
        'refunds',
        'webhook_deliveries',
        'webhook_endpoints',
      ].map((name) => `/v1/${name}`),
    );
  });

  it.each(lists())('names in the document what it can be asked for: %s', (path) => {
    const named = documentedQuery(path);
    for (const name of Object.keys(BAD)) expect(named).toContain(name);
    expect(named.includes('amount_gte')).toBe(WITH_AMOUNT.includes(path));
    expect(new Set(named).size).toBe(named.length);
  });

  it.each(lists())('refuses a parameter it does not know, or a bad value, by name: %s', async (path) => {
    const names = [
      'sort',
      'offset',
      'page',
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      'Limit',
      'limit[]',
      'limit[gt]',
    ];
    for (const name of names) {
      const answer = await stack.api('GET', `${path}?${name}=1`);
      expect([name, answer.status, answer.body['code']]).toEqual([name, 400, 'validation_failed']);
      expectProblem(answer);
    }
    for (const [name, values] of Object.entries(BAD)) {
      for (const value of values) {
        const answer = await stack.api('GET', `${path}?${name}=${value}`);
        expect([name, value, answer.status, answer.body['code']]).toEqual([name, value, 400, 'validation_failed']);
        expect((answer.body['errors'] as Json[])[0]?.['field']).toBe(name);
      }
    }
  });

  it.each(lists())('filters by amount only where its rows have one: %s', async (path) => {
    for (const name of ['amount_gte', 'amount_lte']) {
      const answer = await stack.api('GET', `${path}?${name}=1`);
      expect([name, answer.status]).toEqual([name, WITH_AMOUNT.includes(path) ? 200 : 400]);
    }
    if (!WITH_AMOUNT.includes(path)) return;
    for (const value of ['-1', '1.5', '1e3', '', '01', '10000000000000000'])
      expect([value, (await stack.api('GET', `${path}?amount_lte=${value}`)).status]).toEqual([value, 400]);
  });

  it('is paged without gap or repeat and ends, also where rows have no id of ours', async () => {
    for (let made = 0; made < 3; made += 1) {
      await stack.ok('POST', '/v1/api_keys', { name: `k${made}`, role: 'viewer' });
      await stack.paidOrder(await stack.merchant(), 100);
    }
    const keyOf: Readonly<Record<string, string>> = { '/v1/merchants': 'mch_id', '/v1/mini_programs': 'appid' };
    for (const path of lists()) {
      const name = keyOf[path] ?? 'id';
      const whole = (await stack.ok('GET', `${path}?limit=100`)) as { data: Json[]; next_cursor: unknown };
      expect(whole.next_cursor).toBeNull();
      const seen: unknown[] = [];
      for (let cursor: string | null = ''; cursor !== null;) {
        const page = await stack.ok('GET', `${path}?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
        seen.push(...(page['data'] as Json[]).map((row) => row[name]));
        cursor = page['next_cursor'] as string | null;
        expect(seen.length).toBeLessThanOrEqual(whole.data.length);
      }
      expect([path, seen]).toEqual([path, whole.data.map((row) => row[name])]);
    }
  });

  it('takes only cursors of its own kind', async () => {
    const cursor = async (path: string): Promise<string> =>
      String((await stack.ok('GET', `${path}?limit=1`))['next_cursor']);
    for (let made = 0; made < 2; made += 1) {
      await stack.ok('POST', '/v1/api_keys', { name: `k${made}`, role: 'viewer' });
      await stack.paidOrder(await stack.merchant(), 100);
    }
    for (const source of ['/v1/merchants', '/v1/mini_programs', '/v1/orders', '/v1/api_keys']) {
      const given = await cursor(source);
      for (const path of lists()) {
        const { status } = await stack.api('GET', `${path}?cursor=${given}`);
        expect([source, path, status]).toEqual([source, path, source === path ? 200 : 400]);
      }
    }
  });

  it('of another age than its newest row is empty or whole', async () => {
    for (const path of lists()) {
      const count = async (query: string): Promise<number> =>
        ((await stack.ok('GET', `${path}?limit=100&${query}`))['data'] as Json[]).length;
      const all = await count('created_gte=2020-01-01T00:00:00Z');
      expect([path, await count('created_lt=2020-01-01T00:00:00Z')]).toEqual([path, 0]);
      expect([path, await count('created_gte=2999-01-01T00:00:00%2B08:00')]).toEqual([path, 0]);
      expect([path, await count('created_lt=2999-01-01T00:00:00-14:00')]).toEqual([path, all]);
    }
  });
});

/** Each names every time field of one call, a wish that is good but for it, and where its row would be. */
interface TimeField {
  readonly name: string;
  readonly good: string;
  send(time: unknown): Promise<Answer>;
  /** What the database keeps of the last wish, in UTC; null for nothing. */
  kept(): Promise<string | null>;
}

async function one(sql: string, parameter: unknown): Promise<string | null> {
  const { rows } = await stack.database.query<{ kept: string }>(sql, [parameter]);
  return rows[0]?.kept ?? null;
}
const TEXT = `to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS kept`;

function timeFields(): TimeField[] {
  let number = '';
  let name = '';
  const order = (column: string): string =>
    `SELECT ${TEXT.replace('%s', column)} FROM payment_order WHERE out_trade_no = $1`;
  return [
    {
      name: 'paid_at of register',
      good: '2026-01-31T08:00:00.123456+08:00',
      send: (time) => {
        number = `T${unique()}`;
        const wish = { appid: merchant.appid, out_trade_no: number, amount: 1, verify: false, paid_at: time };
        return stack.api('POST', '/v1/orders/register', wish);
      },
      kept: () => one(order('paid_at'), number),
    },
    {
      name: 'expires_at of an order',
      good: '2099-01-31T08:00:00.5+08:00',
      send: (time) => {
        number = `T${unique()}`;
        const wish = { appid: merchant.appid, out_trade_no: number, amount: 1, description: 'x', openid: 'o' };
        return stack.api('POST', '/v1/orders', { ...wish, expires_at: time });
      },
      kept: () => one(order('expires_at'), number),
    },
    {
      name: 'expires_at of an API key',
      good: '2099-01-31T08:00:00-09:30',
      send: (time) => {
        name = `key ${unique()}`;
        return stack.api('POST', '/v1/api_keys', { name, role: 'viewer', expires_at: time });
      },
      kept: () => one(`SELECT ${TEXT.replace('%s', 'expires_at')} FROM api_key WHERE name = $1`, name),
    },
  ];
}

const NO_TIMES: readonly unknown[] = [
  '2099',
  '2099-01',
  '2099-01-31',
  '2099-W05-6T08:00:00Z',
  '2099-031T08:00:00Z',
  '2099-01-31T08:00:00',
  '2099-01-31T08:00Z',
  '2099-01-31 08:00:00Z',
  '2099-01-31T08:00:00+23:59',
  '2099-01-31T08:00:00+0800',
  '2099-01-31T08:00:00+08',
  '2099-01-31T08:00:00 CST',
  '2099-01-31T08:00:00,5Z',
  '2099-01-31T08:00:00.Z',
  '2099-01-31T24:61:00Z',
  '2099-01-31T24:00:00Z',
  '2099-01-31T08:00:60Z',
  '2099-02-30T08:00:00Z',
  '2099-13-01T08:00:00Z',
  '0000-01-01T00:00:00Z',
  '+002099-01-31T08:00:00Z',
  '٢٠٩٩-01-31T08:00:00Z',
  'now',
  'infinity',
  '',
];
const NO_TEXTS: readonly unknown[] = [4_070_908_800, 4_070_908_800_000, true, null, [], {}, ['2099-01-31T08:00:00Z']];

describe('a time', () => {
  it.each(['paid_at of register', 'expires_at of an order', 'expires_at of an API key'])(
    'that RFC 3339 does not know is refused and nothing is stored: %s',
    async (name) => {
      const field = timeFields().find((entry) => entry.name === name) as TimeField;
      for (const time of [...NO_TIMES, ...NO_TEXTS]) {
        const answer = await field.send(time);
        expect([time, answer.status, answer.body['code']]).toEqual([time, 400, 'validation_failed']);
        expect((answer.body['errors'] as Json[])[0]?.['field']).toBe(name.split(' ')[0]);
        expect([time, await field.kept()]).toEqual([time, null]);
      }
    },
  );

  it.each(['paid_at of register', 'expires_at of an order', 'expires_at of an API key'])(
    'with an offset is kept to the microsecond: %s',
    async (name) => {
      const field = timeFields().find((entry) => entry.name === name) as TimeField;
      expect(await field.send(field.good)).toMatchObject({ status: 201 });
      const micros = (/\.(\d+)/.exec(field.good)?.[1] ?? '').padEnd(6, '0');
      expect(await field.kept()).toBe(`${new Date(field.good).toISOString().slice(0, 19)}.${micros}`);
    },
  );

  it.each(lists())('that RFC 3339 does not know is refused as a bound of the list: %s', async (path) => {
    for (const name of ['created_gte', 'created_lt']) {
      for (const time of NO_TIMES) {
        const answer = await stack.api('GET', `${path}?${name}=${encodeURIComponent(String(time))}`);
        expect([name, time, answer.status]).toEqual([name, time, 400]);
        expect((answer.body['errors'] as Json[])[0]?.['field']).toBe(name);
      }
    }
  });

  it('is a bound to the microsecond: the row of that very moment is on one side of it only', async () => {
    const at = await one(
      `SELECT ${TEXT.replace('%s', 'created_at')} FROM payment_order WHERE out_trade_no = $1`,
      order.outTradeNo,
    );
    const ids = async (query: string): Promise<unknown[]> =>
      ((await stack.ok('GET', `/v1/orders?out_trade_no=${order.outTradeNo}&${query}`))['data'] as Json[]).map(
        (row) => row['id'],
      );
    expect(await ids(`created_gte=${at}Z`)).toEqual([order.id]);
    expect(await ids(`created_lt=${at}Z`)).toEqual([]);
  });
});
