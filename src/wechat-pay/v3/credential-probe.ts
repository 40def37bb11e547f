import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../../common/clock.js';
import { newUuid } from '../../common/ids.js';
import type { ProbeResult } from '../../merchants/credential-probe.port.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { Connections, type Exchange } from '../connections.js';
import { exchangeOn, nonceOf } from '../exchange-on.js';
import type { Reading } from './answers.js';
import { platformCertificatesIn, V3_CERTIFICATES } from './certificates.js';
import { V3Client } from './client.js';
import { signedRequest } from './request.js';
import { Verifier } from './verifier.js';

/** Answers that mean the signature was taken, whatever else they refuse. */
const SIGNATURE_FAULT_STATUS = 401;

/**
 * Tries v3 credentials with the download of the platform certificates, which moves no money: its answer proves the signature of the
 * request, what is in it opens under the APIv3 key, and it is itself signed with the key that was asked for.
 */
@Injectable()
export class V3CredentialProbe {
  constructor(
    private readonly connections: Connections,
    private readonly client: V3Client,
    private readonly verifier: Verifier,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** One result per v3 credential of the merchant; its certificate only where the merchant works over v3. */
  async probe(account: MerchantAccount): Promise<readonly ProbeResult[]> {
    const kinds = [
      ...(account.apiVersion === 'v3' && account.clientCertificate ? ['client_certificate' as const] : []),
      ...(account.apiV3Key ? ['api_v3_key' as const] : []),
      ...(account.wechatpayPublicKeys.size > 0 ? ['wechatpay_public_key' as const] : []),
    ];
    if (kinds.length === 0) return [];
    const request = signedRequest(account, { ...V3_CERTIFICATES, nonce: nonceOf(newUuid()) }, this.clock.wallMs());
    if (!request) return kinds.map((kind) => notProven(kind, null, 'needs the API certificate'));
    const exchange = await exchangeOn(this.connections.take(account), request);
    const tests = {
      client_certificate: async () => ofCertificate(await this.client.read(account, exchange), exchange),
      api_v3_key: () => Promise.resolve(ofApiV3Key(exchange, account)),
      wechatpay_public_key: () => this.ofPublicKey(exchange, account),
    };
    return Promise.all(kinds.map((kind) => tests[kind]()));
  }

  private async ofPublicKey(exchange: Exchange, account: MerchantAccount): Promise<ProbeResult> {
    const kind = 'wechatpay_public_key';
    const [asked] = account.wechatpayPublicKeys.keys();
    if (!exchange.answered || exchange.headers['wechatpay-serial'] !== asked)
      return notProven(kind, null, 'no answer was signed with it; the first answer to a refund proves it');
    const fault = await this.verifier.faultIn(account, exchange.headers, exchange.body);
    if (fault === null) return { kind, result: 'ok', wechatCode: null, message: 'WeChat’s answer verifies with it' };
    if (fault !== 'bad_signature') return notProven(kind, null, `the answer proves nothing: ${fault}`);
    return {
      kind,
      result: 'wrong',
      wechatCode: null,
      message: 'WeChat’s answer names its id and does not verify with it',
    };
  }
}

function ofCertificate(reading: Reading, exchange: Exchange): ProbeResult {
  const kind = 'client_certificate';
  if (!exchange.answered || exchange.status >= 500)
    return notProven(kind, reading.kind === 'success' ? null : reading.code, 'WeChat gave no usable answer');
  if (reading.kind === 'refusal' && reading.status === SIGNATURE_FAULT_STATUS)
    return { kind, result: 'wrong', wechatCode: reading.code, message: reading.message };
  const wechatCode = reading.kind === 'success' ? null : reading.code;
  return { kind, result: 'ok', wechatCode, message: 'WeChat took the signature' };
}

function ofApiV3Key(exchange: Exchange, { apiV3Key }: MerchantAccount): ProbeResult {
  const kind = 'api_v3_key';
  if (!exchange.answered || exchange.status !== 200 || !apiV3Key)
    return notProven(kind, null, 'WeChat gave no platform certificates to open; the first notice proves it');
  try {
    platformCertificatesIn(exchange.body, [apiV3Key.current]);
    return { kind, result: 'ok', wechatCode: null, message: 'it opens the platform certificates' };
  } catch {
    return { kind, result: 'wrong', wechatCode: null, message: 'it does not open the platform certificates' };
  }
}

function notProven(kind: ProbeResult['kind'], wechatCode: string | null, message: string): ProbeResult {
  return { kind, result: 'not_proven', wechatCode, message };
}
