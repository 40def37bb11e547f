import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { CredentialProbe, ProbeResult } from '../../merchants/credential-probe.port.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { MerchantDirectory } from '../../merchants/merchant-account.js';
import { Connections } from '../connections.js';
import { type Reading, readAnswer } from './answers.js';
import { call, signedRequest, V2_PATHS } from './client.js';

/** Codes of a signed refusal that lie in our configuration. */
const WRONG = ['SIGNERROR', 'CERT_ERROR', 'NOAUTH', 'APPID_NOT_EXIST', 'MCHID_NOT_EXIST', 'APPID_MCHID_NOT_MATCH'];
const ABOUT_KEY = /签名|sign/i;

/**
 * Tries V2 credentials with calls that cannot move money: a query for, and a refund of, an order that does not exist. A signed
 * "no such order" proves the key, and over the refund call the certificate.
 */
@Injectable()
export class V2CredentialProbe implements CredentialProbe {
  constructor(
    private readonly merchants: MerchantDirectory,
    private readonly connections: Connections,
  ) {}

  async probe(mchId: string): Promise<readonly ProbeResult[]> {
    const account = await this.merchants.byMchId(mchId);
    if (!account) return [];
    const [appid] = account.appids;
    if (appid === undefined) return kindsOf(account).map((kind) => notProven(kind, 'no mini-program is bound to it'));
    const number = `NONE${randomBytes(8).toString('hex')}`;
    const results: ProbeResult[] = [];
    if (account.apiV2Key) {
      const reading = await this.ask(account, V2_PATHS.orderQuery, { appid, out_trade_no: number });
      results.push(resultOf('api_v2_key', reading));
    }
    if (account.clientCertificate) {
      const business = { appid, out_trade_no: number, out_refund_no: number, total_fee: '1', refund_fee: '1' };
      const reading = account.apiV2Key ? await this.ask(account, V2_PATHS.refund, business) : null;
      results.push(
        reading ? resultOf('client_certificate', reading) : notProven('client_certificate', 'needs the APIv2 key'),
      );
    }
    if (account.apiV3Key) results.push(notProven('api_v3_key', 'no call of V2 uses it'));
    if (account.wechatpayPublicKeys.size > 0) results.push(notProven('wechatpay_public_key', 'no call of V2 uses it'));
    return results;
  }

  private async ask(
    account: MerchantAccount,
    path: string,
    business: Readonly<Record<string, string | null>>,
  ): Promise<Reading> {
    const request = signedRequest(account, path, business, randomBytes(16).toString('hex'));
    if (!request) return { kind: 'nothing', code: null, message: 'no APIv2 key' };
    const exchange = await call(this.connections.take(account), request);
    return readAnswer(exchange, account.apiV2Key?.current.reveal() ?? '', account.signType);
  }
}

function kindsOf(account: MerchantAccount): ProbeResult['kind'][] {
  return [
    ...(account.apiV2Key ? ['api_v2_key' as const] : []),
    ...(account.apiV3Key ? ['api_v3_key' as const] : []),
    ...(account.clientCertificate ? ['client_certificate' as const] : []),
    ...(account.wechatpayPublicKeys.size > 0 ? ['wechatpay_public_key' as const] : []),
  ];
}

function notProven(kind: ProbeResult['kind'], message: string): ProbeResult {
  return { kind, result: 'not_proven', wechatCode: null, message };
}

function resultOf(kind: ProbeResult['kind'], reading: Reading): ProbeResult {
  if (reading.kind === 'nothing') {
    const wrongKey = reading.code === 'BAD_SIGN' && kind === 'api_v2_key';
    if (!wrongKey) return { kind, result: 'not_proven', wechatCode: reading.code, message: reading.message };
    return { kind, result: 'wrong', wechatCode: reading.code, message: 'the answer is signed with another key' };
  }
  if (reading.kind === 'success') return { kind, result: 'ok', wechatCode: null, message: 'WeChat took it' };
  const { code, message } = reading;
  const wrong = reading.kind === 'turned_away' || WRONG.includes(code);
  if (!wrong) return { kind, result: 'ok', wechatCode: code, message: 'WeChat took it and knows no such order' };
  // A wrong key turns the certificate's call away too, before the certificate is looked at.
  const aboutOther = kind === 'client_certificate' && (code === 'SIGNERROR' || ABOUT_KEY.test(message));
  return { kind, result: aboutOther ? 'not_proven' : 'wrong', wechatCode: code, message };
}
