import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority } from '../../../src/simulator/certificates.js';
import { PlatformKeys } from '../../../src/simulator/platform-keys.js';
import { paymentNotice, refundNotice } from '../../../src/simulator/v2/notices.js';
import { type Content, newEvent, paymentContent, refundContent, v3Letter } from '../../../src/simulator/v3/notices.js';
import { signatureHeaders } from '../../../src/simulator/v3/signing.js';
import type { Letter } from '../../../src/simulator/notices.js';
import {
  REFUND_STATES,
  type SimulatedMerchant,
  type SimulatedOrder,
  type SimulatedRefund,
  World,
} from '../../../src/simulator/world.js';

export const MCH_ID = '1900000109';
export const APPID = 'wx00000000000000f1';

/** An authority of its own, of which nothing stays on the disk. */
function authority(): CertificateAuthority {
  const directory = mkdtempSync(join(tmpdir(), 'tuikuan-faults-'));
  try {
    return CertificateAuthority.in(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The simulated WeChat's own world in this process, with one merchant of which the keys are known. */
export class SimulatedWechat {
  readonly world = new World(authority());
  readonly merchant: SimulatedMerchant;

  constructor(mchId = MCH_ID, appid = APPID) {
    this.merchant = {
      mchId,
      apiV2Key: randomBytes(16).toString('hex'),
      apiV3Key: randomBytes(16).toString('hex'),
      appids: new Set([appid]),
      balanceFen: 0,
      revoked: new Set(),
      serial: '',
      apiCertificate: null,
      platform: new PlatformKeys(this.world.platformAuthority, mchId),
      vendorNotifyUrl: null,
      visibilityLagMs: 0,
      settleAfterMs: null,
      muteNotices: true,
      noAuth: false,
    };
    this.world.merchants.set(mchId, this.merchant);
  }

  /** A paid order. */
  order(outTradeNo: string, totalFen: number): SimulatedOrder {
    const [appid = ''] = this.merchant.appids;
    const order: SimulatedOrder = {
      mchId: this.merchant.mchId,
      appid,
      outTradeNo,
      totalFen,
      openid: 'oPayer',
      attach: '',
      notifyUrl: null,
      noticeForm: 'v2',
      prepayId: 'wx1',
      digest: '',
      transactionId: this.world.nextNumber('42'),
      paidAtMs: Date.now() - 3_600_000,
      closed: false,
      lastRefundRequestMs: null,
    };
    this.world.addOrder(order);
    return order;
  }

  refund(
    order: SimulatedOrder,
    outRefundNo: string,
    wish: Pick<SimulatedRefund, 'amountFen' | 'state'>,
  ): SimulatedRefund {
    const now = Date.now();
    const refund: SimulatedRefund = {
      order,
      outRefundNo,
      refundId: this.world.nextNumber('50'),
      amountFen: wish.amountFen,
      notifyUrl: null,
      noticeForm: 'v2',
      source: 'API',
      createdMs: now,
      processingSinceMs: now,
      state: wish.state,
      succeededMs: wish.state === 'SUCCESS' ? now : null,
    };
    this.world.addRefund(refund);
    return refund;
  }

  v2Refund(refund: SimulatedRefund): string {
    return refundNotice(this.world, refund);
  }

  v2Payment(order: SimulatedOrder): string {
    return paymentNotice(this.merchant, order);
  }

  /** A v3 notice as it goes over the wire. */
  v3(content: Content): Letter {
    const letter = v3Letter(this.world, this.merchant, { event: newEvent(this.world), content }, 0);
    if (letter === null) throw new Error('the merchant has an APIv3 key');
    return letter;
  }

  v3Refund(refund: SimulatedRefund): Letter {
    return this.v3(refundContent(refund));
  }

  /** A notice with its sealed bytes, tag included, changed before it was rightly signed. */
  sealedOtherwise(
    refund: SimulatedRefund,
    change: (sealed: Buffer) => Buffer,
  ): { headers: Record<string, string>; body: Buffer } {
    const whole = JSON.parse(this.v3Refund(refund).body) as { resource: { ciphertext: string } };
    const ciphertext = change(Buffer.from(whole.resource.ciphertext, 'base64')).toString('base64');
    return this.signed({ ...whole, resource: { ...whole.resource, ciphertext } });
  }

  /** Any body, rightly signed as a notice of this moment. */
  signed(content: object | string): { headers: Record<string, string>; body: Buffer } {
    const body = typeof content === 'string' ? content : JSON.stringify(content);
    const headers = signatureHeaders(this.merchant.platform.forNotice(), body, this.world.signatureMs());
    return { headers: { 'content-type': 'application/json', ...headers }, body: Buffer.from(body) };
  }

  v3Payment(order: SimulatedOrder): Letter {
    return this.v3(paymentContent(this.world, order));
  }
}

/** V2 notices of as many refunds and payments as said, in every state. */
export function simulatedNotices(count: number): { refunds: string[]; payments: string[]; key: string } {
  const wechat = new SimulatedWechat();
  const orders = Array.from({ length: count }, (_, n) => wechat.order(`T00000${n}`, 1000 + n));
  const refunds = orders.map((order, n) =>
    wechat.v2Refund(
      wechat.refund(order, `R-${n}_${'x'.repeat(n)}`, {
        amountFen: 300 + n,
        state: REFUND_STATES[n % REFUND_STATES.length] ?? 'SUCCESS',
      }),
    ),
  );
  return { refunds, payments: orders.map((order) => wechat.v2Payment(order)), key: wechat.merchant.apiV2Key };
}
