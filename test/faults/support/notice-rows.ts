import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import type { Door, KnownRefund } from './door.js';

/** A delivery; headers as they go over the wire. */
export interface Delivery {
  readonly body: string | Buffer;
  readonly headers: Readonly<Record<string, string>>;
}
type Make = (door: Door, refund: KnownRefund) => Delivery;

const XML = { 'content-type': 'text/xml' };

/** Seals text as WeChat seals req_info. */
export function sealReqInfo(text: string | Buffer, apiV2Key: string): string {
  const cipher = createCipheriv('aes-256-ecb', createHash('md5').update(apiV2Key).digest('hex'), null);
  return Buffer.concat([cipher.update(text), cipher.final()]).toString('base64');
}

export const REQ_INFO = /(<req_info>(?:<!\[CDATA\[)?)([^\]<]*)/;
const withReqInfo =
  (change: (sealed: string, door: Door) => string): Make =>
  (door, refund) => ({
    body: door.wechat
      .v2Refund(refund.simulated)
      .replace(REQ_INFO, (_, head: string, sealed: string) => head + change(sealed, door)),
    headers: XML,
  });
/** A genuine notice with another field inside, sealed with the right key. */
const withField =
  (name: string, value: string): Make =>
  (door, refund) => {
    const { refundId, outRefundNo, order } = refund.simulated;
    const fields = {
      out_refund_no: outRefundNo,
      out_trade_no: order.outTradeNo,
      refund_fee: '300',
      refund_id: refundId,
      refund_status: 'SUCCESS',
      total_fee: '1300',
      transaction_id: order.transactionId ?? '',
      [name]: value,
    };
    const inner = Object.entries(fields).map(([key, text]) => `<${key}>${text}</${key}>`);
    return withReqInfo((_, { wechat }) => sealReqInfo(`<root>${inner.join('')}</root>`, wechat.merchant.apiV2Key))(
      door,
      refund,
    );
  };
const withHeaders =
  (headers: Readonly<Record<string, string>>): Make =>
  (door, refund) => ({ body: door.wechat.v2Refund(refund.simulated), headers: { ...XML, ...headers } });
const NUMBERS = [
  '0x10',
  '1e3',
  '007',
  '+1',
  '1.0',
  ' 1 ',
  '-1',
  '٣٠٠',
  '３００',
  '',
  '300\u200b',
  '99999999999999',
] as const;

/** Rows X19, X25, X27, X28 of faults.md 2.7, and what of X24 is text but no number: what only the door can be sent. */
export const V2_DOOR_ROWS: readonly (readonly [string, Make])[] = [
  [
    'X19 a charset in the header that is not the declared one',
    (door, refund) => ({
      body: Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>${door.wechat.v2Refund(refund.simulated)}`, 'utf16le'),
      headers: { 'content-type': 'text/xml; charset=utf-8' },
    }),
  ],
  ...NUMBERS.map(
    (number) => [`X25 an amount written ${JSON.stringify(number)}`, withField('refund_fee', number)] as const,
  ),
  ['X24 a bidi override in a number', withField('out_refund_no', 'R1\u202e')],
  ['X24 a zero-width space in a number', withField('out_refund_no', 'R1\u200b')],
  ['X24 full-width digits in an id', withField('transaction_id', '４２００')],
  ...['gzip', 'deflate', 'br', 'identity, gzip'].map(
    (encoding) => [`X27 a body said to be ${encoding}`, withHeaders({ 'content-encoding': encoding })] as const,
  ),
  ['X28 no base64', withReqInfo(() => '%%%%')],
  ['X28 base64 with junk between', withReqInfo((sealed) => `${sealed.slice(0, 8)}!${sealed.slice(8)}`)],
  ['X28 base64url', withReqInfo((sealed) => `-_-_${sealed.slice(4)}`)],
  ['X28 a block and a half', withReqInfo(() => randomBytes(24).toString('base64'))],
  ['X28 nothing', withReqInfo(() => '')],
  ['X28 a megabyte', withReqInfo(() => randomBytes(2 ** 20).toString('base64'))],
  ['X28 junk', withReqInfo(() => randomBytes(512).toString('base64'))],
  ['X28 no XML inside', withReqInfo((_, { wechat }) => sealReqInfo('hello', wechat.merchant.apiV2Key))],
  [
    'X28 bytes inside that are no text',
    withReqInfo((_, { wechat }) => sealReqInfo(randomBytes(600), wechat.merchant.apiV2Key)),
  ],
];

const v3 =
  (change: (headers: Record<string, string>, door: Door) => Record<string, string>): Make =>
  (door, refund) => {
    const { body, headers } = door.wechat.v3Refund(refund.simulated);
    return { body, headers: change({ ...headers }, door) };
  };
const v3Body =
  (change: (body: string) => string): Make =>
  (door, refund) => {
    const { body, headers } = door.wechat.v3Refund(refund.simulated);
    return { body: change(body), headers };
  };
const v3Resource =
  (change: (resource: Record<string, string>) => Record<string, string>): Make =>
  (door, refund) => {
    const whole = JSON.parse(door.wechat.v3Refund(refund.simulated).body) as { resource: Record<string, string> };
    return door.wechat.signed({ ...whole, resource: change(whole.resource) });
  };
const tag = (bytes: (sealed: Buffer) => Buffer): Make =>
  v3Resource((resource) => ({
    ...resource,
    ciphertext: bytes(Buffer.from(resource['ciphertext'] ?? '', 'base64')).toString('base64'),
  }));
const time = (text: (seconds: number) => string): Make =>
  v3((headers) => ({ ...headers, 'Wechatpay-Timestamp': text(Number(headers['Wechatpay-Timestamp'])) }));

/** Rows N13 to N19 of faults.md 2.3: each a genuine v3 notice with one thing wrong. */
export const V3_DOOR_ROWS: readonly (readonly [string, Make])[] = [
  [
    'N13 a wrong signature',
    v3((headers) => ({ ...headers, 'Wechatpay-Signature': randomBytes(256).toString('base64') })),
  ],
  ['N13 an empty signature', v3((headers) => ({ ...headers, 'Wechatpay-Signature': '' }))],
  ['N13 no signature', v3(({ 'Wechatpay-Signature': _, ...headers }) => headers)],
  ['N13 no base64', v3((headers) => ({ ...headers, 'Wechatpay-Signature': '!!!!' }))],
  ['N13 a probe', v3((headers) => ({ ...headers, 'Wechatpay-Signature': `WECHATPAY/SIGNTEST/${'A'.repeat(300)}` }))],
  ['N14 a time 301 s old', time((seconds) => String(seconds - 301))],
  ['N14 a time 301 s ahead', time((seconds) => String(seconds + 301))],
  ['N14 no time', v3(({ 'Wechatpay-Timestamp': _, ...headers }) => headers)],
  ['N14 NaN', time(() => 'NaN')],
  ['N14 a time in hex', time((seconds) => `0x${seconds.toString(16)}`)],
  ['N14 a time with a fraction', time((seconds) => `${seconds}.0`)],
  ['N14 a time of 20 digits', time((seconds) => String(seconds).padEnd(20, '0'))],
  ['N14 a time in milliseconds', time((seconds) => `${seconds}000`)],
  ['N16 one blank more', v3Body((body) => body.replace(':', ': '))],
  ['N16 a line end more', v3Body((body) => `${body}\n`)],
  [
    'N16 its keys in another order',
    v3Body((body) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(body) as object).reverse()))),
  ],
  ['N16 an escape written otherwise', v3Body((body) => body.replace('REFUND', '\\u0052EFUND'))],
  [
    'N17 an unknown serial',
    v3((headers) => ({ ...headers, 'Wechatpay-Serial': '5157F09EFDC096DE15EBE81A47057A7232F1B8E1' })),
  ],
  ['N17 an unknown public key', v3((headers) => ({ ...headers, 'Wechatpay-Serial': `PUB_KEY_ID_${'0'.repeat(34)}` }))],
  [
    'N17 the merchant’s number for a serial',
    v3((headers, { wechat }) => ({ ...headers, 'Wechatpay-Serial': wechat.merchant.mchId })),
  ],
  ...[4, 8, 12, 15].map(
    (bytes) => [`N18 a tag of ${bytes} bytes`, tag((sealed) => sealed.subarray(0, bytes - 16))] as const,
  ),
  ['N18 no tag', tag((sealed) => sealed.subarray(0, -16))],
  ['N18 the tag at the front', tag((sealed) => Buffer.concat([sealed.subarray(-16), sealed.subarray(0, -16)]))],
  ['N18 a tag of zeros', tag((sealed) => Buffer.concat([sealed.subarray(0, -16), Buffer.alloc(16)]))],
  ['N18 nothing but a tag', tag((sealed) => sealed.subarray(-16))],
  ['N18 other associated data', v3Resource((resource) => ({ ...resource, associated_data: 'transaction' }))],
  ['N18 no associated data', v3Resource(({ associated_data: _, ...resource }) => resource)],
  ['N18 a nonce of 11 bytes', v3Resource((resource) => ({ ...resource, nonce: (resource['nonce'] ?? '').slice(1) }))],
  ['N18 a nonce of 13 bytes', v3Resource((resource) => ({ ...resource, nonce: `${resource['nonce']}0` }))],
  ['N18 a nonce of 12 letters in 36 bytes', v3Resource((resource) => ({ ...resource, nonce: '退'.repeat(12) }))],
  ['N18 another algorithm', v3Resource((resource) => ({ ...resource, algorithm: 'AEAD_AES_128_GCM' }))],
  ...['REFUND.CLOSED', 'REFUND.ABNORMAL', 'TRANSACTION.SUCCESS', 'constructor', ''].map(
    (event) =>
      [
        `N19 the event ${JSON.stringify(event)} around a SUCCESS`,
        (door: Door, refund: KnownRefund) =>
          door.wechat.signed({
            ...(JSON.parse(door.wechat.v3Refund(refund.simulated).body) as object),
            event_type: event,
          }),
      ] as const,
  ),
];
