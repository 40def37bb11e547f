import type { KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../../common/clock.js';
import { newUuid } from '../../common/ids.js';
import { log } from '../../common/log.js';
import { keysOf, type MerchantAccount } from '../../merchants/merchant-account.js';
import { Connections, type Exchange } from '../connections.js';
import { exchangeOn, nonceOf } from '../exchange-on.js';
import { type PlatformCertificate, platformCertificatesIn, V3_CERTIFICATES } from './certificates.js';
import { signedRequest } from './request.js';
import { isSignedBy, signatureIn } from './signature.js';

/** Serials of certificates; public keys have an id of another form and are never downloaded. */
const CERTIFICATE_SERIAL = /^[0-9A-F]{32,64}$/;
const REFRESH_MS = 12 * 3_600_000;
/** An unknown serial asks WeChat at most this often, however many messages name one. */
const ASK_AGAIN_MS = 60_000;

/** The downloaded certificates of one merchant. Times are monotonic. */
interface Ring {
  certificates: readonly PlatformCertificate[];
  loadedAtMs: number;
  askedAtMs: number;
  loading: Promise<void> | null;
}

/**
 * The keys that WeChat signs with, per merchant and never shared between two: the WeChat Pay public keys an admin put in and the
 * platform certificates downloaded from WeChat, side by side. A certificate is trusted because it opens under the merchant's APIv3
 * key and signed the answer it came in. Source: WeChat Pay APIv3, "下载平台证书", "平台证书切换公钥指引".
 */
@Injectable()
export class PlatformKeys {
  private readonly rings = new Map<string, Ring>();

  constructor(
    private readonly connections: Connections,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** The key with exactly this serial; null when the merchant has none, also after WeChat was asked for its certificates. */
  async find(account: MerchantAccount, serial: string): Promise<KeyObject | null> {
    const own = account.wechatpayPublicKeys.get(serial);
    if (own) return own;
    if (!CERTIFICATE_SERIAL.test(serial)) return null;
    const ring = this.ringOf(account.mchId);
    const known = this.valid(ring, serial);
    if (!known) await this.refresh(account, ring);
    else if (this.clock.monotonicMs() - ring.loadedAtMs > REFRESH_MS) void this.refresh(account, ring);
    return (known ?? this.valid(ring, serial))?.key ?? null;
  }

  /** The key that fields for WeChat's eyes are encrypted for, with its serial; null when the merchant has none. */
  async forEncryption(account: MerchantAccount): Promise<{ readonly serial: string; readonly key: KeyObject } | null> {
    const [own] = account.wechatpayPublicKeys;
    if (own) return { serial: own[0], key: own[1] };
    const ring = this.ringOf(account.mchId);
    if (ring.certificates.length === 0) await this.refresh(account, ring);
    const [newest] = ring.certificates
      .filter(({ serial }) => this.valid(ring, serial))
      .sort((a, b) => b.validFromMs - a.validFromMs);
    return newest ?? null;
  }

  private ringOf(mchId: string): Ring {
    const known = this.rings.get(mchId);
    if (known) return known;
    const made: Ring = { certificates: [], loadedAtMs: -Infinity, askedAtMs: -Infinity, loading: null };
    this.rings.set(mchId, made);
    return made;
  }

  private valid(ring: Ring, serial: string): PlatformCertificate | undefined {
    const nowMs = this.clock.wallMs();
    return ring.certificates.find(
      (entry) => entry.serial === serial && entry.validFromMs <= nowMs && nowMs < entry.validToMs,
    );
  }

  /** One flight for all who wait. Never rejects: without an answer the keys stay as they are. */
  private refresh(account: MerchantAccount, ring: Ring): Promise<void> {
    if (ring.loading) return ring.loading;
    const nowMs = this.clock.monotonicMs();
    if (nowMs - ring.askedAtMs < ASK_AGAIN_MS) return Promise.resolve();
    ring.askedAtMs = nowMs;
    ring.loading = this.load(account)
      .then((certificates) => {
        ring.certificates = certificates;
        ring.loadedAtMs = nowMs;
      })
      .catch((cause: unknown) => log.warn('platform certificates not refreshed', { mchId: account.mchId, cause }))
      .finally(() => (ring.loading = null));
    return ring.loading;
  }

  private async load(account: MerchantAccount): Promise<PlatformCertificate[]> {
    const exchange = await this.download(account);
    const certificates = platformCertificatesIn(exchange.body, keysOf(account.apiV3Key));
    const signed = signatureIn(exchange.headers);
    const key = signed && keyFor(signed.serial, account, certificates);
    if (!signed || !key || !isSignedBy(key, signed, exchange.body))
      throw new Error('the answer is not signed with one of its own keys');
    return certificates;
  }

  private async download(account: MerchantAccount): Promise<Extract<Exchange, { answered: true }>> {
    const request = signedRequest(account, { ...V3_CERTIFICATES, nonce: nonceOf(newUuid()) }, this.clock.wallMs());
    if (!request) throw new Error('the merchant has no API certificate');
    const exchange = await exchangeOn(this.connections.take(account), request);
    if (!exchange.answered) throw new Error(exchange.reason);
    if (exchange.status !== 200) throw new Error(`HTTP ${exchange.status}`);
    return exchange;
  }
}

function keyFor(
  serial: string,
  account: MerchantAccount,
  certificates: readonly PlatformCertificate[],
): KeyObject | undefined {
  return account.wechatpayPublicKeys.get(serial) ?? certificates.find((entry) => entry.serial === serial)?.key;
}
