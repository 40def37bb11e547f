import type { SimulatedMerchant } from '../world.js';

/** A request whose signature held. */
export interface V3Request {
  readonly merchant: SimulatedMerchant;
  /** The variable parts of the path, decoded. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  /** The JSON of the body; undefined without one. */
  readonly body: unknown;
  /** The key that sensitive fields were encrypted with. */
  readonly wechatpaySerial: string | null;
}
