import { setTimeout as sleep } from 'node:timers/promises';
import { holds, opened, RawV3, type SignedMessage } from './support/raw-v3.js';
import { type Issued, type Json, RawWechat, readFlat, Receiver, until } from './support/raw-wechat.js';

let wechat: RawWechat;
let v3: RawV3;
let receiver: Receiver;
let url: string;

beforeAll(async () => {
  wechat = await RawWechat.start();
  v3 = new RawV3(wechat);
  // Retries are waited for by moving the clock far; the signatures stay in our time, so that requests go on.
  await wechat.set('/clock', { signatures: 'machine' });
  await wechat.set('/limits', { spacing_seconds: 0 });
});
beforeEach(async () => {
  receiver = new Receiver();
  url = await receiver.listen();
});
afterEach(() => receiver.stop());
afterAll(() => wechat.stop());

const received = (count: number): Promise<void> =>
  until(() => receiver.letters.length >= count, `${count} notices came`);

/** A refund that the simulated WeChat accepted over v3 and tells `url` of; its number. */
async function refunded(merchant: Issued, wish: Json = { notify_url: url }): Promise<string> {
  const { json } = await v3.refund(merchant, await wechat.order(merchant, 1000), wish);
  return String(json['out_refund_no']);
}
const move = (number: string, state: string): Promise<Json> => wechat.set(`/refunds/${number}/state`, { state });
const letter = (place = 0): SignedMessage => receiver.letters[place] ?? { headers: {}, text: '' };
const envelopeOf = ({ text }: SignedMessage): Json & { readonly resource: Json } =>
  JSON.parse(text) as Json & { readonly resource: Json };
const contentOf = (message: SignedMessage, key: string): Json =>
  JSON.parse(opened(envelopeOf(message).resource, key)) as Json;

describe('the notice of a refund made over v3', () => {
  it.each([
    ['SUCCESS', 'SUCCESS'],
    ['CHANGE', 'ABNORMAL'],
    ['ABNORMAL', 'ABNORMAL'],
    ['REFUNDCLOSE', 'CLOSED'],
    ['CLOSED', 'CLOSED'],
  ])('that went to %s is REFUND.%s, verifies, and opens with the method of the vectors', async (state, status) => {
    const merchant = await wechat.merchant();
    const number = await refunded(merchant);
    await move(number, state);
    await received(1);
    const envelope = envelopeOf(letter());
    expect(envelope).toMatchObject({
      id: expect.stringMatching(/^.{36}$/) as string,
      create_time: expect.stringMatching(/\+08:00$/) as string,
      event_type: `REFUND.${status}`,
      resource_type: 'encrypt-resource',
      resource: { original_type: 'refund', algorithm: 'AEAD_AES_256_GCM', associated_data: 'refund' },
    });
    expect(letter().headers).toMatchObject({
      'content-type': 'application/json',
      'wechatpay-serial': merchant.wechatpay_public_key_id,
      'wechatpay-signature-type': 'WECHATPAY2-SHA256-RSA2048',
    });
    expect(holds(letter(), merchant.wechatpay_public_key_pem)).toBe(true);
    const content = contentOf(letter(), merchant.api_v3_key);
    expect(content).toMatchObject({
      mchid: merchant.mch_id,
      out_refund_no: number,
      refund_status: status,
      amount: { total: 1000, refund: 400, payer_total: 1000, payer_refund: 400 },
    });
    expect('success_time' in content).toBe(status === 'SUCCESS');
  });

  it('is acknowledged by 200 or 204 whatever the body says, and else comes again, the same event signed anew', async () => {
    const merchant = await wechat.merchant();
    receiver.status = 500;
    const number = await refunded(merchant);
    const acks = async (): Promise<Json[]> =>
      (await wechat.ledger('acks')).filter((row) => row['out_refund_no'] === number);
    await wechat.set('/clock', { signatures: 'simulated' });
    await move(number, 'SUCCESS');
    for (const [place, status] of [202, 204].entries()) {
      await until(async () => (await acks()).length === place + 1, `delivery ${place + 1}`);
      receiver.status = status;
      await wechat.set('/clock', { advance_s: 15 });
    }
    await until(async () => (await acks()).length === 3, 'the third delivery');
    await wechat.set('/clock', { advance_s: 86_400, signatures: 'machine' });
    await sleep(60);
    expect((await acks()).map(({ status, ok }) => [status, ok])).toEqual([
      [500, false],
      [202, false],
      [204, true],
    ]);
    const envelopes = receiver.letters.map(envelopeOf);
    expect(new Set(envelopes.map(({ id }) => id)).size).toBe(1);
    for (const name of ['wechatpay-timestamp', 'wechatpay-nonce', 'wechatpay-signature']) {
      expect(new Set(receiver.letters.map(({ headers }) => headers[name])).size).toBe(3);
    }
    expect(receiver.letters.every((one) => holds(one, merchant.wechatpay_public_key_pem))).toBe(true);
  });

  it('is signed by the key that the merchant’s switch has come to', async () => {
    const merchant = await wechat.merchant({ notice_key: 'certificate' });
    const [[serial, certificate] = ['', '']] = await v3.certificates(merchant);
    await move(await refunded(merchant), 'SUCCESS');
    await received(1);
    await wechat.set('/merchants', { mch_id: merchant.mch_id, notice_key: 'public_key' });
    await move(await refunded(merchant), 'SUCCESS');
    await received(2);
    expect([letter(0).headers['wechatpay-serial'], holds(letter(0), certificate)]).toEqual([serial, true]);
    expect(holds(letter(1), merchant.wechatpay_public_key_pem)).toBe(true);
  });

  it('comes first with a probe for a signature when the merchant is set so, then rightly signed', async () => {
    const merchant = await wechat.merchant({ signtest_every: 1 });
    receiver.status = 401;
    await move(await refunded(merchant), 'SUCCESS');
    await received(1);
    receiver.status = 204;
    await until(async () => (await wechat.ledger('acks')).some((row) => row['status'] === 401), 'the refusal counts');
    await wechat.set('/clock', { advance_s: 15 });
    await received(2);
    expect(letter(0).headers['wechatpay-signature']).toMatch(/^WECHATPAY\/SIGNTEST\//);
    expect([0, 1].map((place) => holds(letter(place), merchant.wechatpay_public_key_pem))).toEqual([false, true]);
  });

  it('is V2 XML to the URL of the merchant platform when the refund named no notify_url', async () => {
    const merchant = await wechat.merchant({ vendor_notify_url: url });
    const number = await refunded(merchant, {});
    await move(number, 'SUCCESS');
    await received(1);
    expect(readFlat(letter().text)).toMatchObject({ return_code: 'SUCCESS', mch_id: merchant.mch_id });
    expect(letter().headers).not.toHaveProperty('wechatpay-signature');
  });

  it('does not come at all without an APIv3 key', async () => {
    const [without, after] = await Promise.all([wechat.merchant({ api_v3_key: null }), wechat.merchant()]);
    await move(await refunded(without), 'SUCCESS');
    await move(await refunded(after), 'SUCCESS');
    await received(1);
    expect(receiver.letters.map((one) => contentOf(one, after.api_v3_key)['mchid'])).toEqual([after.mch_id]);
  });

  it('opens with the key that was set last', async () => {
    const merchant = await wechat.merchant();
    const number = await refunded(merchant);
    const { api_v3_key: key } = await wechat.set(`/merchants/${merchant.mch_id}/key`, { kind: 'v3' });
    await move(number, 'SUCCESS');
    await received(1);
    expect(contentOf(letter(), String(key))).toMatchObject({ out_refund_no: number });
    expect(() => contentOf(letter(), merchant.api_v3_key)).toThrow();
  });

  it('is XML for the same refund when it was made over V2, or by hand', async () => {
    const merchant = await wechat.merchant({ vendor_notify_url: url });
    const order = await wechat.order(merchant, 1000);
    const wish = { total_fee: '1000', refund_fee: '400', notify_url: url };
    const overV2 = (await wechat.refund(merchant, order, wish)).fields['out_refund_no'] ?? '';
    const byHand = await wechat.set('/refunds', { mch_id: merchant.mch_id, out_trade_no: order, amount: 100 });
    for (const number of [overV2, String(byHand['out_refund_no'])]) await move(number, 'SUCCESS');
    await received(2);
    expect(receiver.letters.map(({ text }) => readFlat(text)['return_code'])).toEqual(['SUCCESS', 'SUCCESS']);
  });
});

it('a payment over v3 is told of as TRANSACTION.SUCCESS, with the transaction', async () => {
  const merchant = await wechat.merchant();
  const { appid, mch_id: mchid } = merchant;
  const out_trade_no = `P${Date.now()}`;
  const body = { appid, mchid, description: 'tea', out_trade_no, notify_url: url, attach: 'table 4' };
  const prepaid = await v3.post(merchant, '/v3/pay/transactions/jsapi', {
    ...body,
    amount: { total: 700 },
    payer: { openid: 'oPayer' },
  });
  expect(prepaid.json).toEqual({ prepay_id: expect.stringMatching(/^wx/) as string });
  await wechat.set('/payments', { mch_id: mchid, out_trade_no });
  await received(1);
  expect(envelopeOf(letter())).toMatchObject({
    event_type: 'TRANSACTION.SUCCESS',
    resource: { original_type: 'transaction' },
  });
  expect(holds(letter(), merchant.wechatpay_public_key_pem)).toBe(true);
  const content = contentOf(letter(), merchant.api_v3_key);
  expect(content).toMatchObject({
    appid,
    mchid,
    out_trade_no,
    transaction_id: expect.stringMatching(/^4200/) as string,
    trade_type: 'JSAPI',
    trade_state: 'SUCCESS',
    attach: 'table 4',
    success_time: expect.stringMatching(/\+08:00$/) as string,
    payer: { openid: 'oPayer' },
    amount: { total: 700, payer_total: 700, currency: 'CNY', payer_currency: 'CNY' },
  });
});

describe('a forged v3 notice', () => {
  let merchant: Issued;
  beforeAll(async () => {
    merchant = await wechat.merchant();
  });

  it.each([
    'bad_sign',
    'signtest',
    'old_timestamp',
    'future_timestamp',
    'unknown_serial',
    'reserialised',
    'other_key',
    'short_tag',
    'wrong_aad',
    'wrong_event',
    'other_amount',
    'other_merchant',
    'unknown_refund',
    'status:LOST',
  ])('%s differs from the good one in what its name says, and in nothing else', async (forge) => {
    const number = await refunded(merchant);
    await wechat.set(`/refunds/${number}/state`, { state: 'SUCCESS' });
    await received(1);
    await wechat.set(`/notices/${number}`, { forge });
    const forged = letter(1);
    const openedText = ((): string => {
      try {
        return opened(envelopeOf(forged).resource, merchant.api_v3_key);
      } catch {
        return '{}';
      }
    })();
    const content = JSON.parse(openedText) as Json;
    const ageSeconds = Date.now() / 1000 - Number(forged.headers['wechatpay-timestamp']);
    const good = contentOf(letter(0), merchant.api_v3_key);
    const found = {
      verifies: holds(forged, merchant.wechatpay_public_key_pem),
      serial: forged.headers['wechatpay-serial'] === merchant.wechatpay_public_key_id,
      inTime: Math.abs(ageSeconds) < 300,
      event: envelopeOf(forged)['event_type'],
      content,
    };
    const genuine = { verifies: true, serial: true, inTime: true, event: 'REFUND.SUCCESS', content: good };
    const differences: Readonly<Record<string, Json>> = {
      bad_sign: { verifies: false },
      signtest: { verifies: false },
      reserialised: { verifies: false },
      old_timestamp: { inTime: false },
      future_timestamp: { inTime: false },
      unknown_serial: { serial: false },
      other_key: { content: {} },
      short_tag: { content: {} },
      wrong_aad: { content: {} },
      wrong_event: { event: 'REFUND.CLOSED' },
      other_amount: {
        content: { ...good, amount: { total: 1000, refund: 401, payer_total: 1000, payer_refund: 401 } },
      },
      other_merchant: { content: { ...good, mchid: expect.not.stringMatching(merchant.mch_id) as string } },
      unknown_refund: { content: { ...good, out_refund_no: expect.not.stringMatching(number) as string } },
      'status:LOST': { event: 'REFUND.LOST', content: { ...good, refund_status: 'LOST' } },
    };
    expect(found).toEqual({ ...genuine, ...differences[forge] });
  });

  it('is told from V2’s by the form of the notice, which `version` chooses', async () => {
    const number = await refunded(merchant);
    const refused = await wechat.control('POST', `/notices/${number}`, { forge: 'splice' });
    expect(refused).toMatchObject({ status: 400, body: { error: expect.stringContaining('other_key') as string } });
    await wechat.set(`/notices/${number}`, { version: 'v2', times: 2 });
    await wechat.set(`/notices/${number}`, { times: 2 });
    expect(receiver.letters.map(({ text }) => text.startsWith('<xml>'))).toEqual([true, true, false, false]);
    expect(letter(2)).toEqual(letter(3));
  });
});
