import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../../common/clock.js';
import { entryOf } from '../../common/entry-of.js';
import { AppError } from '../../common/problem.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { MerchantDirectory } from '../../merchants/merchant-account.js';
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
import { Connections } from '../connections.js';
import { TRADE_STATES } from '../trade-states.js';
import { exchangeOn, nonceOf } from '../exchange-on.js';
import { factsOf, type Reading, readAnswer } from './answers.js';
import { signedRequest, V2_PATHS } from './client.js';
import { shownPayment } from './notices.js';
import { sign } from './signature.js';
import { toBeijing } from './times.js';

const PREPAY_CODES: Readonly<Record<string, PrepayAnswer['outcome']>> = {
  ORDERPAID: 'paid',
  ORDERCLOSED: 'closed',
  SYSTEMERROR: 'unavailable',
};

const CLOSE_CODES: Readonly<Record<string, OrderCloseAnswer['outcome']>> = {
  ORDERPAID: 'paid',
  ORDERCLOSED: 'closed',
  ORDERNOTEXIST: 'not_found',
  SYSTEMERROR: 'unavailable',
};

/** WeChat shows it in the cashier's risk checks only; a server-side order may not know it. */
const UNKNOWN_ADDRESS = '127.0.0.1';

/** Payment orders over V2. */
@Injectable()
export class V2OrderGateway {
  constructor(
    private readonly merchants: MerchantDirectory,
    private readonly connections: Connections,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async prepay(request: PrepayRequest): Promise<PrepayAnswer> {
    const account = await this.account(request.mchId);
    if (!account) return { ...CREDENTIALS_MISSING, prepaid: null };
    const business = {
      appid: request.appid,
      body: request.description,
      out_trade_no: request.outTradeNo,
      total_fee: String(request.amountFen),
      spbill_create_ip: request.payerClientIp ?? UNKNOWN_ADDRESS,
      notify_url: account.notifyUrls.payment,
      trade_type: 'JSAPI',
      openid: request.openid,
      attach: request.attach,
      time_start: request.expiresAt && toBeijing(request.createdAt),
      time_expire: request.expiresAt && toBeijing(request.expiresAt),
    };
    const { reading, durationMs } = await this.ask(account, V2_PATHS.unifiedOrder, business, request.callId);
    const facts = { ...factsOf(reading, durationMs), prepaid: null };
    if (reading.kind === 'refusal') return { ...facts, outcome: entryOf(PREPAY_CODES, reading.code) ?? 'refused' };
    if (reading.kind === 'turned_away') return { ...facts, outcome: 'refused' };
    const prepayId = reading.kind === 'success' ? reading.fields.get('prepay_id') : undefined;
    if (prepayId === undefined) return { ...facts, outcome: 'unavailable' };
    return { ...facts, outcome: 'prepaid', prepaid: { prepayId, signType: account.signType } };
  }

  async signPayment({ mchId, appid, prepayId, signType }: PrepaidOrder): Promise<PaymentParameters> {
    const account = await this.account(mchId);
    if (!account || signType === 'RSA')
      throw new AppError('credentials_missing', `Merchant ${mchId} has no APIv2 key to sign with.`);
    const parameters = {
      timeStamp: String(Math.floor(this.clock.wallMs() / 1000)),
      nonceStr: randomBytes(16).toString('hex'),
      package: `prepay_id=${prepayId}`,
      signType,
    };
    const signed = new Map(Object.entries({ appId: appid, ...parameters }));
    return { ...parameters, paySign: sign(signed, account.apiV2Key?.current.reveal() ?? '', signType) };
  }

  async query(request: OrderQuery): Promise<OrderQueryAnswer> {
    const account = await this.account(request.mchId);
    if (!account) return { ...CREDENTIALS_MISSING, shown: null };
    const business = { appid: request.appid, out_trade_no: request.outTradeNo };
    const { reading, durationMs } = await this.ask(account, V2_PATHS.orderQuery, business, request.callId);
    const facts = { ...factsOf(reading, durationMs), shown: null };
    if (reading.kind === 'refusal' && reading.code === 'ORDERNOTEXIST') return { ...facts, outcome: 'not_found' };
    if (reading.kind === 'turned_away') return { ...facts, outcome: 'refused' };
    if (reading.kind === 'refusal') {
      return { ...facts, outcome: reading.code === 'SYSTEMERROR' ? 'unavailable' : 'refused' };
    }
    const shown = reading.kind === 'success' ? shownByQuery(reading, request) : null;
    return shown ? { ...facts, outcome: 'shown', shown } : { ...facts, outcome: 'unavailable' };
  }

  async close(request: OrderQuery): Promise<OrderCloseAnswer> {
    const account = await this.account(request.mchId);
    if (!account) return CREDENTIALS_MISSING;
    const business = { appid: request.appid, out_trade_no: request.outTradeNo };
    const { reading, durationMs } = await this.ask(account, V2_PATHS.closeOrder, business, request.callId);
    const facts = factsOf(reading, durationMs);
    if (reading.kind === 'success') return { ...facts, outcome: 'closed' };
    if (reading.kind === 'refusal') return { ...facts, outcome: entryOf(CLOSE_CODES, reading.code) ?? 'refused' };
    return { ...facts, outcome: reading.kind === 'turned_away' ? 'refused' : 'unavailable' };
  }

  private async account(mchId: string): Promise<MerchantAccount | null> {
    const account = await this.merchants.byMchId(mchId);
    return account?.apiV2Key ? account : null;
  }

  private async ask(
    account: MerchantAccount,
    path: string,
    business: Readonly<Record<string, string | null>>,
    callId: string,
  ): Promise<{ reading: Reading; durationMs: number }> {
    const outgoing = signedRequest(account, path, business, nonceOf(callId));
    const key = account.apiV2Key?.current.reveal();
    if (!outgoing || key === undefined)
      return { reading: { kind: 'nothing', code: null, message: 'no key' }, durationMs: 0 };
    const exchange = await exchangeOn(this.connections.take(account), outgoing);
    return { reading: readAnswer(exchange, key, account.signType), durationMs: exchange.durationMs };
  }
}

/** An unknown trade_state proves nothing. Some states leave out the number that was asked for. */
function shownByQuery(reading: Extract<Reading, { kind: 'success' }>, request: OrderQuery): ShownPayment | null {
  const wechatStatus = reading.fields.get('trade_state') ?? '';
  const state = entryOf(TRADE_STATES, wechatStatus);
  if (!state) return null;
  const shown = shownPayment(reading.fields, state.status, state.refunded, wechatStatus);
  return shown.outTradeNo === '' ? { ...shown, outTradeNo: request.outTradeNo } : shown;
}
