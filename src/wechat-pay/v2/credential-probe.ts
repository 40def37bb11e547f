import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { ProbeResult } from '../../merchants/credential-probe.port.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { Connections } from '../connections.js';
import { exchangeOn } from '../exchange-on.js';
import { type Reading, readAnswer } from './answers.js';
import { signedRequest, V2_PATHS } from './client.js';

/** Codes of a signed refusal that lie in our configuration. */
const WRONG = ['SIGNERROR', 'CERT_ERROR', 'NOAUTH', 'APPID_NOT_EXIST', 'MCHID_NOT_EXIST', 'APPID_MCHID_NOT_MATCH'];
const ABOUT_KEY = /签名|sign/i;

/**
 * Tries V2 credentials with calls that cannot move money: a query for, and a refund of, an order that does not exist. A signed
 * "no such order" proves the key, and over the refund call the certificate.
 */
@Injectable()
export class V2CredentialProbe {
  constructor(private readonly connections: Connections) {}

  /** One result per V2 credential of the merchant; its certificate only where the merchant works over V2. */
  async probe(account: MerchantAccount): Promise<readonly ProbeResult[]> {
    const kinds = [
      ...(account.apiV2Key ? ['api_v2_key' as const] : []),
      ...(account.apiVersion === 'v2' && account.clientCertificate ? ['client_certificate' as const] : []),
    ];
    const [appid] = account.appids;
    if (appid === undefined) return kinds.map((kind) => notProven(kind, 'no mini-program is bound to it'));
    if (!account.apiV2Key) return kinds.map((kind) => notProven(kind, 'needs the APIv2 key'));
    const number = `NONE${randomBytes(8).toString('hex')}`;
    const calls = {
      api_v2_key: () => this.ask(account, V2_PATHS.orderQuery, { appid, out_trade_no: number }),
      client_certificate: () => {
        const business = { appid, out_trade_no: number, out_refund_no: number, total_fee: '1', refund_fee: '1' };
        return this.ask(account, V2_PATHS.refund, business);
      },
    };
    const results: ProbeResult[] = [];
    for (const kind of kinds) results.push(resultOf(kind, await calls[kind]()));
    return results;
  }

  private async ask(
    account: MerchantAccount,
    path: string,
    business: Readonly<Record<string, string | null>>,
  ): Promise<Reading> {
    const request = signedRequest(account, path, business, randomBytes(16).toString('hex'));
    if (!request) return { kind: 'nothing', code: null, message: 'no APIv2 key' };
    const exchange = await exchangeOn(this.connections.take(account), request);
    return readAnswer(exchange, account.apiV2Key?.current.reveal() ?? '', account.signType);
  }
}

function notProven(kind: ProbeResult['kind'], message: string): ProbeResult {
  return { kind, result: 'not_proven', wechatCode: null, message };
}

function resultOf(kind: ProbeResult['kind'], reading: Reading): ProbeResult {
  if (reading.kind === 'nothing') {
    const wrongKey = reading.code === 'bad_sign' && kind === 'api_v2_key';
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
