import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { CLOCK, type Clock } from '../common/clock.js';
import { Settings } from '../config/settings.js';
import { CREDENTIAL_PROBE } from '../merchants/credential-probe.port.js';
import { MerchantsModule } from '../merchants/merchants.module.js';
import { ORDER_GATEWAY } from '../orders/order-gateway.port.js';
import { REFUND_GATEWAY } from '../refunds/refund-gateway.port.js';
import { Connections } from './connections.js';
import { V2CredentialProbe } from './v2/credential-probe.js';
import { V2OrderGateway } from './v2/order-gateway.js';
import { V2RefundGateway } from './v2/refund-gateway.js';

/** WeChat Pay's protocol behind the ports of merchants, orders and refunds. */
@Global()
@Module({
  imports: [MerchantsModule],
  providers: [
    {
      provide: Connections,
      inject: [Settings, CLOCK],
      useFactory: (settings: Settings, clock: Clock) =>
        new Connections(new URL(settings.wechatpayBaseUrl), () => clock.monotonicMs()),
    },
    { provide: REFUND_GATEWAY, useClass: V2RefundGateway },
    { provide: ORDER_GATEWAY, useClass: V2OrderGateway },
    { provide: CREDENTIAL_PROBE, useClass: V2CredentialProbe },
  ],
  exports: [REFUND_GATEWAY, ORDER_GATEWAY, CREDENTIAL_PROBE],
})
export class WechatPayModule implements OnApplicationShutdown {
  constructor(@Inject(Connections) private readonly connections: Connections) {}

  onApplicationShutdown(): void {
    this.connections.close();
  }
}
