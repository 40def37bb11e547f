import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { type Fields, signOf } from '../../simulator/support/raw-wechat.js';
import type { Json, Merchant, Stack } from './stack.js';

/** A merchant whose APIv2 key the test knows, so that it can write notices that open. */
export interface KeyedMerchant extends Merchant {
  readonly key: string;
}

export async function keyedMerchant(
  stack: Stack,
  wish: { readonly simulator?: Json; readonly service?: Json } = {},
): Promise<KeyedMerchant> {
  const key = randomBytes(16).toString('hex');
  const merchant = await stack.merchant({ ...wish, simulator: { api_v2_key: key, ...wish.simulator } });
  return { ...merchant, key };
}

const written = (fields: Fields, root: string): string =>
  `<${root}>${Object.entries(fields)
    .map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`)
    .join('')}</${root}>`;

/** A refund notice, written out from protocol.md 4 without any code of the service; a field that is undefined is left out. */
export function refundNotice(
  { mchId, appid, key }: KeyedMerchant,
  inner: Fields,
  outer: Readonly<Record<string, string | undefined>> = {},
): string {
  const sealer = createCipheriv('aes-256-ecb', createHash('md5').update(key).digest('hex'), null);
  const sealed = Buffer.concat([sealer.update(written(inner, 'root')), sealer.final()]).toString('base64');
  const fields = { return_code: 'SUCCESS', appid, mch_id: mchId, nonce_str: randomBytes(8).toString('hex'), ...outer };
  const given = Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return written({ ...Object.fromEntries(given), req_info: sealed }, 'xml');
}

/** What stands inside a notice about a refund that WeChat has paid out. */
export function refundFields(refund: Json, order: Json): Fields {
  return {
    out_refund_no: String(refund['out_refund_no']),
    out_trade_no: String(refund['out_trade_no']),
    refund_fee: String(refund['amount']),
    refund_id: String(refund['refund_id']),
    refund_status: 'SUCCESS',
    success_time: '2026-01-31 08:00:00',
    total_fee: String(order['amount']),
    transaction_id: String(order['transaction_id']),
  };
}

/** A payment notice, signed anew each time it is written. */
export function paymentNotice({ mchId, appid, key }: KeyedMerchant, change: Fields): string {
  const fields: Fields = {
    return_code: 'SUCCESS',
    result_code: 'SUCCESS',
    appid,
    mch_id: mchId,
    nonce_str: randomBytes(16).toString('hex'),
    sign_type: 'HMAC-SHA256',
    openid: 'oPayer',
    trade_type: 'JSAPI',
    bank_type: 'OTHERS',
    transaction_id: `4200${BigInt(`0x${randomBytes(9).toString('hex')}`)}`.slice(0, 28),
    time_end: '20260131080000',
    ...change,
  };
  return written({ ...fields, sign: signOf(fields, key) }, 'xml');
}

export const ACKNOWLEDGED =
  '<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>';
export const REFUSED =
  '<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[FAIL]]></return_msg></xml>';

/** Where the merchant's notices go, as a path. */
export async function doorOf(stack: Stack, mchId: string, kind: 'refund' | 'payment'): Promise<string> {
  const { notify_urls: urls } = await stack.ok('GET', `/v1/merchants/${mchId}`);
  return new URL(String((urls as Json)[kind])).pathname;
}

/** Delivers a notice once. */
export async function deliver(stack: Stack, path: string, body: string): Promise<{ status: number; body: string }> {
  const answer = await fetch(`${stack.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'text/xml' },
    body,
  });
  return { status: answer.status, body: await answer.text() };
}

/** The merchant's stored notices, newest first. */
export const stored = async (stack: Stack, mchId: string, kind: 'refund' | 'payment'): Promise<Json[]> =>
  (await stack.ok('GET', `/v1/notifications?mch_id=${mchId}&kind=${kind}&limit=100`))['data'] as Json[];

/** The codes of the incidents reported about an order or refund, by the uuid inside its id. */
export function incidentsOf(stack: Stack, id: unknown): string[] {
  const hex = String(id).split('_')[1] ?? '';
  const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return stack.instances
    .flatMap(({ log }) => log.split('\n'))
    .filter((line) => line.includes(uuid) && line.includes('"incident"'))
    .map((line) => String((JSON.parse(line) as Json)['incident']));
}
