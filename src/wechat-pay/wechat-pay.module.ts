import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { CLOCK, type Clock } from '../common/clock.js';
import { Settings } from '../config/settings.js';
import { CREDENTIAL_PROBE } from '../merchants/credential-probe.port.js';
import { MerchantsModule } from '../merchants/merchants.module.js';
import { ORDER_GATEWAY } from '../orders/order-gateway.port.js';
import { REFUND_GATEWAY } from '../refunds/refund-gateway.port.js';
import { CredentialProbes, OrderGatewayByVersion, RefundGatewayByVersion } from './by-version.js';
import { Connections } from './connections.js';
import { V2CredentialProbe } from './v2/credential-probe.js';
import { V2OrderGateway } from './v2/order-gateway.js';
import { V2RefundGateway } from './v2/refund-gateway.js';
import { V3Client } from './v3/client.js';
import { V3CredentialProbe } from './v3/credential-probe.js';
import { V3OrderGateway } from './v3/order-gateway.js';
import { PlatformKeys } from './v3/platform-keys.js';
import { V3RefundGateway } from './v3/refund-gateway.js';
import { Verifier } from './v3/verifier.js';

/** WeChat Pay's protocol behind the ports of merchants, orders and refunds. */
@Global()
@Module({
  imports: [MerchantsModule],
  providers: [
    {
      provide: Connections,
      inject: [Settings, CLOCK],
      useFactory: (settings: Settings, clock: Clock) => new Connections(new URL(settings.wechatpayBaseUrl), clock),
    },
    V2RefundGateway,
    V2OrderGateway,
    V2CredentialProbe,
    PlatformKeys,
    Verifier,
    V3Client,
    V3RefundGateway,
    V3OrderGateway,
    V3CredentialProbe,
    { provide: REFUND_GATEWAY, useClass: RefundGatewayByVersion },
    { provide: ORDER_GATEWAY, useClass: OrderGatewayByVersion },
    { provide: CREDENTIAL_PROBE, useClass: CredentialProbes },
  ],
  exports: [REFUND_GATEWAY, ORDER_GATEWAY, CREDENTIAL_PROBE, Verifier, Connections],
})
export class WechatPayModule implements OnApplicationShutdown {
  constructor(@Inject(Connections) private readonly connections: Connections) {}

  onApplicationShutdown(): void {
    this.connections.close();
  }
}
