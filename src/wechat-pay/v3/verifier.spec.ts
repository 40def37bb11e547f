import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Clock } from '../../common/clock.js';
import { systemClock } from '../../common/clock.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { Connections } from '../connections.js';
import { PlatformKeys } from './platform-keys.js';
import { answerMessage, signRsaSha256 } from './signature.js';
import { Verifier } from './verifier.js';

const NOW_S = 1_767_240_306;
const PUB_KEY_ID = 'PUB_KEY_ID_0000000000000000000000000000000001';
const BODY = Buffer.from('{"id":"1"}');
const clock: Clock = { wallMs: () => NOW_S * 1000, monotonicMs: () => systemClock.monotonicMs() };
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const other = generateKeyPairSync('rsa', { modulusLength: 2048 });

const accountWith = (keys: readonly (readonly [string, KeyObject])[]): MerchantAccount =>
  // The verifier reads these fields of an account and no other.
  ({
    mchId: '1900000001',
    wechatpayPublicKeys: new Map(keys),
    apiV3Key: null,
    clientCertificate: null,
  }) as unknown as MerchantAccount;
const account = accountWith([[PUB_KEY_ID, publicKey]]);
// Nothing listens there: no certificate can be downloaded.
const verifier = new Verifier(new PlatformKeys(new Connections(new URL('https://127.0.0.1:1'), clock), clock), clock);

function signed(
  change: Record<string, string | string[] | undefined> = {},
  key = privateKey,
): Record<string, string | string[] | undefined> {
  const timestamp = String(change['wechatpay-timestamp'] ?? NOW_S);
  const signature = signRsaSha256(answerMessage(timestamp, 'nonce', BODY), key);
  return {
    'wechatpay-timestamp': timestamp,
    'wechatpay-nonce': 'nonce',
    'wechatpay-signature': signature,
    'wechatpay-serial': PUB_KEY_ID,
    ...change,
  };
}
const fault = (headers: Record<string, string | string[] | undefined>, body = BODY, of = account) =>
  verifier.faultIn(of, headers, body);

describe('what WeChat signed', () => {
  it('is believed under a key of this merchant with exactly this serial', async () => {
    expect(await fault(signed())).toBeNull();
  });

  it.each([
    ['exactly five minutes old', NOW_S - 300, null],
    ['exactly five minutes ahead', NOW_S + 300, null],
    ['older', NOW_S - 301, 'stale'],
    ['further ahead', NOW_S + 301, 'stale'],
  ])('%s: %s', async (_, at, expected) => {
    expect(await fault(signed({ 'wechatpay-timestamp': String(at) }))).toBe(expected);
  });

  it.each(['', 'NaN', '0x696969', '1767240306.5', '17672403060000000000', ' 1767240306', '-1767240306', '1e9'])(
    'with the timestamp %j has no signature',
    async (timestamp) => {
      expect(await fault({ ...signed(), 'wechatpay-timestamp': timestamp })).toBe('no_signature');
    },
  );

  it.each(['timestamp', 'nonce', 'signature', 'serial'])(
    'without, or with two of, the header %s has no signature',
    async (name) => {
      const headers = signed();
      const value = String(headers[`wechatpay-${name}`]);
      expect(await fault({ ...headers, [`wechatpay-${name}`]: undefined })).toBe('no_signature');
      expect(await fault({ ...headers, [`wechatpay-${name}`]: [value, value] })).toBe('no_signature');
      expect(await fault({ ...headers, [`wechatpay-${name}`]: `${value}, ${value}` })).toBe('no_signature');
    },
  );

  it.each([
    ['one more blank at its end', Buffer.from(`${BODY.toString()} `)],
    ['a newline at its end', Buffer.from(`${BODY.toString()}\n`)],
    ['a blank inside', Buffer.from('{"id": "1"}')],
    ['nothing', Buffer.alloc(0)],
  ])('over another body does not verify: %s', async (_, body) => {
    expect(await fault(signed(), body)).toBe('bad_signature');
  });

  it('by another key does not verify, and is never tried with the keys of others', async () => {
    expect(await fault(signed({}, other.privateKey))).toBe('bad_signature');
    expect(await fault(signed(), BODY, accountWith([[PUB_KEY_ID, other.publicKey]]))).toBe('bad_signature');
    expect(await fault(signed(), BODY, accountWith([]))).toBe('unknown_serial');
  });

  it('under a public key id or a certificate nobody has is unknown', async () => {
    expect(await fault(signed({ 'wechatpay-serial': `${PUB_KEY_ID}2` }))).toBe('unknown_serial');
    expect(await fault(signed({ 'wechatpay-serial': '4'.repeat(40) }))).toBe('unknown_serial');
  });

  it('as a probe is told apart, and refused all the same', async () => {
    expect(await fault(signed({ 'wechatpay-signature': `WECHATPAY/SIGNTEST/${'A'.repeat(300)}` }))).toBe(
      'signtest_probe',
    );
  });

  it('with a signature that is no base64 does not verify', async () => {
    for (const signature of ['!!!', 'AAAA====', 'A'.repeat(1025)])
      expect(await fault(signed({ 'wechatpay-signature': signature }))).toMatch(/bad_signature|no_signature/);
  });
});
