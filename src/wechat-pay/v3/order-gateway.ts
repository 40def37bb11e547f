import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../../common/clock.js';
import { entryOf } from '../../common/entry-of.js';
import { AppError } from '../../common/problem.js';
import { type MerchantAccount, MerchantDirectory } from '../../merchants/merchant-account.js';
import {
  CREDENTIALS_MISSING,
  type OrderCloseAnswer,
  type OrderQuery,
  type OrderQueryAnswer,
  type PaymentParameters,
  type PrepaidOrder,
  type PrepayAnswer,
  type PrepayRequest,
  type ShownPayment,
} from '../../orders/order-gateway.port.js';
import { nonceOf } from '../exchange-on.js';
import { TRADE_STATES } from '../trade-states.js';
import { factsOf, fenOf, memberOf, type Reading, textOf, timeOf } from './answers.js';
import { V3Client } from './client.js';
import { signRsaSha256 } from './signature.js';

const TRANSACTIONS_PATH = '/v3/pay/transactions';

/** Codes of a refused prepay or close, in the spellings WeChat's pages and answers have. */
const ORDER_CODES: Readonly<Record<string, 'paid' | 'closed'>> = {
  ORDERPAID: 'paid',
  ORDER_PAID: 'paid',
  ORDERCLOSED: 'closed',
  ORDER_CLOSED: 'closed',
};
const NOT_FOUND_CODES: readonly string[] = ['ORDER_NOT_EXIST', 'ORDERNOTEXIST', 'RESOURCE_NOT_EXISTS'];

/** Payment orders over API v3. Source: WeChat Pay APIv3, "JSAPI下单", "查询订单", "关闭订单", "小程序调起支付". */
@Injectable()
export class V3OrderGateway {
  constructor(
    private readonly merchants: MerchantDirectory,
    private readonly client: V3Client,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async prepay(request: PrepayRequest): Promise<PrepayAnswer> {
    const account = await this.account(request.mchId);
    if (!account) return { ...CREDENTIALS_MISSING, prepaid: null };
    const body = {
      appid: request.appid,
      mchid: account.mchId,
      description: request.description,
      out_trade_no: request.outTradeNo,
      ...(request.expiresAt && { time_expire: request.expiresAt.toISOString().replace(/\.\d{3}Z$/, '+00:00') }),
      ...(request.attach !== null && { attach: request.attach }),
      notify_url: account.notifyUrls.payment,
      amount: { total: request.amountFen, currency: 'CNY' },
      payer: { openid: request.openid },
      ...(request.payerClientIp !== null && { scene_info: { payer_client_ip: request.payerClientIp } }),
    };
    const call = { method: 'POST', path: `${TRANSACTIONS_PATH}/jsapi`, body, nonce: nonceOf(request.callId) } as const;
    const { reading, durationMs } = await this.client.ask(account, call);
    const facts = { ...factsOf(reading, durationMs), prepaid: null };
    if (reading.kind === 'refusal') return { ...facts, outcome: entryOf(ORDER_CODES, reading.code) ?? 'refused' };
    const prepayId = reading.kind === 'success' ? textOf(reading.body, 'prepay_id') : null;
    if (prepayId === null) return { ...facts, outcome: 'unavailable' };
    return { ...facts, outcome: 'prepaid', prepaid: { prepayId, signType: 'RSA' } };
  }

  /** paySign is RSA over four lines; appId is signed and not handed over. */
  async signPayment({ mchId, appid, prepayId }: PrepaidOrder): Promise<PaymentParameters> {
    const certificate = (await this.merchants.byMchId(mchId))?.clientCertificate;
    if (!certificate)
      throw new AppError('credentials_missing', `Merchant ${mchId} has no API certificate to sign with.`);
    const timeStamp = String(Math.floor(this.clock.wallMs() / 1000));
    const nonceStr = randomBytes(16).toString('hex');
    const packageText = `prepay_id=${prepayId}`;
    const message = payMessage({ appid, timeStamp, nonceStr, packageText });
    const paySign = signRsaSha256(message, certificate.signingKey);
    return { timeStamp, nonceStr, package: packageText, signType: 'RSA', paySign };
  }

  async query(request: OrderQuery): Promise<OrderQueryAnswer> {
    const account = await this.account(request.mchId);
    if (!account) return { ...CREDENTIALS_MISSING, shown: null };
    const path = `${pathOf(request)}?mchid=${account.mchId}`;
    const call = { method: 'GET', path, body: null, nonce: nonceOf(request.callId) } as const;
    const { reading, durationMs } = await this.client.ask(account, call);
    const facts = { ...factsOf(reading, durationMs), shown: null };
    if (isUnknownOrder(reading)) return { ...facts, outcome: 'not_found' };
    if (reading.kind === 'refusal') return { ...facts, outcome: 'refused' };
    const shown = reading.kind === 'success' ? shownTransaction(reading.body) : null;
    return shown ? { ...facts, outcome: 'shown', shown } : { ...facts, outcome: 'unavailable' };
  }

  async close(request: OrderQuery): Promise<OrderCloseAnswer> {
    const account = await this.account(request.mchId);
    if (!account) return CREDENTIALS_MISSING;
    const body = { mchid: account.mchId };
    const call = { method: 'POST', path: `${pathOf(request)}/close`, body, nonce: nonceOf(request.callId) } as const;
    const { reading, durationMs } = await this.client.ask(account, call);
    const facts = factsOf(reading, durationMs);
    if (reading.kind === 'success') return { ...facts, outcome: 'closed' };
    if (isUnknownOrder(reading)) return { ...facts, outcome: 'not_found' };
    if (reading.kind === 'refusal') return { ...facts, outcome: entryOf(ORDER_CODES, reading.code) ?? 'refused' };
    return { ...facts, outcome: 'unavailable' };
  }

  private async account(mchId: string): Promise<MerchantAccount | null> {
    const account = await this.merchants.byMchId(mchId);
    return account?.clientCertificate ? account : null;
  }
}

/** The four lines that paySign of a mini-program covers. Source: WeChat Pay APIv3, "小程序调起支付签名". */
export function payMessage(of: {
  readonly appid: string;
  readonly timeStamp: string;
  readonly nonceStr: string;
  /** `prepay_id=…`. */
  readonly packageText: string;
}): string {
  return `${[of.appid, of.timeStamp, of.nonceStr, of.packageText].join('\n')}\n`;
}

function pathOf({ outTradeNo }: OrderQuery): string {
  return `${TRANSACTIONS_PATH}/out-trade-no/${encodeURIComponent(outTradeNo)}`;
}

function isUnknownOrder(reading: Reading): boolean {
  return reading.kind === 'refusal' && reading.status === 404 && NOT_FOUND_CODES.includes(reading.code);
}

/** The payment that a verified transaction object shows, in answers and notices alike; null for an unknown trade_state or a missing id. */
export function shownTransaction(body: unknown): ShownPayment | null {
  const wechatStatus = textOf(body, 'trade_state');
  const state = entryOf(TRADE_STATES, wechatStatus);
  const [mchId, outTradeNo] = [textOf(body, 'mchid'), textOf(body, 'out_trade_no')];
  if (!state || wechatStatus === null || mchId === null || outTradeNo === null) return null;
  const paid = state.status === 'paid';
  return {
    ...state,
    mchId,
    appid: textOf(body, 'appid'),
    outTradeNo,
    transactionId: paid ? textOf(body, 'transaction_id') : null,
    totalFen: fenOf(memberOf(body, 'amount'), 'total'),
    paidAt: paid ? timeOf(body, 'success_time') : null,
    wechatStatus,
  };
}
