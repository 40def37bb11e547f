import { type Merchant, type Order, Stack, unique } from './support/stack.js';

let stack: Stack;
let merchant: Merchant;
let order: Order;
beforeAll(async () => {
  stack = await Stack.start({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
  merchant = await stack.merchant({ simulator: { settle_after_ms: 100 } });
  order = await stack.paidOrder(merchant, 1000);
});
afterAll(() => stack.close());

/** The samples of a scrape: `name{labels}` with sorted labels, and the value. Figures of the database are up to 5 s old. */
async function scrape(): Promise<{ text: string; value(sample: string): number | undefined }> {
  const answer = await fetch(`${stack.url}/metrics`, { headers: { authorization: `Bearer ${stack.adminKey}` } });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ]);
  const text = await answer.text();
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = /^([a-z_A-Z0-9]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name !== '') samples.set(`${name}{${labels.split(',').sort().join(',')}}`, Number(value));
  }
  return { text, value: (sample) => samples.get(sample) };
}

const seen = (sample: string, wanted: (value: number) => boolean): Promise<number | undefined> =>
  stack.eventually(
    async () => (await scrape()).value(sample),
    (value) => value !== undefined && wanted(value),
  );

describe('/metrics', () => {
  it('tells of sends, slots, answers, notices and moves as they happen', async () => {
    const refund = await stack.refund(order, { amount: 1 });
    await stack.until(refund.id, 'succeeded');
    const { mchId } = merchant;
    const calls = (call: string, outcome: string): string =>
      `tuikuan_wechat_answers_total{call="${call}",code="none",mch_id="${mchId}",outcome="${outcome}"}`;
    expect(await seen(calls('refund', 'shown'), (n) => n === 1)).toBe(1);
    expect(await seen(calls('refund_query', 'shown'), (n) => n >= 1)).toBeGreaterThanOrEqual(1);
    const { value } = await scrape();
    expect(value(`tuikuan_refund_slots_total{mch_id="${mchId}",use="written"}`)).toBe(1);
    expect(value(`tuikuan_wechat_call_duration_seconds_count{call="refund",mch_id="${mchId}"}`)).toBe(1);
    expect(value('tuikuan_notices_total{kind="refund",result="waiting_for_query",version="v2"}')).toBe(1);
    expect(value('tuikuan_refund_moves_total{from="accepted",to="succeeded"}')).toBe(1);
    expect(value('tuikuan_database_connections{pool="worker",state="waiting"}')).toBe(0);
    expect(value('nodejs_eventloop_lag_seconds{}')).toBeGreaterThanOrEqual(0);
  });

  it('tells of what waits: refunds by state, deliveries, a paused merchant, days of certificates', async () => {
    const other = await stack.merchant({ simulator: { valid_days: 20, settle_after_ms: 100 } });
    const refund = await stack.refund(await stack.paidOrder(other, 10), { amount: 1 });
    await stack.until(refund.id, 'succeeded');
    const number = `R${unique()}`;
    await stack.fault({ fault: 'error', code: 'NOTENOUGH', out_refund_no: number });
    const poor = await stack.refund(order, { amount: 1, out_refund_no: number });
    await stack.until(poor.id, 'insufficient_balance');
    const hook = { url: 'http://127.0.0.1:9/', events: ['*'] };
    const endpoint = String((await stack.ok('POST', '/v1/webhook_endpoints', hook))['id']);
    await stack.ok('POST', `/v1/webhook_endpoints/${endpoint}/test`);
    await stack.database.query(
      `UPDATE merchant_rate SET paused_at = tuikuan_now(), pause_reason = 'configuration',
         next_probe_at = tuikuan_now() + interval '1 hour' WHERE mch_id = $1`,
      [other.mchId],
    );
    const paused = `tuikuan_merchant_paused{mch_id="${other.mchId}",reason="configuration"}`;
    expect(await seen(paused, (n) => n === 1)).toBe(1);
    const { value } = await scrape();
    expect(value('tuikuan_refunds{state="insufficient_balance"}')).toBe(1);
    expect(value('tuikuan_refund_oldest_seconds{state="insufficient_balance"}')).toBeGreaterThan(0);
    expect(value('tuikuan_webhook_deliveries_pending{}')).toBeGreaterThanOrEqual(1);
    const days = value(`tuikuan_certificate_days_left{kind="client_certificate",mch_id="${other.mchId}"}`);
    expect(days).toBeGreaterThan(19.9);
    expect(days).toBeLessThanOrEqual(20);
  });

  it('tells of forged notices by reason, and of incidents by code', async () => {
    await fetch(`${stack.url}/notify/wechat/${'0'.repeat(32)}/refund`, { method: 'POST', body: '<xml></xml>' });
    expect(await seen('tuikuan_notice_refusals_total{reason="wrong_merchant"}', (n) => n >= 1)).toBe(1);
    const wished = await stack.merchant({ simulator: { no_auth: true } });
    const orders = await Promise.all([1, 2, 3].map(() => stack.paidOrder(wished, 10)));
    for (const one of orders) await stack.refund(one, { amount: 1 });
    expect(await seen('tuikuan_incidents_total{code="merchant_paused"}', (n) => n >= 1)).toBe(1);
  });

  it('names no payer, no number of an order or refund, no key, and no code that WeChat does not document', async () => {
    const number = `R${unique()}`;
    await stack.fault({ fault: 'error', code: 'MADE_UP_CODE', out_refund_no: number });
    const refund = await stack.refund(order, { amount: 1, out_refund_no: number });
    const other = `tuikuan_wechat_answers_total{call="refund",code="other",mch_id="${merchant.mchId}",outcome="unknown"}`;
    expect(await seen(other, (n) => n === 1)).toBe(1);
    const { text } = await scrape();
    const { body: shown } = await stack.api('GET', `/v1/refunds/${refund.id}`);
    const ids = ['id', 'order', 'out_refund_no', 'out_trade_no', 'transaction_id', 'appid'].map((name) => shown[name]);
    for (const secret of [...ids, stack.adminKey, 'MADE_UP_CODE', 'openid']) {
      expect(typeof secret).toBe('string');
      expect(text).not.toContain(secret);
    }
    const labels = new Set([...text.matchAll(/[{,]([a-z_]+)="/g)].map(([, label]) => label));
    expect([...labels].filter((label) => /id$|no$|key|secret/.test(label ?? '') && label !== 'mch_id')).toEqual([]);
  });

  it('goes on without the figures of the database while that is away', async () => {
    await stack.database.query(`ALTER TABLE webhook_endpoint RENAME TO webhook_endpoint_away`);
    try {
      expect(await seen('tuikuan_database_up{}', (n) => n === 0)).toBe(0);
    } finally {
      await stack.database.query(`ALTER TABLE webhook_endpoint_away RENAME TO webhook_endpoint`);
    }
    expect(await seen('tuikuan_database_up{}', (n) => n === 1)).toBe(1);
  });
});
