import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { MerchantDirectory } from '../../merchants/merchant-account.js';
import type {
  ListAnswer,
  PreparedSend,
  QueryAnswer,
  RefundListQuery,
  RefundQuery,
  RefundRequest,
  ShownRefund,
} from '../../refunds/refund-gateway.port.js';
import { fenFromText } from '../../common/fen.js';
import { Connections } from '../connections.js';
import { exchangeOn, nonceOf } from '../exchange-on.js';
import { obstructed, prepareOn } from '../prepared.js';
import { factsOf, judgeQuery, judgeSend, type Reading, readAnswer, shownByQuery } from './answers.js';
import { signedRequest, V2_PATHS } from './client.js';

/** refundquery gives ten records a page; an order has at most 50 refunds, and some room for those of the merchant platform. */
const PAGE_RECORDS = 10;
const PAGES_MAX = 10;
const FUNDS_ACCOUNTS: Readonly<Record<string, string>> = { AVAILABLE: 'REFUND_SOURCE_RECHARGE_FUNDS' };
const MISSING = {
  code: 'credentials_missing',
  message: 'the merchant lacks its APIv2 key or its client certificate',
} as const;

/** Refunds over V2. Decides nothing: it signs, writes, verifies and names what came back. */
@Injectable()
export class V2RefundGateway {
  constructor(
    private readonly merchants: MerchantDirectory,
    private readonly connections: Connections,
  ) {}

  async prepare(request: RefundRequest): Promise<PreparedSend> {
    const account = await this.merchants.byMchId(request.mchId);
    const outgoing = account?.clientCertificate
      ? signedRequest(account, V2_PATHS.refund, refundFields(account, request), nonceOf(request.callId))
      : null;
    if (!account || !outgoing) return obstructed('configuration', MISSING.code, MISSING.message);
    const key = account.apiV2Key?.current.reveal() ?? '';
    return prepareOn(this.connections.take(account), outgoing, (exchange) =>
      judgeSend(readAnswer(exchange, key, account.signType), exchange.durationMs),
    );
  }

  async query(request: RefundQuery): Promise<QueryAnswer> {
    const business = { appid: request.appid, out_refund_no: request.outRefundNo };
    const { reading, durationMs } = await this.ask(request.mchId, business, nonceOf(request.callId));
    return judgeQuery(reading, request.outRefundNo, durationMs);
  }

  async list(request: RefundListQuery): Promise<ListAnswer> {
    const refunds: ShownRefund[] = [];
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const { reading, durationMs } = await this.page(request, page);
      const facts = { ...factsOf(reading, durationMs), refunds };
      const none = page === 0 && reading.kind === 'refusal' && reading.code === 'REFUNDNOTEXIST';
      if (none) return { ...facts, outcome: 'not_found', complete: true };
      if (reading.kind !== 'success') return { ...facts, outcome: 'failed', complete: false };
      const shown = shownByQuery(reading.fields);
      refunds.push(...shown);
      const total = fenFromText(reading.fields.get('total_refund_count')) ?? refunds.length;
      const last = shown.length === 0 || (page + 1) * PAGE_RECORDS >= total;
      if (last) return { ...facts, outcome: 'shown', complete: refunds.length >= total };
    }
    const facts = { code: null, message: 'too many pages', fields: null, durationMs: 0 };
    return { ...facts, outcome: 'failed', complete: false, refunds };
  }

  private page(request: RefundListQuery, page: number): Promise<{ reading: Reading; durationMs: number }> {
    const { mchId, appid, outTradeNo, callId } = request;
    const offset = page === 0 ? null : String(page * PAGE_RECORDS);
    const nonce = page === 0 ? nonceOf(callId) : randomBytes(16).toString('hex');
    return this.ask(mchId, { appid, out_trade_no: outTradeNo, offset }, nonce);
  }

  private async ask(
    mchId: string,
    business: Readonly<Record<string, string | null>>,
    nonce: string,
  ): Promise<{ reading: Reading; durationMs: number }> {
    const account = await this.merchants.byMchId(mchId);
    const outgoing = account && signedRequest(account, V2_PATHS.refundQuery, business, nonce);
    if (!account || !outgoing) return { reading: { kind: 'nothing', ...MISSING }, durationMs: 0 };
    const exchange = await exchangeOn(this.connections.take(account), outgoing);
    const key = account.apiV2Key?.current.reveal() ?? '';
    return { reading: readAnswer(exchange, key, account.signType), durationMs: exchange.durationMs };
  }
}

/** The business parameters: equal for every send of one number. The order is always named by out_trade_no. */
function refundFields(account: MerchantAccount, request: RefundRequest): Record<string, string | null> {
  return {
    appid: request.appid,
    out_trade_no: request.outTradeNo,
    out_refund_no: request.outRefundNo,
    total_fee: String(request.totalFen),
    refund_fee: String(request.refundFen),
    refund_fee_type: 'CNY',
    refund_desc: request.reason,
    refund_account: request.fundsAccount === null ? null : (FUNDS_ACCOUNTS[request.fundsAccount] ?? null),
    notify_url: account.notifyUrls.refund,
  };
}
