import type { Call } from '../faults.js';
import type { World } from '../world.js';
import { repairRefund } from './abnormal-refunds.js';
import type { Json, Result } from './answer.js';
import { platformCertificates } from './certificates.js';
import { closeTransaction, orderByNumber, orderByTransaction, prepayJsapi } from './orders.js';
import { createRefund, queryRefund } from './refunds.js';
import type { V3Request } from './request.js';

/** The numbers a request speaks of, for the ledger. */
export interface Numbers {
  readonly out_refund_no?: unknown;
  readonly out_trade_no?: unknown;
}

export interface V3Call {
  /** V2's name where V2 has a call for the same purpose. */
  readonly call: Call;
  readonly method: 'GET' | 'POST';
  readonly path: RegExp;
  /** The query parameters it knows. */
  readonly query: readonly string[];
  readonly numbers: (path: readonly string[], body: Json) => Numbers;
  readonly work: (world: World, request: V3Request) => Result;
}

const ofBody = (_path: readonly string[], body: Json): Numbers => body;
const ofTrade = ([out_trade_no]: readonly string[]): Numbers => ({ out_trade_no });

/** The v3 calls of a direct merchant. Source: protocol.md 6.1. */
export const V3_CALLS: readonly V3Call[] = [
  {
    call: 'refund',
    method: 'POST',
    path: /^\/v3\/refund\/domestic\/refunds$/,
    query: [],
    numbers: ofBody,
    work: createRefund,
  },
  {
    call: 'refundquery',
    method: 'GET',
    path: /^\/v3\/refund\/domestic\/refunds\/([^/]+)$/,
    query: [],
    numbers: ([out_refund_no]) => ({ out_refund_no }),
    work: queryRefund,
  },
  {
    call: 'abnormal_refund',
    method: 'POST',
    path: /^\/v3\/refund\/domestic\/refunds\/([^/]+)\/apply-abnormal-refund$/,
    query: [],
    numbers: ofBody,
    work: repairRefund,
  },
  {
    call: 'unifiedorder',
    method: 'POST',
    path: /^\/v3\/pay\/transactions\/jsapi$/,
    query: [],
    numbers: ofBody,
    work: prepayJsapi,
  },
  {
    call: 'orderquery',
    method: 'GET',
    path: /^\/v3\/pay\/transactions\/out-trade-no\/([^/]+)$/,
    query: ['mchid'],
    numbers: ofTrade,
    work: orderByNumber,
  },
  {
    call: 'orderquery',
    method: 'GET',
    path: /^\/v3\/pay\/transactions\/id\/([^/]+)$/,
    query: ['mchid'],
    numbers: () => ({}),
    work: orderByTransaction,
  },
  {
    call: 'closeorder',
    method: 'POST',
    path: /^\/v3\/pay\/transactions\/out-trade-no\/([^/]+)\/close$/,
    query: [],
    numbers: ofTrade,
    work: closeTransaction,
  },
  {
    call: 'certificates',
    method: 'GET',
    path: /^\/v3\/certificates$/,
    query: [],
    numbers: () => ({}),
    work: platformCertificates,
  },
];
