import type { RequestRow } from '../ledger.js';
import type { SigningKey } from '../platform-keys.js';
import { rateBroken } from '../rates.js';
import type { SimulatedMerchant, World } from '../world.js';
import { refuse, refuseField, type Refusal, type Result } from './answer.js';
import { type Credentials, NO_CREDENTIALS, signatureRefusal, type SignedRequest } from './authorization.js';
import type { V3Call } from './calls.js';

/** A request as it came in. */
export interface Incoming extends SignedRequest {
  readonly v3: V3Call;
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Null when there is no readable Authorization header. */
  readonly credentials: Credentials | null;
  readonly wechatpaySerial: string | null;
  /** The JSON of the body; undefined when it is none. */
  readonly json: unknown;
  readonly row: RequestRow;
}

/** What is answered, and with which key if it is signed. `business` is false when the gateway refused before the business was asked. */
export interface Verdict {
  readonly result: Result;
  readonly business: boolean;
  readonly signing: { readonly merchant: SimulatedMerchant; readonly key: SigningKey } | null;
}

/**
 * Judges a request in the gateway's order: headers, merchant, signature, the key asked for, then permission and rate of refunds, the form
 * of query and body, business. `work` false stops before anything is carried out.
 */
export function judge(world: World, incoming: Incoming, work: boolean): Verdict {
  const refused = (result: Refusal): Verdict => ({ result, business: false, signing: null });
  const { headers, credentials, wechatpaySerial, v3 } = incoming;
  if (!headers['accept'] || !headers['user-agent']) {
    return refused(refuse('INVALID_REQUEST', 'Http头缺少Accept或User-Agent'));
  }
  if (!credentials) return refused(NO_CREDENTIALS);
  const merchant = world.merchants.get(credentials.mchid);
  if (!merchant) return refused(refuse('MCH_NOT_EXISTS', '商户号不存在'));
  const unsigned = signatureRefusal(world, merchant, credentials, incoming);
  if (unsigned) return refused(unsigned);
  const key = merchant.platform.forAnswer(wechatpaySerial);
  // The text merchants report for an unknown serial.
  if (!key) return refused(refuse('PARAM_ERROR', '平台证书序列号Wechatpay-Serial错误'));
  const refusal = restricted(world, merchant, incoming) ?? malformed(incoming);
  const { path, query, json: body } = incoming;
  const result = refusal ?? (work ? v3.work(world, { merchant, path, query, body, wechatpaySerial }) : NOT_WORKED);
  return { result, business: true, signing: { merchant, key } };
}

const NOT_WORKED = refuse('SYSTEM_ERROR', '系统异常，请稍后重试');

/** Permission and rate, which WeChat keeps for refunds. */
function restricted(world: World, merchant: SimulatedMerchant, { v3, row }: Incoming): Refusal | null {
  if (v3.call !== 'refund') return null;
  if (merchant.noAuth) return refuse('NO_AUTH', '商户无权限');
  return rateBroken(world, merchant.mchId, row) === null ? null : refuse('FREQUENCY_LIMITED', '频率超限');
}

/** What is wrong with the query, or with the body before its properties are looked at. */
function malformed({ v3, query, headers, json }: Incoming): Refusal | null {
  const unknown = [...query.keys()].find((name) => !v3.query.includes(name));
  if (unknown !== undefined) return refuseField(unknown, 'is not documented', 'query');
  if (v3.method === 'GET') return null;
  if (!/^application\/json\b/.test(String(headers['content-type']))) {
    return refuse('INVALID_REQUEST', 'Http头Content-Type应为application/json');
  }
  return json === undefined ? refuse('PARAM_ERROR', '请求体不是合法的JSON') : null;
}
