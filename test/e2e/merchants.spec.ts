import { type Answer, type Json, Stack, unique } from './support/stack.js';

let stack: Stack;
let counter = 0;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());

const newMchId = (): string => `18${String(Date.now()).slice(-6)}${String((counter += 1)).padStart(2, '0')}`;
const issue = (mchId: string, more: Json = {}): Promise<Json> =>
  stack.control('POST', '/merchants', { mch_id: mchId, appids: [`wx${mchId}`], ...more });
const put = (mchId: string, body: unknown): Promise<Answer> =>
  stack.api('PUT', `/v1/merchants/${mchId}/credentials`, body);
const registered = async (more: Json = {}): Promise<string> => {
  const mchId = newMchId();
  await stack.ok('POST', '/v1/merchants', { mch_id: mchId, name: 'shop', api_version: 'v2', ...more });
  return mchId;
};

describe('a merchant', () => {
  it('is made with safe defaults and its notify addresses, and exists once', async () => {
    const mchId = newMchId();
    const wish = { mch_id: mchId, name: '小店', api_version: 'v2' };
    const made = await stack.api('POST', '/v1/merchants', wish);
    expect(made).toMatchObject({
      status: 201,
      body: {
        object: 'merchant',
        mch_id: mchId,
        name: '小店',
        enabled: true,
        api_version: 'v2',
        sign_type: 'HMAC-SHA256',
        refund_notify: 'confirm',
        credentials: [],
      },
    });
    const urls = made.body['notify_urls'] as Record<string, string>;
    expect(urls['refund']).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/notify\/wechat\/[0-9a-f]{32}\/refund$/);
    expect(urls['payment']).toBe(urls['refund']?.replace(/refund$/, 'payment'));
    expect(await stack.api('POST', '/v1/merchants', wish)).toMatchObject({
      status: 409,
      body: { code: 'merchant_exists' },
    });
    expect(await stack.ok('GET', `/v1/merchants/${mchId}`)).toEqual(made.body);
    const { data } = (await stack.ok('GET', '/v1/merchants')) as { data: Json[] };
    expect(data.map((row) => row['mch_id'])).toContain(mchId);
  });

  it.each<[string, Json]>([
    ['mch_id', { mch_id: '12' }],
    ['mch_id', { mch_id: 1900000001 }],
    ['name', { name: '' }],
    ['api_version', { api_version: 'v4' }],
    ['api_version', { api_version: undefined }],
    ['sign_type', { sign_type: 'RSA' }],
    ['refund_notify', { refund_notify: 'trust' }],
    ['enabled', { enabled: true }],
  ])('with a wrong %s is refused: %j', async (field, change) => {
    const wish = { mch_id: newMchId(), name: 'x', api_version: 'v2', ...change };
    const answer = await stack.api('POST', '/v1/merchants', wish);
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect((answer.body['errors'] as Json[]).map((error) => error['field'])).toContain(field);
    expect((await stack.api('GET', `/v1/merchants/${String(wish.mch_id)}`)).status).toBe(404);
  });

  it('is changed field by field', async () => {
    const mchId = await registered();
    const changed = await stack.ok('PATCH', `/v1/merchants/${mchId}`, { name: 'new', refund_notify: 'apply' });
    expect(changed).toMatchObject({ name: 'new', refund_notify: 'apply', sign_type: 'HMAC-SHA256', enabled: true });
    expect(await stack.api('PATCH', `/v1/merchants/${mchId}`, { enabled: 'no' })).toMatchObject({ status: 400 });
    expect(await stack.api('PATCH', '/v1/merchants/1800000000', { name: 'x' })).toMatchObject({
      status: 404,
      body: { code: 'merchant_not_found' },
    });
  });

  it('moves to v3 only with all that v3 needs', async () => {
    const mchId = await registered();
    const move = (): Promise<Answer> => stack.api('PATCH', `/v1/merchants/${mchId}`, { api_version: 'v3' });
    const lacking = await move();
    expect(lacking).toMatchObject({ status: 422, body: { code: 'credentials_missing' } });
    expect(lacking.body['detail']).toContain('api_v3_key');
    const issued = await issue(mchId);
    await stack.credentials(mchId, { ...issued, api_v2_key: undefined });
    await put(mchId, { api_v3_key: '3'.repeat(32) });
    expect(await move()).toMatchObject({ status: 200, body: { api_version: 'v3' } });
  });
});

describe('credentials', () => {
  it('go in as p12 with the merchant number as its password, and never come out', async () => {
    const mchId = await registered();
    const issued = await issue(mchId);
    const answer = await put(mchId, {
      api_v2_key: issued['api_v2_key'],
      client_certificate_p12: issued['certificate_p12'],
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual([
      expect.objectContaining({ kind: 'api_v2_key', fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) }),
      expect.objectContaining({
        kind: 'client_certificate',
        serial: issued['serial'],
        valid_until: expect.stringMatching(/Z$/),
      }),
    ]);
    const shown = JSON.stringify([answer.body, await stack.ok('GET', `/v1/merchants/${mchId}`)]);
    const key = String(issued['api_v2_key']);
    const pem = String(issued['private_key_pem']).split('\n')[3] ?? '';
    const { rows } = await stack.database.query<{ stored: string }>(
      "SELECT string_agg(encode(sealed, 'escape') || to_jsonb(c)::text, '') AS stored FROM credential c",
    );
    for (const secret of [key, pem]) {
      expect(secret.length).toBeGreaterThan(20);
      expect(shown).not.toContain(secret);
      expect(rows[0]?.stored).not.toContain(secret);
    }
  });

  it.each<[string, (issued: Json, other: Json) => Json, string, RegExp]>([
    [
      'a wrong password',
      (own) => ({ client_certificate_p12: own['certificate_p12'], client_certificate_p12_password: 'wrong' }),
      'client_certificate_p12',
      /password/,
    ],
    [
      'bytes that are no p12',
      () => ({ client_certificate_p12: Buffer.from('hello').toString('base64') }),
      'client_certificate_p12',
      /./,
    ],
    [
      'a certificate of another merchant',
      (_, other) => ({ client_certificate_pem: other['certificate_pem'], client_key_pem: other['private_key_pem'] }),
      'client_certificate_pem',
      /not of merchant/,
    ],
    [
      'a key of another certificate',
      (own, other) => ({ client_certificate_pem: own['certificate_pem'], client_key_pem: other['private_key_pem'] }),
      'client_certificate_pem',
      /does not fit/,
    ],
    ['a key of 31 characters', () => ({ api_v2_key: 'k'.repeat(31) }), 'api_v2_key', /32/],
    [
      'a public key without its prefix',
      () => ({ wechatpay_public_key_id: '1234', wechatpay_public_key_pem: 'x' }),
      'wechatpay_public_key_pem',
      /PUB_KEY_ID_/,
    ],
  ])('with %s are refused with the reason, and nothing of the request is stored', async (_, wish, field, reason) => {
    const mchId = await registered();
    const [own, other] = [await issue(mchId), await issue(newMchId())];
    const answer = await put(mchId, { api_v3_key: 'n'.repeat(32), ...wish(own, other) });
    expect(answer).toMatchObject({ status: 422, body: { code: 'credentials_invalid' } });
    expect(answer.body['errors']).toEqual([{ field, message: expect.stringMatching(reason) }]);
    expect(await stack.ok('GET', `/v1/merchants/${mchId}`)).toMatchObject({ credentials: [] });
  });

  it('whose certificate has expired are refused', async () => {
    const mchId = await registered();
    const issued = await issue(mchId, { valid_days: -1 });
    const answer = await put(mchId, { client_certificate_p12: issued['certificate_p12'] });
    expect(answer).toMatchObject({ status: 422, body: { code: 'credentials_invalid' } });
    expect(answer.body['detail']).toMatch(/expired on/);
  });

  it.each<[string, Json]>([
    ['client_certificate_pem', { client_certificate_pem: 'x' }],
    ['client_certificate_p12_password', { client_certificate_p12_password: 'x', api_v2_key: 'k'.repeat(32) }],
    ['api_v2_key', {}],
    ['private_key', { private_key: 'x' }],
  ])('in halves or with an unknown name (%s) are a bad request', async (field, body) => {
    const answer = await put(await registered(), body);
    expect(answer).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect((answer.body['errors'] as Json[]).map((error) => error['field'])).toContain(field);
  });

  it('replace only the kinds named, and the previous key is usable for two days more', async () => {
    const mchId = await registered();
    await stack.credentials(mchId, await issue(mchId));
    const before = (await stack.ok('GET', `/v1/merchants/${mchId}`))['credentials'] as Json[];
    const after = (await put(mchId, { api_v2_key: 'K'.repeat(32) })).body as unknown as Json[];
    expect(after.map((row) => row['kind'])).toEqual(['api_v2_key', 'client_certificate']);
    expect(after[0]?.['fingerprint']).not.toBe(before[0]?.['fingerprint']);
    expect(after[1]).toEqual(before[1]);
    const hours = (Date.parse(String(after[0]?.['previous_until'])) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(47.9);
    expect(hours).toBeLessThanOrEqual(48);
  });

  it('of a merchant that does not exist are not taken', async () => {
    expect(await put('1800000000', { api_v2_key: 'k'.repeat(32) })).toMatchObject({
      status: 404,
      body: { code: 'merchant_not_found' },
    });
  });
});

describe('check', () => {
  const check = async (mchId: string): Promise<Json[]> =>
    (await stack.ok('POST', `/v1/merchants/${mchId}/check`))['results'] as Json[];

  it('proves the key and the certificate without moving money', async () => {
    const { mchId } = await stack.merchant();
    expect(await check(mchId)).toEqual([
      expect.objectContaining({ kind: 'api_v2_key', result: 'ok' }),
      expect.objectContaining({ kind: 'client_certificate', result: 'ok' }),
    ]);
    const { accepted } = (await stack.control('GET', '/ledger')) as { accepted: Json[] };
    expect(accepted.filter((row) => row['mch_id'] === mchId)).toEqual([]);
  });

  it('names a wrong key, a revoked certificate and a missing permission', async () => {
    const { mchId } = await stack.merchant();
    await stack.control('POST', `/merchants/${mchId}/key`, {});
    expect((await check(mchId))[0]).toMatchObject({ kind: 'api_v2_key', result: 'wrong' });
    const { mchId: second } = await stack.merchant();
    await stack.control('POST', `/merchants/${second}/certificate`, { action: 'revoke' });
    const [key, certificate] = await check(second);
    expect([key?.['result'], certificate?.['result']]).toEqual(['ok', 'wrong']);
  });

  it('proves nothing when WeChat does not answer, or without a mini-program to ask for', async () => {
    const { mchId } = await stack.merchant();
    await stack.fault({ call: 'orderquery', fault: 'html', mch_id: mchId });
    expect((await check(mchId))[0]).toMatchObject({ kind: 'api_v2_key', result: 'not_proven' });
    const alone = await registered();
    await put(alone, { api_v2_key: 'k'.repeat(32) });
    expect(await check(alone)).toEqual([expect.objectContaining({ kind: 'api_v2_key', result: 'not_proven' })]);
  });
});

describe('a change', () => {
  it('is live on every instance within 5 seconds, without a restart', async () => {
    const second = await stack.addInstance();
    const merchant = await stack.merchant({ simulator: { settle_after_ms: 0 } });
    const order = await stack.paidOrder(merchant, 100);
    const ask = async (url: string): Promise<number> => {
      const answer = await fetch(`${url}/v1/refunds`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.adminKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ order: order.id, amount: 1, out_refund_no: `R${unique()}` }),
      });
      await answer.text();
      return answer.status;
    };
    expect([await ask(stack.url), await ask(second.url)]).toEqual([201, 201]);
    await stack.ok('PATCH', `/v1/merchants/${merchant.mchId}`, { enabled: false });
    expect(await ask(stack.url)).toBe(409);
    const seen = await stack.eventually(
      () => ask(second.url),
      (status) => status === 409,
      5,
    );
    expect(seen).toBe(409);
  });
});

describe('a mini-program', () => {
  it('is bound to merchants that exist, and exists once', async () => {
    const [one, two] = [await registered(), await registered()];
    const appid = `wx${unique()}`;
    const create = (change: Json): Promise<Answer> =>
      stack.api('POST', '/v1/mini_programs', { appid, name: '小程序', mch_ids: [one], ...change });
    expect(await create({ mch_ids: [one, '1800000000'] })).toMatchObject({
      status: 404,
      body: { code: 'merchant_not_found' },
    });
    expect((await stack.api('GET', `/v1/mini_programs/${appid}`)).status).toBe(404);
    expect(await create({ mch_ids: [two, one] })).toMatchObject({
      status: 201,
      body: { object: 'mini_program', appid, mch_ids: [one, two].sort() },
    });
    expect(await create({})).toMatchObject({ status: 409, body: { code: 'mini_program_exists' } });
    expect(await stack.ok('PATCH', `/v1/mini_programs/${appid}`, { mch_ids: [two] })).toMatchObject({
      name: '小程序',
      mch_ids: [two],
    });
    expect(await stack.api('PATCH', `/v1/mini_programs/${appid}`, { mch_ids: [] })).toMatchObject({ status: 400 });
    expect(await stack.api('PATCH', `/v1/mini_programs/${appid}`, { mch_ids: ['1800000000'] })).toMatchObject({
      status: 404,
    });
    expect(await stack.ok('GET', `/v1/mini_programs/${appid}`)).toMatchObject({ mch_ids: [two] });
  });
});
