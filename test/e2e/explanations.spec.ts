import { deliveriesTo, endpointFor, Receiver } from './support/receiver.js';
import { type Json, type Merchant, type Order, type Refund, Stack } from './support/stack.js';

let stack: Stack;
let merchant: Merchant;
let order: Order;
let receiver: Receiver;
let endpoint: { id: string };
let refused: Refund;
let done: Refund;
beforeAll(async () => {
  stack = await Stack.start({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
  merchant = await stack.merchant({ simulator: { settle_after_ms: 0 }, service: { refund_notify: 'apply' } });
  order = await stack.paidOrder(merchant, 1000);
  receiver = await Receiver.start();
  endpoint = await endpointFor(stack, receiver.url, { appids: [merchant.appid] });
  await stack.fault({ mch_id: merchant.mchId, fault: 'error', code: 'USER_ACCOUNT_ABNORMAL', times: 1 });
  refused = await stack.until((await stack.refund(order, { amount: 10 })).id, 'rejected');
  done = await stack.until((await stack.refund(order, { amount: 20 })).id, 'succeeded');
});
afterAll(async () => {
  await stack.close();
  receiver.close();
});

const inLanguage = (path: string, language: string) =>
  stack.api('GET', path, undefined, { 'accept-language': language });
const failureIn = async (language: string): Promise<Json> =>
  (await inLanguage(`/v1/refunds/${refused.id}`, language)).body['failure'] as Json;

describe('a refund that failed', () => {
  it('says what happened, why, what to do and who does it, in English', async () => {
    expect(await failureIn('en')).toEqual({
      code: 'refused_by_wechat',
      wechat_code: 'USER_ACCOUNT_ABNORMAL',
      message: expect.any(String),
      retryable: true,
      what: 'WeChat cannot pay this payer.',
      why: "The payer's account is closed or restricted.",
      next_step: 'Give the money back in another way.',
      who: 'operator',
    });
  });

  it('says it in Chinese where Accept-Language asks for that, in reads, lists and answers to actions', async () => {
    const wanted = { what: '微信支付无法退款给该用户。', next_step: '请改用其他方式退还。', who: '运营' };
    expect(await failureIn('zh-CN,zh;q=0.9,en;q=0.8')).toMatchObject(wanted);
    const list = await inLanguage('/v1/refunds?state=rejected', 'zh');
    expect(list.body['data']).toEqual([expect.objectContaining({ failure: expect.objectContaining(wanted) })]);
    const synced = await stack.api('POST', `/v1/refunds/${refused.id}/sync`, undefined, { 'accept-language': 'zh' });
    expect(synced.body['failure']).toMatchObject(wanted);
  });

  it.each([
    ['zh-TW', 'zh-CN'],
    ['en', 'en'],
    ['fr', 'en'],
  ])('names the language of the answer to %s in Content-Language: %s', async (asked, answered) => {
    const answer = await inLanguage(`/v1/refunds/${refused.id}`, asked);
    expect(answer.headers.get('content-language')).toBe(answered);
  });

  it('that does not exist is a problem in English, and says so', async () => {
    const answer = await inLanguage('/v1/refunds/re_0', 'zh');
    expect([answer.status, answer.headers.get('content-language')]).toEqual([404, 'en']);
  });
});

describe('the timeline', () => {
  let entries: Json[];
  beforeAll(async () => {
    await stack.eventually(
      async () =>
        (await deliveriesTo(stack, endpoint.id)).filter((delivery) => delivery['status'] === 'delivered').length,
      (delivered) => delivered >= 7,
    );
    await stack.ok('POST', `/v1/refunds/${done.id}/sync`);
    entries = await stack.timeline(done.id);
  });

  it('tells who asked, every send with duration and outcome, notices, queries, the booking and every event delivered', () => {
    const shown = entries.map(({ kind, title }) => `${String(kind)}: ${String(title)}`);
    expect([...new Set(shown)]).toEqual(
      expect.arrayContaining([
        'event: asked for by admin: money reserved, queued',
        'event: queued → submitting',
        'call: refund request sent to WeChat',
        "notification: WeChat's notice: succeeded, booked",
        'call: WeChat asked about the refund',
        'event: event sent: refund.created, delivered',
        'event: event sent: refund.succeeded, delivered',
      ]),
    );
    expect(shown.some((line) => line.endsWith('→ succeeded'))).toBe(true);
    expect(entries).toContainEqual(
      expect.objectContaining({
        title: 'refund request sent to WeChat',
        detail: { api_version: 'v2', outcome: 'shown', duration_ms: expect.any(Number), code: null, message: null },
        ref: expect.stringMatching(/^[0-9a-f-]{36}$/),
      }),
    );
    expect(entries.find(({ title }) => title === 'event sent: refund.succeeded, delivered')).toMatchObject({
      detail: { endpoint: endpoint.id, event: expect.stringMatching(/^evt_/), result: '2xx' },
      ref: expect.stringMatching(/^wd_/),
    });
  });

  it('is told oldest first, in entries of one form', () => {
    const times = entries.map(({ at }) => String(at));
    expect(times).toEqual([...times].sort());
    for (const entry of entries) expect(Object.keys(entry)).toEqual(['at', 'kind', 'title', 'detail', 'ref']);
  });

  it('explains each code of WeChat and each state that waits, in the language asked for', async () => {
    const { body } = await inLanguage(`/v1/refunds/${refused.id}/timeline`, 'zh');
    const told = body['data'] as { title: string; detail: Json }[];
    expect(told[0]).toMatchObject({ title: '申请人 admin: 金额已预留，排队中', detail: { what: '排队等待发送。' } });
    expect(told.map(({ title }) => title)).toContain('提交中 → 已拒绝');
    expect(told).toContainEqual(
      expect.objectContaining({
        title: '向微信支付发送退款请求',
        detail: expect.objectContaining({ code: 'USER_ACCOUNT_ABNORMAL', next_step: '请改用其他方式退还。' }),
      }),
    );
  });

  it('shows nothing of endpoints that a key bound to apps may not see, and no address of any', async () => {
    await stack.ok('POST', '/v1/webhook_endpoints', { url: `${receiver.url}/all`, events: ['*'] });
    const another = await stack.until((await stack.refund(order, { amount: 30 })).id, 'succeeded');
    const sent = async (headers?: Record<string, string>): Promise<Json[]> =>
      ((await stack.ok('GET', `/v1/refunds/${another.id}/timeline`, undefined, headers))['data'] as Json[]).filter(
        ({ title }) => String(title).startsWith('event sent: refund.succeeded, delivered'),
      );
    expect(await stack.eventually(sent, (list) => list.length === 2)).toHaveLength(2);
    const { key } = await stack.ok('POST', '/v1/api_keys', { name: 'x', role: 'viewer', appids: [merchant.appid] });
    const seen = await sent({ authorization: `Bearer ${String(key)}` });
    expect(seen.map(({ detail }) => (detail as Json)['endpoint'])).toEqual([endpoint.id]);
    expect(JSON.stringify(await stack.timeline(another.id))).not.toContain(receiver.url);
  });
});
