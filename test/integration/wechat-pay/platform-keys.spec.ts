import { createCipheriv, createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { runInThisContext } from 'node:vm';
import type { Clock } from '../../../src/common/clock.js';
import { Secret } from '../../../src/common/secret.js';
import type { MerchantAccount } from '../../../src/merchants/merchant-account.js';
import { Connections } from '../../../src/wechat-pay/connections.js';
import { PlatformKeys } from '../../../src/wechat-pay/v3/platform-keys.js';
import { answerMessage, signRsaSha256 } from '../../../src/wechat-pay/v3/signature.js';
import { type MadeCertificate, makeCertificate } from '../../support/certificate.js';

const API_V3_KEY = '3'.repeat(32);
const HOUR_MS = 3_600_000;
const serialOf = ({ certificate }: MadeCertificate): string => new X509Certificate(certificate).serialNumber;
const old = makeCertificate('Tenpay', { serial: `4a${'11'.repeat(19)}` });
const fresh = makeCertificate('Tenpay', { serial: `4b${'22'.repeat(19)}` });
const expired = makeCertificate('Tenpay', { serial: `4c${'33'.repeat(19)}`, fromDays: -20, toDays: -10 });

/** The download of platform certificates as WeChat answers it; `listed` are in it, the last of them signs, under `key` they are sealed. */
class Certificates {
  listed: MadeCertificate[] = [old];
  key = API_V3_KEY;
  signer: MadeCertificate | null = null;
  status = 200;
  asked = 0;
  private readonly server: Server;

  constructor() {
    const own = makeCertificate('localhost');
    this.server = createServer({ key: own.key, cert: own.certificate }, (request, response) => {
      this.asked += 1;
      expect([request.method, request.url]).toEqual(['GET', '/v3/certificates']);
      const body = JSON.stringify({ data: this.listed.map((entry) => this.sealed(entry)) });
      const signer = this.signer ?? this.listed.at(-1) ?? old;
      const timestamp = String(Math.floor(clock.wallMs() / 1000));
      response
        .writeHead(this.status, {
          'wechatpay-timestamp': timestamp,
          'wechatpay-nonce': 'n',
          'wechatpay-signature': signRsaSha256(answerMessage(timestamp, 'n', body), createPrivateKey(signer.key)),
          'wechatpay-serial': serialOf(signer),
        })
        .end(body);
    });
  }

  async start(): Promise<URL> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return new URL(`https://localhost:${(this.server.address() as AddressInfo).port}`);
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private sealed({ certificate }: MadeCertificate): object {
    const cipher = createCipheriv('aes-256-gcm', Buffer.from(this.key), Buffer.from('0123456789ab'), {
      authTagLength: 16,
    });
    cipher.setAAD(Buffer.from('certificate'));
    const text = Buffer.concat([cipher.update(certificate), cipher.final(), cipher.getAuthTag()]).toString('base64');
    const encrypted = {
      algorithm: 'AEAD_AES_256_GCM',
      nonce: '0123456789ab',
      associated_data: 'certificate',
      ciphertext: text,
    };
    return { serial_no: 'unread', encrypt_certificate: encrypted };
  }
}

let passedMs = 0;
const clock: Clock = { wallMs: () => Date.now() + passedMs, monotonicMs: () => performance.now() + passedMs };
const own = makeCertificate('1900000001');
const account = {
  mchId: '1900000001',
  apiV3Key: { current: new Secret(API_V3_KEY), previous: [] },
  wechatpayPublicKeys: new Map(),
  clientCertificate: {
    fingerprint: 'f',
    serial: serialOf(own),
    certificatePem: own.certificate,
    privateKeyPem: new Secret(own.key),
    signingKey: createPrivateKey(own.key),
    validUntil: new Date(),
  },
  // The keys read these fields of an account and no other.
} as unknown as MerchantAccount;

// TLS reads the environment of the process, which jest hides behind a copy; these servers vouch for themselves.
const trustAnyone = (yes: boolean): void =>
  void runInThisContext(`process.env.NODE_TLS_REJECT_UNAUTHORIZED = '${yes ? 0 : 1}'`);

let wechat: Certificates;
let connections: Connections;
let keys: PlatformKeys;
beforeEach(async () => {
  trustAnyone(true);
  passedMs = 0;
  wechat = new Certificates();
  connections = new Connections(await wechat.start(), clock);
  keys = new PlatformKeys(connections, clock);
});
afterEach(() => {
  connections.close();
  wechat.stop();
  trustAnyone(false);
});
const knows = async (made: MadeCertificate): Promise<boolean> => (await keys.find(account, serialOf(made))) !== null;

describe('platform certificates', () => {
  it('are downloaded in one flight for all who wait, and then known', async () => {
    expect(await Promise.all(Array.from({ length: 30 }, () => knows(old)))).toEqual(Array(30).fill(true));
    expect(await knows(old)).toBe(true);
    expect(wechat.asked).toBe(1);
  });

  it('are asked for at most once a minute for a serial that is unknown, which is never trusted', async () => {
    for (let n = 0; n < 5; n += 1) expect(await knows(fresh)).toBe(false);
    expect(wechat.asked).toBe(1);
    passedMs += 61_000;
    wechat.listed = [old, fresh];
    expect([await knows(fresh), await knows(old)]).toEqual([true, true]);
    expect(wechat.asked).toBe(2);
  });

  it('are refreshed after twelve hours, while the known ones go on verifying', async () => {
    expect(await knows(old)).toBe(true);
    passedMs += 12 * HOUR_MS - 1000;
    expect(await knows(old)).toBe(true);
    expect(wechat.asked).toBe(1);
    passedMs += 2000;
    expect(await knows(old)).toBe(true);
    while (wechat.asked < 2) await new Promise((resolve) => setImmediate(resolve));
  });

  it('that have ended, or whose answer is signed by none of them or sealed with another key, are not trusted', async () => {
    wechat.listed = [old, expired];
    wechat.signer = old;
    expect([await knows(old), await knows(expired)]).toEqual([true, false]);
    passedMs += 61_000;
    wechat.listed = [old, fresh];
    wechat.signer = makeCertificate('Somebody', { serial: serialOf(fresh).toLowerCase() });
    expect(await knows(fresh)).toBe(false);
    passedMs += 61_000;
    wechat.signer = null;
    wechat.key = '4'.repeat(32);
    expect([await knows(fresh), await knows(old)]).toEqual([false, true]);
    expect(wechat.asked).toBe(3);
  });

  it('of a merchant that has none are none, and it is asked again no sooner for that', async () => {
    wechat.status = 404;
    expect([await knows(old), await knows(old)]).toEqual([false, false]);
    expect(wechat.asked).toBe(1);
  });

  it('of one merchant are unknown to another', async () => {
    expect(await knows(old)).toBe(true);
    const other = { ...account, mchId: '1900000002', apiV3Key: { current: new Secret('5'.repeat(32)), previous: [] } };
    expect(await keys.find(other, serialOf(old))).toBeNull();
  });
});
