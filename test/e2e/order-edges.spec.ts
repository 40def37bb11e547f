import { type Answer, type Json, type Merchant, type Order, Stack, unique } from './support/stack.js';

/** Orders where somebody asks again in other words, where WeChat disagrees, or where something is missing. */
let stack: Stack;
let merchant: Merchant;
beforeAll(async () => {
  stack = await Stack.start();
  merchant = await stack.merchant({ simulator: { mute_notices: true } });
});
afterAll(() => stack.close());

const wishFor = (change: Json = {}): Json => ({
  appid: merchant.appid,
  out_trade_no: `T${unique()}`,
  amount: 1234,
  description: 'x',
  openid: 'o',
  ...change,
});
const create = (wish: Json): Promise<Answer> => stack.api('POST', '/v1/orders', wish);
const register = (wish: Json): Promise<Answer> => stack.api('POST', '/v1/orders/register', wish);
const call = (order: Json, what: 'sync' | 'close'): Promise<Answer> =>
  stack.api('POST', `/v1/orders/${String(order['id'])}/${what}`);
const now = (order: Json): Promise<Json> => stack.ok('GET', `/v1/orders/${String(order['id'])}`);
const rowsOf = async (number: unknown): Promise<number> =>
  (await stack.database.query('SELECT 1 FROM payment_order WHERE out_trade_no = $1', [number])).rows.length;

/** An order that WeChat holds as paid and that is not registered here; its number, transaction and time. */
const paidElsewhere = (amount: number, of = merchant): Promise<Json> =>
  stack.control('POST', '/orders', {
    mch_id: of.mchId,
    appid: of.appid,
    out_trade_no: `T${unique()}`,
    total_fee: amount,
  });

describe('the same request', () => {
  const METADATA = { shop: '7', Zone: 'b', a: 'ü', 'a b': '', 10: 'x', 9: 'y' };
  const reversed = (object: Json): Json => Object.fromEntries(Object.entries(object).reverse());
  /** JSON whose keys stand the other way round on both levels, also those that a JavaScript object would sort. */
  const written = (wish: Json): string =>
    `{${Object.entries(reversed(wish))
      .map(([key, value]) => {
        const flat = typeof value === 'object' && value !== null ? (value as Json) : null;
        const text = flat
          ? `{ ${Object.entries(flat)
              .reverse()
              .map(([name, entry]) => `${JSON.stringify(name)} : ${JSON.stringify(entry)}`)
              .join(',\n')} }`
          : JSON.stringify(value);
        return `${JSON.stringify(key)}:${text}`;
      })
      .join(', ')}}`;

  it('to create is the same order whatever the order of its keys, those of metadata too', async () => {
    const wish = wishFor({ metadata: METADATA });
    const first = await create(wish);
    const again = await stack.api('POST', '/v1/orders', written(wish));
    expect([first.status, again.status, again.body['id']]).toEqual([201, 200, first.body['id']]);
    expect(again.body['metadata']).toEqual(METADATA);
  });

  it('to register is the same order whatever the order of its keys, with verify spelled out or left out', async () => {
    const { out_trade_no: number } = await paidElsewhere(500);
    const wish = { appid: merchant.appid, out_trade_no: number, amount: 500, metadata: METADATA };
    const first = await register(wish);
    expect(first).toMatchObject({ status: 201, body: { verified: true } });
    for (const again of [wish, { ...wish, verify: true }, { ...wish, mch_id: merchant.mchId }])
      expect(await stack.api('POST', '/v1/orders/register', written(again))).toMatchObject({
        status: 200,
        body: { id: first.body['id'] },
      });
    for (const other of [
      { metadata: { ...METADATA, shop: '8' } },
      { metadata: reversed({ a: 'x' }) },
      { verify: false, paid_at: '2026-01-31T08:00:00Z' },
    ])
      expect(await register({ ...wish, ...other })).toMatchObject({
        status: 409,
        body: { code: 'out_trade_no_conflict' },
      });
  });

  it('to register 20 times at once is one order', async () => {
    const { out_trade_no: number } = await paidElsewhere(500);
    const wish = { appid: merchant.appid, out_trade_no: number, amount: 500 };
    const answers = await Promise.all(Array.from({ length: 20 }, () => register(wish)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(19);
    expect(new Set(answers.map(({ body }) => body['id'])).size).toBe(1);
    expect(await rowsOf(number)).toBe(1);
  });
});

describe('registering', () => {
  it('with a time that WeChat does not show stores nothing; with the one it shows, in any offset, it does', async () => {
    const { out_trade_no: number, paid_at: shown } = await paidElsewhere(500);
    const second = Math.floor(Date.parse(String(shown)) / 1000) * 1000;
    const wish = { appid: merchant.appid, out_trade_no: number, amount: 500 };
    for (const off of [-86_400_000, -1000, 1000]) {
      const answer = await register({ ...wish, paid_at: new Date(second + off).toISOString() });
      expect(answer).toMatchObject({ status: 422, body: { code: 'order_mismatch' } });
      expect(answer.body['detail']).toContain('paid_at');
    }
    expect(await rowsOf(number)).toBe(0);
    const inBeijing = new Date(second + 8 * 3_600_000).toISOString().replace('Z', '+08:00');
    expect(await register({ ...wish, paid_at: inBeijing })).toMatchObject({
      status: 201,
      body: { paid_at: new Date(second).toISOString() },
    });
  });

  it('a payment that was refunded in the merchant platform takes the refund in', async () => {
    const { out_trade_no: number } = await paidElsewhere(500);
    await stack.control('POST', '/refunds', { mch_id: merchant.mchId, out_trade_no: number, amount: 200 });
    const { body } = await register({ appid: merchant.appid, out_trade_no: number, amount: 500 });
    const order = await stack.eventually(
      () => now(body),
      ({ amount_refunded: refunded }) => refunded === 200,
    );
    expect(order).toMatchObject({ status: 'paid', amount_refunded: 200, amount_refundable: 300 });
  });
});

describe('a text for WeChat or for our books', () => {
  /** As JSON spells them: a lone surrogate cannot be sent otherwise. */
  const FORBIDDEN = [
    '\\u0000',
    '\\u0001',
    '\\u000b',
    '\\u000c',
    '\\u001f',
    '\\ufffe',
    '\\uffff',
    '\\ud800',
    '\\udc00\\ud800',
    '\\udfffx',
  ];
  const FINE = [
    'a\\tb',
    'a\\nb',
    'a\\r\\nb',
    'a\\rb',
    '\\u00e9',
    '退款 ✓',
    '\\ud83d\\ude00',
    ']]>',
    '<b>&amp;</b>',
    '\\u202e',
    '\\u0085',
    '\\ufeff',
  ];
  let paid: Order;
  beforeAll(async () => {
    paid = await stack.paidOrder(merchant, 100_000);
  });
  const refund = (field: string): string => `{"order":"${paid.id}","amount":1,"out_refund_no":"R${unique()}",${field}}`;
  const order = (field: string): string =>
    `{"appid":"${merchant.appid}","out_trade_no":"T${unique()}","amount":1,"openid":"o",${field}}`;
  const FIELDS: readonly [string, string, (text: string) => string][] = [
    ['reason', '/v1/refunds', (text) => refund(`"reason":"${text}"`)],
    ['note', '/v1/refunds', (text) => refund(`"note":"${text}"`)],
    ['metadata of a refund', '/v1/refunds', (text) => refund(`"metadata":{"a":"${text}"}`)],
    ['a key in metadata of a refund', '/v1/refunds', (text) => refund(`"metadata":{"${text}":"a"}`)],
    ['ref of an item', '/v1/refunds', (text) => refund(`"items":[{"ref":"${text}","amount":1}]`)],
    ['description', '/v1/orders', (text) => order(`"description":"${text}"`)],
    ['attach', '/v1/orders', (text) => order(`"description":"x","attach":"${text}"`)],
    ['metadata of an order', '/v1/orders', (text) => order(`"description":"x","metadata":{"a":"${text}"}`)],
  ];

  it.each(FIELDS)('with a control character or half a character is refused: %s', async (_, path, body) => {
    for (const text of FORBIDDEN) {
      const answer = await stack.api('POST', path, body(`a${text}b`));
      expect([text, answer.status, answer.body['code']]).toEqual([text, 400, 'validation_failed']);
    }
  });

  it.each(FIELDS)('with a tab, a new line or any other character is taken as it is: %s', async (_, path, body) => {
    paid = await stack.paidOrder(merchant, 1000);
    for (const text of FINE) {
      const sent = body(text);
      const answer = await stack.api('POST', path, sent);
      expect([text, answer.status, answer.body['code']]).toEqual([text, 201, undefined]);
      // WeChat has read it as it was signed.
      if (path === '/v1/refunds') await stack.until(String(answer.body['id']), 'accepted');
      for (const name of ['metadata', 'reason', 'note', 'items']) {
        const asked = (JSON.parse(sent) as Json)[name];
        if (asked !== undefined) expect(answer.body[name]).toEqual(asked);
      }
    }
  });
});

describe('closing', () => {
  it('an order of a disabled merchant sends nothing', async () => {
    const one = await stack.merchant();
    const { body } = await create(wishFor({ appid: one.appid }));
    await stack.ok('PATCH', `/v1/merchants/${one.mchId}`, { enabled: false });
    expect(await call(body, 'close')).toMatchObject({ status: 409, body: { code: 'merchant_disabled' } });
    expect(await now(body)).toMatchObject({ status: 'created' });
    const { requests } = (await stack.control('GET', '/ledger')) as { requests: Json[] };
    expect(requests.filter(({ call: name, mch_id: mchId }) => name === 'closeorder' && mchId === one.mchId)).toEqual(
      [],
    );
    await stack.ok('PATCH', `/v1/merchants/${one.mchId}`, { enabled: true });
    expect(await call(body, 'close')).toMatchObject({ status: 200, body: { status: 'closed' } });
  });

  it('an order that is booked as paid asks nobody', async () => {
    const order = await stack.paidOrder(merchant, 100);
    expect(await call({ id: order.id }, 'close')).toMatchObject({ status: 409, body: { code: 'order_already_paid' } });
    const { requests } = (await stack.control('GET', '/ledger')) as { requests: Json[] };
    expect(
      requests.filter(({ out_trade_no: number, call: name }) => number === order.outTradeNo && name === 'closeorder'),
    ).toEqual([]);
  });

  it.each([
    ['no answer', { fault: 'timeout_after' }],
    ['SYSTEMERROR', { fault: 'error', code: 'SYSTEMERROR' }],
    ['a wrong signature', { fault: 'bad_sign' }],
    ['a page', { fault: 'html' }],
  ])('with %s from WeChat is 503 and leaves the order as it was', async (_, fault) => {
    const { body } = await create(wishFor());
    await stack.fault({ call: 'closeorder', mch_id: merchant.mchId, ...fault });
    const before = await now(body);
    expect(await call(body, 'close')).toMatchObject({
      status: 503,
      body: { code: 'wechat_unavailable', retryable: true },
    });
    expect(await now(body)).toEqual(before);
  });

  it('an order that WeChat does not know closes it', async () => {
    const { body } = await create(wishFor());
    await stack.fault({ call: 'closeorder', fault: 'error', code: 'ORDERNOTEXIST', mch_id: merchant.mchId });
    expect(await call(body, 'close')).toMatchObject({ status: 200, body: { status: 'closed' } });
  });

  it('an order that WeChat says is paid, without proof of it, is 503', async () => {
    const { body } = await create(wishFor());
    await stack.fault({ call: 'closeorder', fault: 'error', code: 'ORDERPAID', mch_id: merchant.mchId });
    expect(await call(body, 'close')).toMatchObject({ status: 503, body: { code: 'wechat_unavailable' } });
    expect(await now(body)).toMatchObject({ status: 'created', amount_paid: 0 });
  });
});

describe('a sync', () => {
  it('of a paid order that WeChat does not know is a contradiction, and changes nothing', async () => {
    const number = `T${unique()}`;
    const { body } = await register({
      appid: merchant.appid,
      out_trade_no: number,
      amount: 5,
      verify: false,
      paid_at: '2026-01-31T08:00:00Z',
    });
    expect(await call(body, 'sync')).toMatchObject({ status: 409, body: { code: 'order_mismatch' } });
    expect(await now(body)).toEqual(body);
    expect(stack.instances[0]?.log).toContain('paid_order_not_found');
  });

  it('of an unverified order with a refund proves it and keeps its amount and time', async () => {
    const { out_trade_no: number, transaction_id: transaction } = await paidElsewhere(800);
    const vouched = { verify: false, paid_at: '2026-01-31T08:00:00+08:00' };
    const { body } = await register({ appid: merchant.appid, out_trade_no: number, amount: 800, ...vouched });
    expect(body).toMatchObject({ verified: false, transaction_id: null });
    await stack.ok('POST', '/v1/refunds', { order: body['id'], amount: 100, out_refund_no: `R${unique()}` });
    expect(await call(body, 'sync')).toMatchObject({
      status: 200,
      body: {
        verified: true,
        transaction_id: transaction,
        amount: 800,
        amount_paid: 800,
        amount_reserved: 100,
        paid_at: '2026-01-31T00:00:00.000Z',
      },
    });
  });

  it('of an unverified order whose payment stands for another order proves nothing', async () => {
    const { out_trade_no: number, transaction_id: transaction } = await paidElsewhere(800);
    const vouched = { appid: merchant.appid, amount: 800, verify: false, paid_at: '2026-01-31T08:00:00+08:00' };
    await stack.ok('POST', '/v1/orders/register', {
      ...vouched,
      out_trade_no: `T${unique()}`,
      transaction_id: transaction,
    });
    const { body } = await register({ ...vouched, out_trade_no: number });
    expect(await call(body, 'sync')).toMatchObject({ status: 409, body: { code: 'order_mismatch' } });
    expect(await now(body)).toMatchObject({ verified: false, transaction_id: null });
  });
});

describe('a merchant without credentials', () => {
  const missing = { status: 422, body: { code: 'credentials_missing' } };

  const bare = async (version: 'v2' | 'v3'): Promise<Merchant> => {
    const mchId = `15${String(Date.now()).slice(-6)}${version === 'v2' ? '02' : '03'}`;
    const appid = `wx${unique()}`;
    await stack.ok('POST', '/v1/merchants', { mch_id: mchId, name: 'x', api_version: version });
    await stack.ok('POST', '/v1/mini_programs', { appid, name: 'x', mch_ids: [mchId] });
    return { mchId, appid };
  };

  it.each(['v2', 'v3'] as const)(
    'takes no order and no proof, says so, and nothing is stored (%s)',
    async (version) => {
      const { appid, mchId } = await bare(version);
      const [created, registered] = [`T${unique()}`, `T${unique()}`];
      expect(await create(wishFor({ appid, out_trade_no: created }))).toMatchObject(missing);
      expect(await register({ appid, out_trade_no: registered, amount: 1 })).toMatchObject(missing);
      expect([await rowsOf(created), await rowsOf(registered)]).toEqual([0, 0]);
      const { rows } = await stack.database.query('SELECT 1 FROM gateway_call WHERE mch_id = $1', [mchId]);
      expect(rows).toEqual([]);
    },
  );

  it.each(['v2', 'v3'] as const)(
    'has orders an admin vouches for, whose sync says what is missing (%s)',
    async (version) => {
      const { appid } = await bare(version);
      const vouched = { appid, amount: 100, verify: false, paid_at: '2026-01-31T08:00:00Z' };
      const { body } = await register({ ...vouched, out_trade_no: `T${unique()}` });
      expect(await call(body, 'sync')).toMatchObject(missing);
      expect(await now(body)).toEqual(body);
    },
  );

  it('that it once had says so at the sync of a refund that was sent', async () => {
    const once = await stack.merchant();
    const order = await stack.paidOrder(once, 100);
    const { id } = await stack.refund(order, { amount: 10 });
    const before = await stack.until(id, 'accepted');
    await stack.database.query('DELETE FROM credential WHERE mch_id = $1', [once.mchId]);
    const known = await stack.eventually(
      () => call(order as unknown as Json, 'sync'),
      ({ status }) => status === 422,
      6,
    );
    expect(known).toMatchObject(missing);
    expect(await stack.api('POST', `/v1/refunds/${id}/sync`)).toMatchObject(missing);
    expect(await stack.read(id)).toMatchObject({ state: before.state, amount: 10, in_doubt: false });
    expect(await stack.order(order)).toMatchObject({ amount_reserved: 10 });
  });
});
