import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../../common/clock.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { PlatformKeys } from './platform-keys.js';
import { isSignedBy, signatureIn, type SignatureFault, type SignedHeaders } from './signature.js';

const WINDOW_MS = 300_000;
const PROBE = 'WECHATPAY/SIGNTEST/';

/** Verifies what WeChat signed for a merchant, answers and notices alike, over the bytes that came and before anything in them is read. */
@Injectable()
export class Verifier {
  constructor(
    private readonly keys: PlatformKeys,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Null when the signature holds: one of each header, a time within five minutes of the process clock, and a key of this merchant
   * with exactly this serial. Source: WeChat Pay APIv3, "验证签名".
   */
  async faultIn(account: MerchantAccount, headers: SignedHeaders, body: Buffer): Promise<SignatureFault | null> {
    const signed = signatureIn(headers);
    if (!signed) return 'no_signature';
    if (Math.abs(this.clock.wallMs() - Number(signed.timestamp) * 1000) > WINDOW_MS) return 'stale';
    if (signed.signature.startsWith(PROBE)) return 'signtest_probe';
    const key = await this.keys.find(account, signed.serial);
    if (!key) return 'unknown_serial';
    return isSignedBy(key, signed, body) ? null : 'bad_signature';
  }
}
