import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type Json, Stack, unique } from './support/stack.js';
import {
  ACKNOWLEDGED,
  deliver,
  doorOf,
  type KeyedMerchant,
  keyedMerchant,
  paymentNotice,
  refundNotice,
  REFUSED,
} from './support/v2-notices.js';

/** Keys that are replaced, and what still opens under those before. One stack, since its clock is moved. */
let stack: Stack;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());

let counter = 0;
const newMchId = (): string => `17${String(Date.now()).slice(-6)}${String((counter += 1)).padStart(2, '0')}`;
const newKey = (): string => randomBytes(16).toString('hex');
const put = (mchId: string, body: Json): Promise<Json> => stack.ok('PUT', `/v1/merchants/${mchId}/credentials`, body);
const credentials = async (mchId: string): Promise<Json[]> =>
  (await stack.ok('GET', `/v1/merchants/${mchId}`))['credentials'] as Json[];

/** What the door answers to a refund and to a payment notice under a key: the statuses. */
async function opensUnder(merchant: KeyedMerchant, key: string): Promise<number[]> {
  const number = unique();
  const inner = {
    out_refund_no: `R${number}`,
    out_trade_no: `T${number}`,
    refund_fee: '1',
    refund_id: '5000000000000000000000000001',
    refund_status: 'SUCCESS',
    total_fee: '1',
    transaction_id: '4200000000000000000000000001',
  };
  const of = { ...merchant, key };
  const payment = paymentNotice(of, { out_trade_no: `T${number}`, total_fee: '1' });
  const answers = [
    await deliver(stack, await doorOf(stack, merchant.mchId, 'refund'), refundNotice(of, inner)),
    await deliver(stack, await doorOf(stack, merchant.mchId, 'payment'), payment),
  ];
  for (const { status, body } of answers) expect(body).toBe(status === 200 ? ACKNOWLEDGED : REFUSED);
  return answers.map(({ status }) => status);
}

describe('an APIv2 key', () => {
  it.each<[string, (next: readonly [string, string]) => readonly string[]]>([
    ['replaced, and the new one put a second time', ([b]) => [b, b]],
    ['replaced twice', ([b, c]) => [b, c]],
    ['replaced and put back', ([b, c]) => [b, c, b]],
  ])('N12 that was %s still opens notices for 48 hours, and not an hour more', async (_, history) => {
    const merchant = await keyedMerchant(stack);
    const puts = history([newKey(), newKey()]);
    for (const key of puts) await put(merchant.mchId, { api_v2_key: key });
    try {
      const current = puts.at(-1) ?? '';
      for (const key of [merchant.key, ...puts]) expect(await opensUnder(merchant, key)).toEqual([200, 200]);
      expect(await opensUnder(merchant, newKey())).toEqual([401, 401]);
      await stack.shiftClock('47 hours 59 minutes');
      expect(await opensUnder(merchant, merchant.key)).toEqual([200, 200]);
      await stack.shiftClock('48 hours 1 minute');
      // An instance knows a merchant for up to 5 seconds.
      for (const key of [merchant.key, ...puts.filter((one) => one !== current)]) {
        const refused = await stack.eventually(
          () => opensUnder(merchant, key),
          ([status]) => status === 401,
          6,
        );
        expect(refused).toEqual([401, 401]);
      }
      expect(await opensUnder(merchant, current)).toEqual([200, 200]);
      expect((await credentials(merchant.mchId))[0]).not.toHaveProperty('previous_until');
    } finally {
      await stack.shiftClock('0');
    }
  });
});

describe('credentials put a second time', () => {
  it('change nothing of what is shown, neither a key nor a certificate nor a public key', async () => {
    const mchId = newMchId();
    const issued = await stack.control('POST', '/merchants', { mch_id: mchId, appids: [`wx${mchId}`] });
    await stack.ok('POST', '/v1/merchants', { mch_id: mchId, name: 'x', api_version: 'v3' });
    const all = {
      api_v2_key: issued['api_v2_key'],
      api_v3_key: issued['api_v3_key'],
      client_certificate_pem: issued['certificate_pem'],
      client_key_pem: issued['private_key_pem'],
      wechatpay_public_key_id: issued['wechatpay_public_key_id'],
      wechatpay_public_key_pem: issued['wechatpay_public_key_pem'],
    };
    const first = await put(mchId, all);
    expect(first).toHaveLength(4);
    expect(await put(mchId, all)).toEqual(first);
    // The same certificate in its other packing.
    expect(await put(mchId, { client_certificate_p12: issued['certificate_p12'] })).toEqual(first);
    expect(await credentials(mchId)).toEqual(first);
    const { rows } = await stack.database.query('SELECT 1 FROM credential WHERE mch_id = $1', [mchId]);
    expect(rows).toHaveLength(4);
  });
});

describe('a WeChat Pay public key', () => {
  it('put in anew under the same id counts at once, in answers as in calls', async () => {
    const mchId = newMchId();
    const appid = `wx${unique()}`;
    const issued = await stack.control('POST', '/merchants', {
      mch_id: mchId,
      appids: [appid],
      platform_certificates: false,
    });
    await stack.ok('POST', '/v1/merchants', { mch_id: mchId, name: 'x', api_version: 'v3' });
    await stack.ok('POST', '/v1/mini_programs', { appid, name: 'x', mch_ids: [mchId] });
    const wrong = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
    const id = { wechatpay_public_key_id: issued['wechatpay_public_key_id'] };
    await put(mchId, {
      api_v3_key: issued['api_v3_key'],
      client_certificate_pem: issued['certificate_pem'],
      client_key_pem: issued['private_key_pem'],
      ...id,
      wechatpay_public_key_pem: wrong.export({ type: 'spki', format: 'pem' }),
    });
    const wish = { appid, amount: 1, description: 'x', openid: 'o', out_trade_no: `T${unique()}` };
    expect(await stack.api('POST', '/v1/orders', wish)).toMatchObject({
      status: 503,
      body: { code: 'wechat_unavailable' },
    });
    const [before] = (await credentials(mchId)).filter(({ kind }) => kind === 'wechatpay_public_key');
    await put(mchId, { ...id, wechatpay_public_key_pem: issued['wechatpay_public_key_pem'] });
    expect(await stack.api('POST', '/v1/orders', wish)).toMatchObject({ status: 200, body: { status: 'created' } });
    const [after] = (await credentials(mchId)).filter(({ kind }) => kind === 'wechatpay_public_key');
    expect(after).toMatchObject({ serial: before?.['serial'], previous_until: expect.any(String) });
    expect(after?.['fingerprint']).not.toBe(before?.['fingerprint']);
  });
});
