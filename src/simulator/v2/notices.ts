import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import type { Letter } from '../notices.js';
import type { SimulatedMerchant, SimulatedOrder, SimulatedRefund, World } from '../world.js';
import { beijingText, type Fields, signed, writeMessage } from './message.js';
import { paidFields } from './orders.js';

const BLOCK_BYTES = 16;
/** A splice keeps this many blocks of the first notice: its head with the refund's number. */
const SPLICED_BLOCKS = 8;

/** Notices that must not be believed, by name; `status:<STATUS>` is one more. */
export const FORGERIES = [
  'wrong_key',
  'wrong_amount',
  'other_merchant',
  'splice',
  'unknown_refund',
  'truncated',
] as const;

/** AES-256-ECB with padding under the hex of MD5(key); by node:crypto, since the independent library forgets a padding block. */
function seal(text: string, key: string): Buffer {
  const cipher = createCipheriv('aes-256-ecb', createHash('md5').update(key).digest('hex'), null);
  return Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
}

function inner(entry: SimulatedRefund, change: Fields = {}): string {
  const success: Fields = entry.succeededMs === null ? {} : { success_time: beijingText(entry.succeededMs) };
  const fields: Fields = {
    out_refund_no: entry.outRefundNo,
    out_trade_no: entry.order.outTradeNo,
    refund_account: 'REFUND_SOURCE_UNSETTLED_FUNDS',
    refund_fee: String(entry.amountFen),
    refund_id: entry.refundId,
    refund_recv_accout: '支付用户零钱',
    refund_request_source: entry.source,
    refund_status: entry.state,
    settlement_refund_fee: String(entry.amountFen),
    settlement_total_fee: String(entry.order.totalFen),
    ...success,
    total_fee: String(entry.order.totalFen),
    transaction_id: entry.order.transactionId ?? '',
    ...change,
  };
  return writeMessage(fields, 'root');
}

function outer(merchant: SimulatedMerchant, appid: string, sealed: Buffer): string {
  return writeMessage({
    return_code: 'SUCCESS',
    appid,
    mch_id: merchant.mchId,
    nonce_str: randomBytes(16).toString('hex'),
    req_info: sealed.toString('base64'),
  });
}

type Forgery = (world: World, entry: SimulatedRefund, merchant: SimulatedMerchant, argument: string) => string;

const plainNotice = (entry: SimulatedRefund, merchant: SimulatedMerchant, change: Fields = {}): string =>
  outer(merchant, entry.order.appid, seal(inner(entry, change), merchant.apiV2Key));

/** Notices that must not be believed. `status:X` is in this table under `status`. */
const FORGE: Readonly<Record<string, Forgery>> = {
  wrong_key: (_world, entry, merchant) =>
    outer(merchant, entry.order.appid, seal(inner(entry), randomBytes(16).toString('hex'))),
  wrong_amount: (_world, entry, merchant) => {
    const more = String(entry.amountFen + 1);
    return plainNotice(entry, merchant, { refund_fee: more, settlement_refund_fee: more });
  },
  status: (_world, entry, merchant, status) => plainNotice(entry, merchant, { refund_status: status }),
  unknown_refund: (_world, entry, merchant) => {
    const number = (): string => `X${randomBytes(8).toString('hex')}`;
    return plainNotice(entry, merchant, { out_refund_no: number(), out_trade_no: number() });
  },
  truncated: (_world, entry, merchant) => plainNotice(entry, merchant).slice(0, -40),
  other_merchant: (world, entry, merchant) => {
    const other = [...world.merchants.values()].find(({ mchId }) => mchId !== merchant.mchId) ?? merchant;
    return outer(other, entry.order.appid, seal(inner(entry), merchant.apiV2Key));
  },
  splice: (world, entry, merchant) => {
    const other = world.allRefunds().find((one) => one !== entry && one.order.mchId === merchant.mchId) ?? entry;
    const kept = SPLICED_BLOCKS * BLOCK_BYTES;
    const tail = seal(inner(other, { refund_status: 'SUCCESS' }), merchant.apiV2Key).subarray(kept);
    const spliced = Buffer.concat([seal(inner(entry), merchant.apiV2Key).subarray(0, kept), tail]);
    return outer(merchant, entry.order.appid, spliced);
  },
};

/** The body of a refund notice; `forge` makes one that must not be believed. */
export function refundNotice(world: World, entry: SimulatedRefund, forge: string | null = null): string {
  const merchant = world.merchants.get(entry.order.mchId);
  if (!merchant) throw new Error('a refund has its merchant');
  const [kind = '', argument = ''] = (forge ?? '').split(':');
  return FORGE[kind]?.(world, entry, merchant, argument) ?? plainNotice(entry, merchant);
}

/** The body of a payment notice: signed, not encrypted. */
export function paymentNotice(merchant: SimulatedMerchant, order: SimulatedOrder): string {
  const fields = { return_code: 'SUCCESS', result_code: 'SUCCESS', appid: order.appid, mch_id: merchant.mchId };
  return writeMessage(
    signed({ ...fields, sign_type: 'HMAC-SHA256', ...paidFields(order) }, merchant.apiV2Key, 'HMAC-SHA256'),
  );
}

/** A V2 body as it goes over the wire. */
export const v2Letter = (body: string): Letter => ({ form: 'v2', headers: { 'content-type': 'text/xml' }, body });
