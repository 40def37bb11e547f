import { constants, publicEncrypt } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type MerchantAccount, MerchantDirectory } from '../../merchants/merchant-account.js';
import type {
  PreparedSend,
  QueryAnswer,
  RefundQuery,
  RefundRequest,
  RepairRequest,
  SendAnswer,
} from '../../refunds/refund-gateway.port.js';
import { Connections } from '../connections.js';
import { nonceOf } from '../exchange-on.js';
import { obstructed, prepareOn } from '../prepared.js';
import { factsOf, judgeQuery, judgeSend, shownRefund } from './answers.js';
import { MISSING, V3Client } from './client.js';
import { PlatformKeys } from './platform-keys.js';
import type { V3Call } from './request.js';

const REFUNDS_PATH = '/v3/refund/domestic/refunds';

/** Refunds over API v3. Decides nothing: it signs, writes, verifies and names what came back. */
@Injectable()
export class V3RefundGateway {
  constructor(
    private readonly merchants: MerchantDirectory,
    private readonly connections: Connections,
    private readonly client: V3Client,
    private readonly keys: PlatformKeys,
  ) {}

  async prepare(request: RefundRequest): Promise<PreparedSend> {
    const account = await this.merchants.byMchId(request.mchId);
    const usable = account && (account.wechatpayPublicKeys.size > 0 || account.apiV3Key !== null);
    const outgoing = usable ? this.client.sign(account, refundCall(account, request)) : null;
    if (!account || !outgoing) return obstructed('configuration', MISSING.code, MISSING.message);
    return prepareOn(this.connections.take(account), outgoing, async (exchange) =>
      judgeSend(await this.client.read(account, exchange), account.mchId, exchange.durationMs),
    );
  }

  /** Asks for one refund by its number. */
  async query(request: RefundQuery): Promise<QueryAnswer> {
    const path = `${REFUNDS_PATH}/${encodeURIComponent(request.outRefundNo)}`;
    const call = { method: 'GET', path, body: null, nonce: nonceOf(request.callId) } as const;
    const account = await this.merchants.byMchId(request.mchId);
    const { reading, durationMs } = account
      ? await this.client.ask(account, call)
      : { reading: MISSING, durationMs: 0 };
    return judgeQuery(reading, request.mchId, durationMs);
  }

  /** Asks WeChat to pay an abnormal refund out in another way. The card's fields leave this process encrypted only. */
  async repair(request: RepairRequest): Promise<SendAnswer> {
    const nothing = { shown: null, fields: null, pauseSeconds: 0, durationMs: 0, written: false } as const;
    const account = await this.merchants.byMchId(request.mchId);
    const call = account && (await this.repairCall(account, request));
    if (!account || !call) return { ...nothing, outcome: 'configuration', ...MISSING };
    const { reading, durationMs } = await this.client.ask(account, call);
    const facts = { ...nothing, ...factsOf(reading, durationMs), written: true };
    if (reading.kind === 'refusal') return { ...facts, outcome: 'refused' };
    const shown = reading.kind === 'success' ? shownRefund(reading.body, account.mchId, 'status') : null;
    return shown ? { ...facts, outcome: 'shown', shown } : { ...facts, outcome: 'unknown' };
  }

  private async repairCall(account: MerchantAccount, request: RepairRequest): Promise<V3Call | null> {
    const { refundId, outRefundNo, card } = request;
    const call = {
      method: 'POST',
      path: `${REFUNDS_PATH}/${encodeURIComponent(refundId)}/apply-abnormal-refund`,
      nonce: nonceOf(request.callId),
    } as const;
    if (!card) return { ...call, body: { out_refund_no: outRefundNo, type: 'MERCHANT_BANK_CARD' } };
    const receiver = await this.keys.forEncryption(account);
    if (!receiver) return null;
    // RSAES-OAEP with SHA-1, as the guide and the official libraries have it (protocol.md 6.4).
    const encrypted = (text: string): string =>
      publicEncrypt(
        { key: receiver.key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
        Buffer.from(text),
      ).toString('base64');
    return {
      ...call,
      encryptedFor: receiver.serial,
      body: {
        out_refund_no: outRefundNo,
        type: 'USER_BANK_CARD',
        bank_type: card.bankType,
        bank_account: encrypted(card.bankAccount.reveal()),
        real_name: encrypted(card.realName.reveal()),
      },
    };
  }
}

/** The business parameters: equal for every send of one number. The order is always named by out_trade_no. */
function refundCall(account: MerchantAccount, request: RefundRequest): V3Call {
  const { outTradeNo, outRefundNo, reason, fundsAccount, refundFen, totalFen } = request;
  return {
    method: 'POST',
    path: REFUNDS_PATH,
    nonce: nonceOf(request.callId),
    body: {
      out_trade_no: outTradeNo,
      out_refund_no: outRefundNo,
      ...(reason !== null && { reason }),
      notify_url: account.notifyUrls.refund,
      ...(fundsAccount !== null && { funds_account: fundsAccount }),
      amount: { refund: refundFen, total: totalFen, currency: 'CNY' },
    },
  };
}
