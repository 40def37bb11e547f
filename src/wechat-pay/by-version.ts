import { Injectable } from '@nestjs/common';
import type { CredentialProbe, ProbeResult } from '../merchants/credential-probe.port.js';
import { MerchantDirectory } from '../merchants/merchant-account.js';
import type {
  OrderCloseAnswer,
  OrderGateway,
  OrderQuery,
  OrderQueryAnswer,
  PaymentParameters,
  PrepaidOrder,
  PrepayAnswer,
  PrepayRequest,
} from '../orders/order-gateway.port.js';
import type {
  ListAnswer,
  PreparedSend,
  QueryAnswer,
  RefundGateway,
  RefundListQuery,
  RefundQuery,
  RefundRequest,
  RepairRequest,
  SendAnswer,
} from '../refunds/refund-gateway.port.js';
import { observe, observed } from './call-observer.js';
import { Connections } from './connections.js';
import { V2CredentialProbe } from './v2/credential-probe.js';
import { V2OrderGateway } from './v2/order-gateway.js';
import { V2RefundGateway } from './v2/refund-gateway.js';
import { V3CredentialProbe } from './v3/credential-probe.js';
import { V3OrderGateway } from './v3/order-gateway.js';
import { V3RefundGateway } from './v3/refund-gateway.js';

/** Refunds over the protocol that each request names. */
@Injectable()
export class RefundGatewayByVersion implements RefundGateway {
  constructor(
    private readonly merchants: MerchantDirectory,
    private readonly connections: Connections,
    private readonly v2: V2RefundGateway,
    private readonly v3: V3RefundGateway,
  ) {}

  async warm(mchId: string, count: number): Promise<number> {
    const account = await this.merchants.byMchId(mchId);
    return account?.clientCertificate ? this.connections.warm(account, count) : 0;
  }

  async prepare(request: RefundRequest): Promise<PreparedSend> {
    const prepared = await (request.apiVersion === 'v2' ? this.v2 : this.v3).prepare(request);
    if (prepared.obstacle) observe('refund', request.mchId, prepared.obstacle);
    return { ...prepared, send: (mayWrite) => observed('refund', request.mchId, prepared.send(mayWrite)) };
  }

  query(request: RefundQuery): Promise<QueryAnswer> {
    const gateway = request.apiVersion === 'v2' ? this.v2 : this.v3;
    return observed('refund_query', request.mchId, gateway.query(request));
  }

  async list(request: RefundListQuery): Promise<ListAnswer> {
    const { mchId } = request;
    if ((await this.merchants.byMchId(mchId))?.apiV2Key) return observed('refund_list', mchId, this.v2.list(request));
    const message = 'only V2 lists the refunds of an order, and the merchant has no APIv2 key';
    return { outcome: 'failed', complete: true, refunds: [], code: null, message, fields: null, durationMs: 0 };
  }

  repair(request: RepairRequest): Promise<SendAnswer> {
    return observed('abnormal_refund', request.mchId, this.v3.repair(request));
  }
}

/** Payment orders over the protocol that each request names. */
@Injectable()
export class OrderGatewayByVersion implements OrderGateway {
  constructor(
    private readonly v2: V2OrderGateway,
    private readonly v3: V3OrderGateway,
  ) {}

  prepay(request: PrepayRequest): Promise<PrepayAnswer> {
    return observed('prepay', request.mchId, this.of(request).prepay(request));
  }

  signPayment(order: PrepaidOrder): Promise<PaymentParameters> {
    return (order.signType === 'RSA' ? this.v3 : this.v2).signPayment(order);
  }

  query(request: OrderQuery): Promise<OrderQueryAnswer> {
    return observed('order_query', request.mchId, this.of(request).query(request));
  }

  close(request: OrderQuery): Promise<OrderCloseAnswer> {
    return observed('order_close', request.mchId, this.of(request).close(request));
  }

  private of({ apiVersion }: { readonly apiVersion: 'v2' | 'v3' }): V2OrderGateway | V3OrderGateway {
    return apiVersion === 'v2' ? this.v2 : this.v3;
  }
}

/** Tries every credential over the protocol that uses it. */
@Injectable()
export class CredentialProbes implements CredentialProbe {
  constructor(
    private readonly merchants: MerchantDirectory,
    private readonly v2: V2CredentialProbe,
    private readonly v3: V3CredentialProbe,
  ) {}

  async probe(mchId: string): Promise<readonly ProbeResult[]> {
    const account = await this.merchants.byMchId(mchId);
    return account ? [...(await this.v2.probe(account)), ...(await this.v3.probe(account))] : [];
  }
}
