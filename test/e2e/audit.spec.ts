import { closeWhole } from './support/close-whole.js';
import { type Json, type Refund, Stack, unique } from './support/stack.js';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
});
afterAll(() => closeWhole(stack));

const logs = async (filter: string): Promise<Json[]> =>
  (await stack.ok('GET', `/v1/audit_logs?limit=100&${filter}`))['data'] as Json[];
const allLogs = async (): Promise<Json[]> =>
  (await stack.database.query<Json>('SELECT * FROM audit_log ORDER BY id')).rows;

/** Every route that changes something, in an order in which each can; what its one row says. */
const covered: string[] = [];

/** Calls a route that changes `object` and gives the one row of it. */
async function change(
  route: string,
  object: (answer: Json) => unknown,
  [of = '', body]: readonly [string?, Json?] = [],
): Promise<{ readonly answer: Json; readonly row: Json }> {
  covered.push(route);
  const [method = '', path = ''] = route.split(' ');
  const before = await allLogs();
  const answer = await stack.api(method, path.replace(/\{[a-z_]+\}/, of), body);
  expect([route, answer.status < 300 ? 'taken' : answer.body]).toEqual([route, 'taken']);
  const all = await allLogs();
  expect([route, all.length - before.length]).toEqual([route, 1]);
  const rows = await logs(`object=${String(object(answer.body))}`);
  const row = rows.find(({ request_id: id }) => id === answer.headers.get('x-request-id'));
  expect(row).toMatchObject({ id: expect.stringMatching(/^aud_[0-9a-f]{32}$/), actor: 'admin', address: '127.0.0.1' });
  return { answer: answer.body, row: row ?? {} };
}

const wrong = async (state: string, code: string): Promise<Refund> => {
  const merchant = await stack.merchant();
  const order = await stack.paidOrder(merchant, 1000);
  await stack.fault({ mch_id: merchant.mchId, fault: 'error', code });
  const refund = await stack.refund(order, { amount: 300 });
  return stack.until(refund.id, state);
};

describe('the audit log has one row with who, what, before, after and from where', () => {
  it('of every change of merchants, mini-programs and keys', async () => {
    const issued = await stack.control('POST', '/merchants', { mch_id: '1900008888', appids: ['wxaudit'] });
    const wish = { mch_id: '1900008888', name: '甲', api_version: 'v2' };
    const mchId = (): string => '1900008888';
    const made = await change('POST /v1/merchants', mchId, ['', wish]);
    expect(made.row).toMatchObject({ action: 'merchant.create', before: null, after: { name: '甲', enabled: true } });
    const renamed = await change('PATCH /v1/merchants/{mch_id}', mchId, [mchId(), { name: '乙' }]);
    expect(renamed.row).toMatchObject({ action: 'merchant.update', before: { name: '甲' }, after: { name: '乙' } });
    const keys = {
      api_v2_key: issued['api_v2_key'],
      client_certificate_pem: issued['certificate_pem'],
      client_key_pem: issued['private_key_pem'],
    };
    const sealed = await change('PUT /v1/merchants/{mch_id}/credentials', mchId, [mchId(), keys]);
    expect(sealed.row).toMatchObject({ action: 'merchant.credentials', before: { credentials: [] } });
    expect((sealed.row['after'] as Json)['credentials']).toEqual(sealed.answer);
    expect(JSON.stringify(sealed.row)).not.toContain(String(issued['api_v2_key']));
    const checked = await change('POST /v1/merchants/{mch_id}/check', mchId, [mchId()]);
    expect(checked.row).toMatchObject({ action: 'merchant.check', before: {}, after: {} });

    const app = { appid: 'wxaudit', name: '店', mch_ids: [mchId()] };
    const bound = await change('POST /v1/mini_programs', () => 'wxaudit', ['', app]);
    expect(bound.row).toMatchObject({ action: 'mini_program.create', before: null, after: app });
    const renamedApp = await change('PATCH /v1/mini_programs/{appid}', () => 'wxaudit', ['wxaudit', { name: '铺' }]);
    expect(renamedApp.row).toMatchObject({ before: { name: '店' }, after: { name: '铺' } });

    const key = await change('POST /v1/api_keys', ({ id }) => id, ['', { name: 'console', role: 'viewer' }]);
    expect(key.row).toMatchObject({ action: 'api_key.create', before: null, after: { role: 'viewer' } });
    expect(JSON.stringify(key.row)).not.toContain(String(key.answer['key']));
    const id = String(key.answer['id']);
    const dead = await change('DELETE /v1/api_keys/{id}', () => id, [id]);
    expect(dead.row).toMatchObject({ action: 'api_key.delete', before: { name: 'console' }, after: null });
  });

  it('of every change of orders', async () => {
    const { mchId, appid } = await stack.merchant();
    const wish = { appid, out_trade_no: `T${unique()}`, amount: 100, description: '货', openid: 'oPayer' };
    const made = await change('POST /v1/orders', ({ id }) => id, ['', wish]);
    expect(made.row).toMatchObject({ action: 'order.create', before: null, after: { amount: 100, status: 'created' } });
    const id = String(made.answer['id']);
    expect(await stack.api('POST', '/v1/orders', wish)).toMatchObject({ status: 200 });
    const asked = await change('POST /v1/orders/{id}/sync', () => id, [id]);
    expect(asked.row).toMatchObject({ action: 'order.sync', before: { status: 'created' }, after: null });
    const closed = await change('POST /v1/orders/{id}/close', () => id, [id]);
    expect(closed.row).toMatchObject({ action: 'order.close', before: { status: 'created' }, after: null });
    expect((await logs(`object=${id}`)).map(({ action }) => action)).toEqual([
      'order.close',
      'order.sync',
      'order.create',
    ]);
    const outTradeNo = `T${unique()}`;
    await stack.control('POST', '/orders', { mch_id: mchId, appid, out_trade_no: outTradeNo, total_fee: 5 });
    const elsewhere = { appid, out_trade_no: outTradeNo, amount: 5 };
    const taken = await change('POST /v1/orders/register', (order) => order['id'], ['', elsewhere]);
    expect(taken.row).toMatchObject({ action: 'order.register', after: { amount_paid: 5, verified: true } });
  });

  it('of every change of refunds', async () => {
    const order = await stack.paidOrder(await stack.merchant(), 1000);
    const wish = { order: order.id, out_refund_no: `R${unique()}`, amount: 300, reason: '退货' };
    const made = await change('POST /v1/refunds', ({ id }) => id, ['', wish]);
    expect(made.row).toMatchObject({ action: 'refund.create', before: null, after: wish });
    const id = String(made.answer['id']);
    expect(await stack.api('POST', '/v1/refunds', wish)).toMatchObject({ status: 200 });
    await stack.until(id, 'accepted');
    const asked = await change('POST /v1/refunds/{id}/sync', () => id, [id]);
    expect(asked.row).toMatchObject({ action: 'refund.sync', before: { state: 'accepted' }, after: null });

    const waiting = await wrong('insufficient_balance', 'NOTENOUGH');
    const why = { reason: 'asked twice' };
    const canceled = await change('POST /v1/refunds/{id}/cancel', () => waiting.id, [waiting.id, why]);
    expect(canceled.row).toMatchObject({
      action: 'refund.cancel',
      before: { state: 'insufficient_balance' },
      after: { state: 'canceled', ...why },
    });
    const refused = await wrong('rejected', 'USER_ACCOUNT_ABNORMAL');
    const again = await change('POST /v1/refunds/{id}/retry', () => refused.id, [refused.id]);
    expect(again.row).toMatchObject({
      action: 'refund.retry',
      before: { state: 'rejected' },
      after: { state: 'queued' },
    });
    const lied = await wrong('mismatch', 'REFUND_FEE_MISMATCH');
    const decision = { outcome: 'rejected', reason: 'another system used the number' };
    const resolved = await change('POST /v1/refunds/{id}/resolve', () => lied.id, [lied.id, decision]);
    expect(resolved.row).toMatchObject({
      action: 'refund.resolve',
      before: { state: 'mismatch' },
      after: { state: 'rejected', reason: decision.reason },
    });
  });

  it('of a closed refund that is replaced: that of the new one', async () => {
    const order = await stack.paidOrder(await stack.merchant(), 1000);
    const refund = await stack.refund(order, { amount: 300 });
    await stack.until(refund.id, 'accepted');
    await stack.settle(refund, 'REFUNDCLOSE');
    await stack.until(refund.id, 'closed');
    const replaced = await change('POST /v1/refunds/{id}/retry', ({ id }) => id, [refund.id]);
    expect(replaced.row).toMatchObject({
      action: 'refund.retry',
      before: null,
      after: { replaces: refund.id, amount: 300 },
    });
  });

  it('of an abnormal refund that is repaired, without the card', async () => {
    const order = await stack.paidOrder(await stack.merchant({ service: { api_version: 'v3' } }), 1000);
    const { id, ...refund } = await stack.refund(order, { amount: 300 });
    await stack.until(id, 'accepted');
    await stack.settle({ id, ...refund }, 'ABNORMAL');
    await stack.until(id, 'abnormal');
    const card = {
      type: 'USER_BANK_CARD',
      bank_type: 'ICBC_DEBIT',
      bank_account: '6222020200112233445',
      real_name: '张三丰',
    };
    const repaired = await change('POST /v1/refunds/{id}/repair', () => id, [id, card]);
    expect(repaired.row).toMatchObject({
      action: 'refund.repair',
      before: { state: 'abnormal', type: card.type },
      after: null,
    });
    expect(JSON.stringify(repaired.row)).not.toMatch(/6222020200112233445|张三丰/);
  });

  it('of every change of notices and outgoing events', async () => {
    const order = await stack.paidOrder(await stack.merchant(), 1000);
    const refund = await stack.refund(order, { amount: 300 });
    await stack.until(refund.id, 'accepted');
    await stack.settle(refund, 'SUCCESS');
    await stack.until(refund.id, 'succeeded');
    const [notice] = (await stack.ok('GET', `/v1/notifications?refund=${refund.id}`))['data'] as Json[];
    const noticeId = String(notice?.['id']);
    const worked = await change('POST /v1/notifications/{id}/reprocess', () => noticeId, [noticeId]);
    expect(worked.row).toMatchObject({ action: 'notification.reprocess', before: { result: 'applied' } });

    const hook = { url: 'http://127.0.0.1:9/', events: ['*'] };
    const made = await change('POST /v1/webhook_endpoints', ({ id }) => id, ['', hook]);
    expect(made.row).toMatchObject({ action: 'webhook_endpoint.create', before: null, after: hook });
    expect(JSON.stringify(made.row)).not.toContain(String(made.answer['secret']));
    const id = String(made.answer['id']);
    const of = (): string => id;
    const changed = await change('PATCH /v1/webhook_endpoints/{id}', of, [id, { events: ['refund.failed'] }]);
    expect(changed.row).toMatchObject({ before: { events: ['*'] }, after: { events: ['refund.failed'] } });
    const rotated = await change('POST /v1/webhook_endpoints/{id}/rotate_secret', of, [id]);
    expect(rotated.row).toMatchObject({ action: 'webhook_endpoint.rotate_secret' });
    expect(JSON.stringify(rotated.row)).not.toContain(String(rotated.answer['secret']));
    const tested = await change('POST /v1/webhook_endpoints/{id}/test', of, [id]);
    expect(tested.row).toMatchObject({ action: 'webhook_endpoint.test', after: { delivery: tested.answer['id'] } });
    const delivery = String(tested.answer['id']);
    const resent = await change('POST /v1/webhook_deliveries/{id}/resend', () => delivery, [delivery]);
    expect(resent.row).toMatchObject({ action: 'webhook_delivery.resend' });
    const gone = await change('DELETE /v1/webhook_endpoints/{id}', of, [id]);
    expect(gone.row).toMatchObject({ action: 'webhook_endpoint.delete', before: { url: hook.url }, after: null });
  });

  it('and of no other route is there a change without a row', async () => {
    const { paths } = (await stack.ok('GET', '/openapi.json')) as { paths: Record<string, Json> };
    const changing = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods)
        .filter((method) => method !== 'get')
        .map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect([...new Set(covered)].sort()).toEqual(changing.sort());
  });
});

describe('what is refused', () => {
  it('leaves no row', async () => {
    const order = await stack.paidOrder(await stack.merchant(), 1000);
    const before = await allLogs();
    const refusals = [
      await stack.api('POST', '/v1/refunds', { order: order.id, amount: 1001, out_refund_no: `R${unique()}` }),
      await stack.api('POST', '/v1/refunds', { order: order.id, amount: 1 }),
      await stack.api('POST', `/v1/refunds/re_${'0'.repeat(32)}/cancel`, {}),
      await stack.api('PATCH', '/v1/merchants/1900000000', { name: 'x' }),
      await stack.api('POST', '/v1/mini_programs', { appid: 'wxnobody', name: 'x', mch_ids: ['1900000000'] }),
      await stack.api('DELETE', `/v1/api_keys/key_${'0'.repeat(32)}`),
      await stack.api('POST', `/v1/orders/${order.id}/close`),
    ];
    expect(refusals.map(({ status }) => status)).toEqual([422, 400, 404, 404, 404, 404, 409]);
    expect(await allLogs()).toEqual(before);
  });
});

describe('the list', () => {
  it('is filtered by actor, action and time, and paged without gap or repeat', async () => {
    const { key, id } = await stack.ok('POST', '/v1/api_keys', { name: 'clerk', role: 'operator' });
    const order = await stack.paidOrder(await stack.merchant(), 1000);
    const wish = (): Json => ({ order: order.id, amount: 1, out_refund_no: `R${unique()}` });
    const bearer = { authorization: `Bearer ${String(key)}` };
    for (let made = 0; made < 5; made += 1) await stack.ok('POST', '/v1/refunds', wish(), bearer);
    const rows = await logs(`actor=${String(id)}&action=refund.create`);
    expect(rows).toHaveLength(5);
    const seen: Json[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page = await stack.ok('GET', `/v1/audit_logs?limit=2&actor=${String(id)}${cursor}`);
      seen.push(...(page['data'] as Json[]));
      const next = page['next_cursor'] as string | null;
      cursor = next && `&cursor=${next}`;
    }
    expect(seen).toEqual(rows);
    const [newest] = rows;
    expect(await logs(`actor=${String(id)}&created_lt=${String(newest?.['at'])}`)).toEqual(rows.slice(1));
    expect(await logs(`actor=${String(id)}&action=refund.cancel`)).toEqual([]);
  });

  it.each(['UPDATE audit_log SET actor = actor', 'DELETE FROM audit_log', 'TRUNCATE audit_log'])(
    'is append-only: %s',
    async (sql) => {
      await expect(stack.database.query(sql)).rejects.toThrow('audit_log is append-only');
    },
  );
});
