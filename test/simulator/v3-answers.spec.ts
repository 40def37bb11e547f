import { publicEncrypt, X509Certificate } from 'node:crypto';
import { holds, RawV3, refundBody, type V3Answer } from './support/raw-v3.js';
import { type Issued, type Json, RawWechat } from './support/raw-wechat.js';

let wechat: RawWechat;
let v3: RawV3;
let shop: Issued;
beforeAll(async () => {
  wechat = await RawWechat.start();
  v3 = new RawV3(wechat);
  await wechat.set('/limits', { spacing_seconds: 0, failures_per_second: 1000 });
  shop = await wechat.merchant();
});
afterEach(() => wechat.control('DELETE', '/faults'));
afterAll(() => wechat.stop());

const byKey = (merchant: Issued): { headers: Record<string, string> } => ({
  headers: { 'wechatpay-serial': merchant.wechatpay_public_key_id },
});
const bySerial = (serial: string): { headers: Record<string, string> } => ({ headers: { 'wechatpay-serial': serial } });
const serialOf = ({ headers }: V3Answer): unknown => headers['wechatpay-serial'];
const rowOf = async (number: unknown): Promise<Json | undefined> =>
  (await wechat.ledger('requests')).findLast((row) => row['out_refund_no'] === number);
const accepted = async (number: string): Promise<number> =>
  (await wechat.ledger('accepted')).filter((row) => row['out_refund_no'] === number).length;

describe('a v3 answer', () => {
  it('shows the refund in v3’s words and is signed by the public key when the request names it', async () => {
    const order = await wechat.order(shop, 1000);
    const answer = await v3.refund(shop, order, { out_refund_no: 'shown' }, byKey(shop));
    expect(answer.json).toMatchObject({
      out_refund_no: 'shown',
      out_trade_no: order,
      status: 'PROCESSING',
      channel: 'ORIGINAL',
      create_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$/) as string,
      amount: { refund: 400, total: 1000, payer_refund: 400, payer_total: 1000, currency: 'CNY' },
    });
    expect(answer.json).not.toHaveProperty('success_time');
    expect(serialOf(answer)).toBe(shop.wechatpay_public_key_id);
    expect(holds(answer, shop.wechatpay_public_key_pem)).toBe(true);
    expect(holds({ ...answer, text: `${answer.text} ` }, shop.wechatpay_public_key_pem)).toBe(false);
    const query = await v3.query(shop, 'shown', byKey(shop));
    expect([query.json, holds(query, shop.wechatpay_public_key_pem)]).toEqual([answer.json, true]);
  });

  it('is signed by the platform certificate when the request names that or nothing', async () => {
    const [[serial, certificate] = ['', '']] = await v3.certificates(shop);
    expect(serial).toMatch(/^[0-9A-F]{40}$/);
    const order = await wechat.order(shop, 1000);
    for (const change of [{}, bySerial(serial)]) {
      const answer = await v3.refund(shop, order, {}, change);
      expect([serialOf(answer), holds(answer, certificate)]).toEqual([serial, true]);
      expect(holds(answer, shop.wechatpay_public_key_pem)).toBe(false);
    }
  });

  it('without a body is signed too, and a refusal is not', async () => {
    const number = `T${Date.now()}`;
    await prepaid(shop, number);
    const closed = await v3.post(
      shop,
      `/v3/pay/transactions/out-trade-no/${number}/close`,
      { mchid: shop.mch_id },
      byKey(shop),
    );
    expect([closed.status, closed.text]).toEqual([204, '']);
    expect(holds(closed, shop.wechatpay_public_key_pem)).toBe(true);
    const refused = await v3.query(shop, 'unheard', byKey(shop));
    expect([refused.status, refused.json['code']]).toEqual([404, 'RESOURCE_NOT_EXISTS']);
    expect(Object.keys(refused.headers).filter((name) => name.startsWith('wechatpay'))).toEqual([]);
  });

  it('to a query that lags is “not found”, and shows the refund later', async () => {
    const slow = await wechat.merchant({ visibility_lag_ms: 5000 });
    const order = await wechat.order(slow, 1000);
    const { json } = await v3.refund(slow, order);
    const number = String(json['out_refund_no']);
    expect((await v3.query(slow, number)).status).toBe(404);
    await wechat.set('/clock', { advance_s: 5 });
    expect((await v3.query(slow, number)).json).toMatchObject({ out_refund_no: number, status: 'PROCESSING' });
  });

  it('carries at every n-th time a probe for a signature, as the merchant is set', async () => {
    const merchant = await wechat.merchant({ signtest_every: 3 });
    const signatures: string[] = [];
    for (let count = 0; count < 6; count += 1) {
      const answer = await v3.get(merchant, '/v3/certificates', byKey(merchant));
      const isProbe = String(answer.headers['wechatpay-signature']).startsWith('WECHATPAY/SIGNTEST/');
      expect(holds(answer, merchant.wechatpay_public_key_pem)).toBe(!isProbe);
      signatures.push(isProbe ? 'probe' : 'good');
    }
    expect(signatures).toEqual(['good', 'good', 'probe', 'good', 'good', 'probe']);
  });

  it('leaves in the ledger the protocol, both serials, the nonce and the client certificate, if one came', async () => {
    const order = await wechat.order(shop, 1000);
    const nonce_str = 'n0123456789abcdef0123456789abcde';
    await v3.refund(shop, order, { out_refund_no: 'in-ledger' }, { nonce_str, certificate: shop, ...byKey(shop) });
    expect(await rowOf('in-ledger')).toMatchObject({
      version: 'v3',
      call: 'refund',
      mch_id: shop.mch_id,
      cert_mch_id: shop.mch_id,
      serial_no: shop.serial,
      wechatpay_serial: shop.wechatpay_public_key_id,
      nonce_str,
      attempt_id: nonce_str,
      out_trade_no: order,
      answered: 'SUCCESS',
      accepted: true,
      failing: false,
    });
    await v3.query(shop, 'in-ledger');
    expect(await rowOf('in-ledger')).toMatchObject({ call: 'refundquery', cert_mch_id: null, wechatpay_serial: null });
  });

  it('digests the same parameters to the same, in whatever order and wherever the notices go', async () => {
    const order = await wechat.order(shop, 1000);
    const body = refundBody(order, { out_refund_no: 'digested' });
    const digests: unknown[] = [];
    for (const sent of [
      { ...body, notify_url: 'https://shop.example/a' },
      Object.fromEntries(Object.entries(body).reverse()),
      { ...body, reason: 'other' },
    ]) {
      await v3.post(shop, '/v3/refund/domestic/refunds', sent);
      digests.push((await rowOf('digested'))?.['param_digest']);
    }
    expect([digests[1] === digests[0], digests[2] === digests[0]]).toEqual([true, false]);
  });
});

async function prepaid(merchant: Issued, out_trade_no: string, wish: Json = {}): Promise<V3Answer> {
  const { appid, mch_id: mchid } = merchant;
  return v3.post(merchant, '/v3/pay/transactions/jsapi', {
    appid,
    mchid,
    description: 'tea',
    out_trade_no,
    notify_url: 'http://127.0.0.1:1/n',
    amount: { total: 1000, currency: 'CNY' },
    payer: { openid: 'oPayer' },
    ...wish,
  });
}

describe('the platform certificates', () => {
  it('open with the APIv3 key, are issued by Tenpay and are those their serials say', async () => {
    for (const [serial, pem] of await v3.certificates(shop)) {
      const certificate = new X509Certificate(pem);
      expect(certificate.serialNumber).toBe(serial);
      expect(certificate.issuer).toContain('Tenpay.com');
    }
    const { json } = await v3.get(shop, '/v3/certificates');
    expect(json['data']).toEqual([
      {
        serial_no: expect.any(String) as string,
        effective_time: expect.stringMatching(/\+08:00$/) as string,
        expire_time: expect.stringMatching(/\+08:00$/) as string,
        encrypt_certificate: expect.objectContaining({
          algorithm: 'AEAD_AES_256_GCM',
          associated_data: 'certificate',
        }) as unknown,
      },
    ]);
  });

  it('are two while they change: the new one signs, whichever is named, until the old one is retired', async () => {
    const merchant = await wechat.merchant();
    const [[old] = ['']] = await v3.certificates(merchant);
    const path = `/merchants/${merchant.mch_id}/platform_certificate`;
    const { serial } = await wechat.set(path, { action: 'rotate' });
    const both = await v3.certificates(merchant);
    expect([...both.keys()]).toEqual([old, serial]);
    for (const change of [{}, bySerial(old), bySerial(String(serial))]) {
      const answer = await v3.get(merchant, '/v3/certificates', change);
      expect([serialOf(answer), holds(answer, both.get(String(serial)) ?? '')]).toEqual([serial, true]);
    }
    await wechat.set(path, { action: 'retire' });
    expect([...(await v3.certificates(merchant)).keys()]).toEqual([serial]);
    expect((await v3.get(merchant, '/v3/certificates', bySerial(old))).json['code']).toBe('PARAM_ERROR');
  });

  it('are none for a merchant that has the public key alone, whose answers that key signs', async () => {
    const merchant = await wechat.merchant({ platform_certificates: false });
    const none = await v3.get(merchant, '/v3/certificates');
    expect([none.status, none.json['code']]).toEqual([404, 'RESOURCE_NOT_EXISTS']);
    const answer = await v3.refund(merchant, await wechat.order(merchant, 1000));
    expect(holds(answer, merchant.wechatpay_public_key_pem)).toBe(true);
  });

  it('and the public key are both alive during a switch, each for the request that names it', async () => {
    const merchant = await wechat.merchant({ public_key: false });
    const unknown = await v3.get(merchant, '/v3/certificates', byKey(merchant));
    expect([unknown.status, unknown.json['code']]).toEqual([400, 'PARAM_ERROR']);
    expect(merchant.wechatpay_public_key_pem).toBeNull();
    const { wechatpay_public_key_pem: pem } = await wechat.set('/merchants', {
      mch_id: merchant.mch_id,
      public_key: true,
    });
    const [[serial, certificate] = ['', '']] = await v3.certificates(merchant);
    const order = await wechat.order(merchant, 1000);
    expect(holds(await v3.refund(merchant, order, {}, byKey(merchant)), String(pem))).toBe(true);
    expect(holds(await v3.refund(merchant, order, {}, bySerial(serial)), certificate)).toBe(true);
  });
});

describe('a fault planted on a v3 call', () => {
  let count = 0;
  const send = async (fault: Json): Promise<{ answer: V3Answer; number: string; good: boolean }> => {
    const number = `F${(count += 1)}`;
    const order = await wechat.order(shop, 1000);
    await wechat.set('/faults', { call: 'refund', out_refund_no: number, ...fault });
    const answer = await v3.refund(shop, order, { out_refund_no: number }, byKey(shop));
    const signed = answer.headers['wechatpay-signature'] !== undefined;
    return { answer, number, good: signed && holds(answer, shop.wechatpay_public_key_pem) };
  };

  it.each<[string, Json, boolean, Json]>([
    ['bad_sign', {}, false, { status: 'PROCESSING' }],
    ['signtest', {}, false, { status: 'PROCESSING' }],
    ['unsigned', {}, false, { status: 'PROCESSING' }],
    ['reserialised', {}, false, { status: 'PROCESSING' }],
    ['wrong_serial', {}, true, { status: 'PROCESSING' }],
    ['skew', { delay_ms: -301_000 }, true, { status: 'PROCESSING' }],
    ['slow', { delay_ms: 50 }, true, { status: 'PROCESSING' }],
    ['other_refund', {}, true, { amount: { refund: 401 } }],
    ['no_result', {}, true, { channel: 'ORIGINAL' }],
  ])('%s %j answers 200, signed: %s, and moves money', async (fault, wish, signed, shown) => {
    const { answer, number, good } = await send({ fault, ...wish });
    expect([answer.status, good, await accepted(number)]).toEqual([200, signed, 1]);
    expect(answer.json).toMatchObject(shown);
    expect(answer.json['out_refund_no'] === number).toBe(fault !== 'other_refund');
    expect('status' in answer.json).toBe(fault !== 'no_result');
    expect(serialOf(answer) === shop.wechatpay_public_key_id).toBe(!['unsigned', 'wrong_serial'].includes(fault));
    const offSeconds = Date.parse(String(answer.headers.date)) / 1000 - Number(answer.headers['wechatpay-timestamp']);
    if (fault === 'skew') expect(offSeconds).toBeGreaterThan(299);
    expect((await rowOf(number))?.['answered']).toBe(fault);
  });

  it.each<[Json, number, string, number]>([
    [{ code: 'FREQUENCY_LIMITED' }, 429, 'FREQUENCY_LIMITED', 0],
    [{ code: 'FREQUENCY_LIMITED', after: true }, 429, 'FREQUENCY_LIMITED', 1],
    [{ code: 'SYSTEM_ERROR', after: true }, 500, 'SYSTEM_ERROR', 1],
    [{ code: 'NOT_ENOUGH' }, 403, 'NOT_ENOUGH', 0],
    [{ code: 'SIGN_ERROR' }, 401, 'SIGN_ERROR', 0],
    [{ code: 'UNHEARD_OF', status: 418 }, 418, 'UNHEARD_OF', 0],
  ])('error %j answers %i %s, unsigned, and moves money %i times', async (wish, status, code, moved) => {
    const { answer, number } = await send({ fault: 'error', ...wish });
    expect([answer.status, answer.json['code'], await accepted(number)]).toEqual([status, code, moved]);
    expect(answer.headers).not.toHaveProperty('wechatpay-signature');
    const row = await rowOf(number);
    expect(row).toMatchObject({ answered: `error:${code}`, failing: true, accepted: moved === 1 });
  });

  it('error 202 answers “ask again”, signed over its empty body', async () => {
    const { answer, number, good } = await send({ fault: 'error', code: '202', after: true });
    expect([answer.status, answer.text, good, await accepted(number)]).toEqual([202, '', true, 1]);
  });

  it('html answers a page, redirect a 302, reset cuts the connection, and V2’s own fault waits for V2', async () => {
    expect((await send({ fault: 'html' })).answer.text).toContain('502 Bad Gateway');
    expect((await send({ fault: 'redirect' })).answer.status).toBe(302);
    await expect(send({ fault: 'reset' })).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect((await send({ fault: 'return_fail' })).answer.json['status']).toBe('PROCESSING');
  });

  it('falls on queries, payments and certificates as well', async () => {
    for (const call of ['refundquery', 'unifiedorder', 'certificates']) {
      await wechat.set('/faults', { call, fault: 'error', code: 'SYSTEM_ERROR' });
    }
    const answers = [
      await v3.query(shop, 'any'),
      await prepaid(shop, `T${Date.now()}`),
      await v3.get(shop, '/v3/certificates'),
    ];
    expect(answers.map(({ status }) => status)).toEqual([500, 500, 500]);
  });
});

describe('an abnormal refund', () => {
  const path = (id: unknown): string => `/v3/refund/domestic/refunds/${String(id)}/apply-abnormal-refund`;
  const sealedWith = (pem: string, text: string): string =>
    publicEncrypt({ key: pem, oaepHash: 'sha1' }, Buffer.from(text)).toString('base64');
  const card = (pem: string): Json => ({
    type: 'USER_BANK_CARD',
    bank_type: 'CMB_DEBIT',
    bank_account: sealedWith(pem, '6225000000000000'),
    real_name: sealedWith(pem, '张三'),
  });
  const abnormal = async (merchant: Issued): Promise<{ number: string; id: unknown }> => {
    const { json } = await v3.refund(merchant, await wechat.order(merchant, 1000));
    const number = String(json['out_refund_no']);
    await wechat.set(`/refunds/${number}/state`, { state: 'ABNORMAL' });
    return { number, id: json['refund_id'] };
  };

  it.each(['public key', 'platform certificate'])(
    'is worked on again for a card of the user under the %s, and succeeds',
    async (kind) => {
      const [[serial, certificate] = ['', '']] = await v3.certificates(shop);
      const [name, pem] =
        kind === 'public key' ? [shop.wechatpay_public_key_id, shop.wechatpay_public_key_pem] : [serial, certificate];
      const { number, id } = await abnormal(shop);
      expect((await v3.query(shop, number)).json['status']).toBe('ABNORMAL');
      const body = { out_refund_no: number, ...card(pem) };
      const repaired = await v3.post(shop, path(id), body, bySerial(name));
      expect([repaired.status, repaired.json['status'], holds(repaired, pem)]).toEqual([200, 'PROCESSING', true]);
      expect((await v3.query(shop, number)).json['status']).toBe('PROCESSING');
      await wechat.set(`/refunds/${number}/state`, { state: 'SUCCESS' });
      expect((await v3.query(shop, number)).json).toMatchObject({
        status: 'SUCCESS',
        success_time: expect.any(String) as string,
      });
      expect(await accepted(number)).toBe(1);
    },
  );

  it('is worked on again for the merchant’s card without any card of the user, and settles by itself', async () => {
    const merchant = await wechat.merchant({ settle_after_ms: 3_600_000 });
    const { number, id } = await abnormal(merchant);
    const repaired = await v3.post(merchant, path(id), { out_refund_no: number, type: 'MERCHANT_BANK_CARD' });
    expect(repaired.json['status']).toBe('PROCESSING');
    await wechat.set('/merchants', { mch_id: merchant.mch_id, settle_after_ms: 0 });
    for (let tries = 0; tries < 500 && (await v3.query(merchant, number)).json['status'] !== 'SUCCESS'; tries += 1);
    expect((await v3.query(merchant, number)).json['status']).toBe('SUCCESS');
  });

  it('is not repaired by what does not decrypt, names no bank of the list, or lacks a field or the key’s name', async () => {
    const { number, id } = await abnormal(shop);
    const other = await wechat.merchant();
    const good = { out_refund_no: number, ...card(shop.wechatpay_public_key_pem) };
    const wrong: readonly Json[] = [
      { ...good, bank_account: '6225000000000000' },
      { ...good, real_name: sealedWith(other.wechatpay_public_key_pem, '张三') },
      { ...good, bank_type: 'CMB_CREDIT' },
      { ...good, bank_type: undefined },
      { ...good, real_name: undefined },
      { ...good, type: 'OTHER_CARD' },
      { ...good, mchid: shop.mch_id },
    ];
    for (const body of wrong) {
      expect((await v3.post(shop, path(id), body, byKey(shop))).json['code']).toBe('PARAM_ERROR');
    }
    expect((await v3.post(shop, path(id), good)).json['code']).toBe('PARAM_ERROR');
    const [[serial] = ['']] = await v3.certificates(shop);
    expect((await v3.post(shop, path(id), good, bySerial(serial))).json['code']).toBe('PARAM_ERROR');
    expect((await v3.query(shop, number)).json['status']).toBe('ABNORMAL');
  });

  it('is the only kind that is repaired, by the merchant and the two numbers it has', async () => {
    const { json } = await v3.refund(shop, await wechat.order(shop, 1000));
    const running = { out_refund_no: json['out_refund_no'], type: 'MERCHANT_BANK_CARD' };
    const refused = await v3.post(shop, path(json['refund_id']), running);
    expect([refused.status, refused.json['code']]).toEqual([400, 'INVALID_REQUEST']);
    const { number, id } = await abnormal(shop);
    const wish = { out_refund_no: number, type: 'MERCHANT_BANK_CARD' };
    const elsewhere = await v3.post(shop, path(json['refund_id']), wish);
    const foreign = await v3.post(await wechat.merchant(), path(id), wish);
    expect([elsewhere.json['code'], foreign.json['code']]).toEqual(['RESOURCE_NOT_EXISTS', 'RESOURCE_NOT_EXISTS']);
  });
});
