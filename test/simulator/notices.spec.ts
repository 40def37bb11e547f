import { createDecipheriv, createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Issued, RawWechat, readFlat, Receiver, signOf, until } from './support/raw-wechat.js';

let wechat: RawWechat;
let receiver: Receiver;
let url: string;

beforeAll(async () => {
  wechat = await RawWechat.start();
  await wechat.set('/limits', { spacing_seconds: 0 });
});
beforeEach(async () => {
  receiver = new Receiver();
  url = await receiver.listen();
});
afterEach(() => receiver.stop());
afterAll(() => wechat.stop());

/** A refund that the simulated WeChat accepted and tells `url` of; its number. */
async function refunded(merchant: Issued): Promise<string> {
  const order = await wechat.order(merchant, 1000);
  const answer = await wechat.refund(merchant, order, { total_fee: '1000', refund_fee: '400', notify_url: url });
  return answer.fields['out_refund_no'] ?? '';
}

/** The method of vectors.json: AES-256-ECB, PKCS#7, under the lower-case hex of MD5 of the key, over base64. */
function openedBy(key: string, reqInfo: string): string {
  const decipher = createDecipheriv('aes-256-ecb', createHash('md5').update(key).digest('hex'), null);
  return Buffer.concat([decipher.update(Buffer.from(reqInfo, 'base64')), decipher.final()]).toString('utf8');
}

it('a refund notice opens with the method of the vectors and names its refund', async () => {
  const merchant = await wechat.merchant();
  const number = await refunded(merchant);
  await wechat.set(`/refunds/${number}/state`, { state: 'SUCCESS' });
  await until(() => receiver.bodies.length > 0, 'a notice came');
  const outer = readFlat(receiver.bodies[0] ?? '');
  expect(outer).toMatchObject({ return_code: 'SUCCESS', mch_id: merchant.mch_id, appid: merchant.appid });
  expect(outer).not.toHaveProperty('sign');
  const text = openedBy(merchant.api_v2_key, outer['req_info'] ?? '');
  expect(text.startsWith('<root>') && text.endsWith('</root>')).toBe(true);
  expect(readFlat(text)).toMatchObject({
    out_refund_no: number,
    refund_status: 'SUCCESS',
    refund_fee: '400',
    total_fee: '1000',
    settlement_refund_fee: '400',
    success_time: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/) as string,
  });
});

it('a payment notice is signed, not encrypted', async () => {
  const merchant = await wechat.merchant();
  const order = `P${Date.now()}`;
  const prepaid = await wechat.post('/pay/unifiedorder', merchant, {
    body: 'tea',
    out_trade_no: order,
    total_fee: '1',
    spbill_create_ip: '127.0.0.1',
    notify_url: url,
    trade_type: 'JSAPI',
    openid: 'oPayer',
  });
  expect(prepaid.fields).toMatchObject({ result_code: 'SUCCESS', trade_type: 'JSAPI' });
  await wechat.set('/payments', { mch_id: merchant.mch_id, out_trade_no: order });
  await until(() => receiver.bodies.length > 0, 'a notice came');
  const fields = readFlat(receiver.bodies[0] ?? '');
  expect(fields).toMatchObject({ out_trade_no: order, total_fee: '1', openid: 'oPayer', result_code: 'SUCCESS' });
  expect(fields['sign']).toBe(signOf(fields, merchant.api_v2_key));
});

it('a notice that is not acknowledged comes again after 15 s, 15 s, 30 s, 3 m … 6 h, 15 times, 24 h 4 m in all', async () => {
  // Written out from protocol.md 4.4.
  const waitsSeconds = [15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600];
  expect(waitsSeconds.reduce((sum, seconds) => sum + seconds)).toBe(24 * 3600 + 4 * 60);
  receiver.acknowledges = false;
  const number = await refunded(await wechat.merchant());
  const sent = async (): Promise<number> =>
    (await wechat.ledger('acks')).filter((row) => row['out_refund_no'] === number).length;
  await wechat.set(`/refunds/${number}/state`, { state: 'SUCCESS' });
  for (const [place, seconds] of waitsSeconds.entries()) {
    await until(async () => (await sent()) === place + 1, `delivery ${place + 1}`);
    await wechat.set('/clock', { advance_s: seconds - 2 });
    await sleep(60);
    expect([`before the end of wait ${place + 1}`, await sent()]).toEqual([
      `before the end of wait ${place + 1}`,
      place + 1,
    ]);
    await wechat.set('/clock', { advance_s: 2 });
  }
  await until(async () => (await sent()) === 16, 'the last delivery');
  await wechat.set('/clock', { advance_s: 7 * 86_400 });
  await sleep(60);
  expect(await sent()).toBe(16);
});

it('an acknowledged notice does not come again', async () => {
  const number = await refunded(await wechat.merchant());
  await wechat.set(`/refunds/${number}/state`, { state: 'SUCCESS' });
  await until(() => receiver.bodies.length > 0, 'a notice came');
  await wechat.set('/clock', { advance_s: 86_400 });
  await sleep(60);
  expect(receiver.bodies).toHaveLength(1);
});

it.each(['wrong_key', 'wrong_amount', 'other_merchant', 'splice', 'unknown_refund', 'truncated', 'status:LOST'])(
  'the forgery %s differs from the good notice in what its name says',
  async (forge) => {
    const [merchant, another] = [await wechat.merchant(), await wechat.merchant()];
    const number = await refunded(merchant);
    await refunded(merchant);
    await wechat.set(`/notices/${number}`, { forge, mch_id: merchant.mch_id });
    const [body = ''] = receiver.bodies;
    const outer = readFlat(body);
    const opened = (): string => openedBy(merchant.api_v2_key, outer['req_info'] ?? '');
    if (forge === 'truncated') return expect(body.endsWith('</xml>')).toBe(false);
    if (forge === 'wrong_key') return expect(opened).toThrow();
    const fields = readFlat(opened());
    const expected: Readonly<Record<string, unknown>> = {
      wrong_amount: { out_refund_no: number, refund_fee: '401' },
      'status:LOST': { out_refund_no: number, refund_status: 'LOST' },
      unknown_refund: { out_refund_no: expect.not.stringMatching(number) as string },
      splice: { out_refund_no: number, refund_status: 'SUCCESS' },
      other_merchant: { out_refund_no: number },
    };
    expect(fields).toMatchObject(expected[forge] as object);
    expect(outer['mch_id'] === merchant.mch_id).toBe(forge !== 'other_merchant');
    expect(another.mch_id).not.toBe(merchant.mch_id);
  },
);
