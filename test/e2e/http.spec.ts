import { type Json, type Merchant, type Order, type Refund, Stack, unique } from './support/stack.js';

let stack: Stack;
let merchant: Merchant;
let order: Order;
const refunds: Refund[] = [];
beforeAll(async () => {
  stack = await Stack.start({ LOG_LEVEL: 'trace' });
  merchant = await stack.merchant({ simulator: { settle_after_ms: 0 }, service: { refund_notify: 'apply' } });
  order = await stack.paidOrder(merchant, 1000);
  for (const amount of [10, 20, 30, 40, 50])
    refunds.push(await stack.refund(order, { amount, reason: `part ${amount}` }));
  for (const { id } of refunds) await stack.until(id, 'succeeded');
});
afterAll(() => stack.close());

describe('every error', () => {
  it.each<[string, number, string, () => Promise<{ status: number; body: Json; headers: Headers }>]>([
    ['an unknown path', 404, 'not_found', () => stack.api('GET', '/v1/nothing')],
    ['an unknown method', 404, 'not_found', () => stack.api('DELETE', '/v1/refunds')],
    ['an id that is none', 404, 'refund_not_found', () => stack.api('GET', '/v1/refunds/1')],
    ['an id of another kind', 404, 'refund_not_found', () => stack.api('GET', `/v1/refunds/${order.id}`)],
    ['half a body', 400, 'validation_failed', () => stack.api('POST', '/v1/refunds', '{"order":')],
    ['a list as a body', 400, 'validation_failed', () => stack.api('POST', '/v1/refunds', '[]')],
    ['a doubled key', 400, 'validation_failed', () => stack.api('POST', '/v1/refunds', '{"amount":1,"amount":2}')],
    [
      'a form',
      415,
      'unsupported_media_type',
      () => stack.api('POST', '/v1/refunds', 'a=1', { 'content-type': 'application/x-www-form-urlencoded' }),
    ],
    [
      'another encoding',
      415,
      'unsupported_media_type',
      () => stack.api('POST', '/v1/refunds', '{}', { 'content-encoding': 'gzip' }),
    ],
    [
      'a body of 65 KiB',
      413,
      'payload_too_large',
      () => stack.api('POST', '/v1/refunds', JSON.stringify({ note: 'x'.repeat(65 * 1024) })),
    ],
  ])('%s is a problem with a stable code', async (_, status, code, ask) => {
    const answer = await ask();
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(answer).toMatchObject({
      status,
      body: { type: 'about:blank', title: expect.any(String), status, code, detail: expect.any(String) },
    });
    expect(answer.body['request_id']).toBe(answer.headers.get('x-request-id'));
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  it('in a query names the parameter', async () => {
    for (const query of [
      'limit=0',
      'limit=101',
      'limit=1e1',
      'cursor=%00',
      'created_gte=monday',
      'amount_gte=-1',
      'x=1',
    ]) {
      const answer = await stack.api('GET', `/v1/refunds?${query}`);
      expect([query, answer.status, answer.body['code']]).toEqual([query, 400, 'validation_failed']);
      expect((answer.body['errors'] as Json[])[0]?.['field']).toBe(query.split('=')[0]);
    }
    expect((await stack.api('GET', '/v1/refunds?state=done')).status).toBe(400);
    expect((await stack.api('GET', '/v1/refunds?mch_id=1900000001&mch_id=1900000002')).status).toBe(400);
    expect((await stack.api('GET', '/v1/refunds?cursor=bm90aGluZw')).status).toBe(400);
  });
});

describe('lists', () => {
  interface Page {
    data: Json[];
    next_cursor: string | null;
  }
  const list = async (query: string): Promise<Page> =>
    (await stack.ok('GET', `/v1/refunds?${query}`)) as unknown as Page;

  it('are newest first and paged without gap or repeat', async () => {
    const seen: unknown[] = [];
    let cursor: string | null = null;
    do {
      const page: Page = await list(`order=${order.id}&limit=2${cursor === null ? '' : `&cursor=${cursor}`}`);
      expect(page.data.length).toBeLessThanOrEqual(2);
      seen.push(...page.data.map((row) => row['id']));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(refunds.map(({ id }) => id).reverse());
  });

  it('are filtered by what the contract names', async () => {
    const amounts = async (query: string): Promise<unknown[]> =>
      (await list(`order=${order.id}&${query}`)).data.map((row) => row['amount']);
    expect(await amounts('amount_gte=20&amount_lte=40')).toEqual([40, 30, 20]);
    expect(await amounts('status=succeeded,failed&limit=1')).toEqual([50]);
    expect(await amounts('state=rejected,closed')).toEqual([]);
    expect(await amounts(`mch_id=${merchant.mchId}&appid=${merchant.appid}&limit=100`)).toHaveLength(5);
    expect(await amounts(`out_refund_no=${refunds[2]?.out_refund_no}`)).toEqual([30]);
    expect(await amounts(`out_trade_no=${order.outTradeNo}&created_lt=2020-01-01T00:00:00Z`)).toEqual([]);
    expect(await amounts('created_gte=2020-01-01T00:00:00%2B08:00')).toHaveLength(5);
    const orders = (await stack.ok(
      'GET',
      `/v1/orders?status=paid&out_trade_no=${order.outTradeNo}`,
    )) as unknown as Page;
    expect(orders.data.map((row) => row['id'])).toEqual([order.id]);
  });
});

describe('Prefer: wait', () => {
  it('holds the answer until the refund has left queued and submitting', async () => {
    const body = { order: order.id, amount: 1, out_refund_no: `R${unique()}` };
    const answer = await stack.api('POST', '/v1/refunds', body, { prefer: 'wait=10' });
    expect(answer).toMatchObject({ status: 201, headers: expect.anything() });
    expect(['accepted', 'succeeded']).toContain(answer.body['state']);
    expect(answer.headers.get('preference-applied')).toBe('wait=10');
  });

  it('gives up at its time and answers with the refund as it is', async () => {
    const unsettled = await stack.paidOrder(await stack.merchant(), 1);
    const number = `R${unique()}`;
    await stack.fault({ fault: 'slow', delay_ms: 2500, out_refund_no: number });
    const began = performance.now();
    const answer = await stack.api(
      'POST',
      '/v1/refunds',
      { order: unsettled.id, amount: 1, out_refund_no: number },
      { prefer: 'respond-async, wait=1' },
    );
    expect(answer).toMatchObject({ status: 201, body: { state: 'submitting', status: 'processing' } });
    expect(performance.now() - began).toBeLessThan(2400);
    await stack.until(answer.body['id'] as string, 'accepted');
  });
});

describe('the inbox', () => {
  it('shows each notice with what became of it, and works on one again', async () => {
    const { data } = (await stack.ok('GET', `/v1/notifications?mch_id=${merchant.mchId}&kind=refund`)) as {
      data: Json[];
    };
    expect(data.length).toBeGreaterThanOrEqual(5);
    const [notice] = data;
    expect(notice).toMatchObject({
      object: 'notification',
      mch_id: merchant.mchId,
      kind: 'refund',
      version: 'v2',
      deliveries: 1,
      result: expect.stringMatching(/applied|repeat/),
      refund: expect.stringMatching(/^re_/),
    });
    expect(notice?.['content']).toMatchObject({ refund_status: 'SUCCESS' });
    const id = String(notice?.['id']);
    expect(await stack.ok('GET', `/v1/notifications/${id}`)).toEqual(notice);
    expect(await stack.ok('POST', `/v1/notifications/${id}/reprocess`)).toMatchObject({ id, result: 'repeat' });
    expect(await stack.api('GET', '/v1/notifications/ntf_1')).toMatchObject({
      status: 404,
      body: { code: 'notification_not_found' },
    });
    expect((await stack.order(order))['amount_reserved']).toBe(0);
  });
});

describe('the service describes itself', () => {
  it('at /openapi.json and /docs without a key', async () => {
    const document = await fetch(`${stack.url}/openapi.json`);
    expect(document.status).toBe(200);
    expect(await document.json()).toMatchObject({ openapi: expect.stringMatching(/^3\./) });
    const page = await fetch(`${stack.url}/docs`);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/html')]);
    await page.text();
  });

  it('at /health/live and /health/ready, which names a host that is not WeChat', async () => {
    expect(await stack.ok('GET', '/health/live')).toEqual({ status: 'ok' });
    expect(await stack.ok('GET', '/health/ready')).toMatchObject({
      status: 'ok',
      role: 'all',
      wechatpay_host: expect.stringMatching(/^localhost:/),
    });
  });
});

describe('the log', () => {
  it('has a line per request with its id, and no secret, body or query even at trace', async () => {
    const key = 'CANARY0123456789CANARY0123456789';
    await stack.control('POST', `/merchants/${merchant.mchId}/key`, { api_v2_key: key });
    await stack.ok('PUT', `/v1/merchants/${merchant.mchId}/credentials`, { api_v2_key: key });
    const { key: made } = await stack.ok('POST', '/v1/api_keys', { name: 'canary', role: 'viewer' });
    const note = `note-${unique()}`;
    const refund = await stack.refund(order, { amount: 1, note });
    await stack.until(refund.id, 'succeeded');
    const listed = await stack.api('GET', `/v1/refunds?out_refund_no=${refund.out_refund_no}`, undefined, {
      authorization: `Bearer ${String(made)}`,
    });
    await stack.api('POST', '/v1/refunds', `{"note":"${note}"`);
    const { log } = stack.instances[0] as { log: string };
    const lines = log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Json);
    const line = lines.find((entry) => entry['requestId'] === listed.headers.get('x-request-id'));
    expect(line).toMatchObject({ message: 'request', method: 'GET', route: '/v1/refunds', status: 200 });
    expect(line?.['actor']).toMatch(/^key_/);
    for (const secret of [
      key,
      stack.adminKey,
      String(made),
      // tk_<id>_<secret>_<checksum>; the secret itself may hold a _.
      String(made).slice('tk_'.length + 33, -7),
      note,
      'BEGIN PRIVATE KEY',
    ]) {
      expect(secret.length).toBeGreaterThan(9);
      expect(log).not.toContain(secret);
    }
    expect(log).not.toContain('out_refund_no=');
  });
});
