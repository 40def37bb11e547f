import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../../common/clock.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { Connections, type Exchange, type Outgoing } from '../connections.js';
import { exchangeOn } from '../exchange-on.js';
import { readAnswer, type Reading } from './answers.js';
import { signedRequest, type V3Call } from './request.js';
import { Verifier } from './verifier.js';

/** A reading and how long the call took. */
export interface Asked {
  readonly reading: Reading;
  readonly durationMs: number;
}

/** Signs, sends and reads v3 calls; decides nothing. */
@Injectable()
export class V3Client {
  constructor(
    private readonly connections: Connections,
    private readonly verifier: Verifier,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Null without a certificate. */
  sign(account: MerchantAccount, call: V3Call): Outgoing | null {
    return signedRequest(account, call, this.clock.wallMs());
  }

  /** Reads an answer as far as it may be believed. */
  read(account: MerchantAccount, exchange: Exchange): Promise<Reading> {
    return readAnswer(exchange, (headers, body) => this.verifier.faultIn(account, headers, body));
  }

  /** One whole call; never throws for what WeChat or the network does. */
  async ask(account: MerchantAccount, call: V3Call): Promise<Asked> {
    const request = this.sign(account, call);
    if (!request) return { reading: MISSING, durationMs: 0 };
    const exchange = await exchangeOn(this.connections.take(account), request);
    return { reading: await this.read(account, exchange), durationMs: exchange.durationMs };
  }
}

/** Nothing can be asked without a certificate. */
export const MISSING = {
  kind: 'nothing',
  code: 'credentials_missing',
  message: 'the merchant lacks its API certificate, or a key to verify answers with',
} as const satisfies Reading;
