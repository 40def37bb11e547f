import { createCipheriv, createDecipheriv, createHash, createSecretKey, randomBytes, verify } from 'node:crypto';
import { v7 } from 'uuid';

const FIELD = /<(\w+)>(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))<\/\1>/gs;
const WINDOW_MS = 300_000;
const STATUS = { SUCCESS: 'succeeded' };

/** Verifies and opens a notice and gives the row it becomes; throws for anything but a good notice about a refund that succeeded. */
export function openNotice(account, headers, raw, kek) {
  const v3 = raw[0] === 0x7b;
  const opened = v3 ? openV3(account, headers, raw) : openV2(account, raw);
  const id = v7();
  const status = STATUS[opened.wechatStatus];
  if (status === undefined) throw new Error('not the good case');
  const applies = v3 || account.refundNotify === 'apply';
  return {
    id,
    mchId: account.mchId,
    status,
    applies,
    kekId: kek.id,
    content: sealed(kek, account.mchId, id, opened.text),
    ...opened,
  };
}

function flat(text) {
  const inner = text.slice(text.indexOf('>') + 1, text.lastIndexOf('<'));
  const fields = {};
  for (const [, name, cdata, plain] of inner.matchAll(FIELD)) fields[name] = cdata ?? plain;
  return fields;
}

function openV2(account, raw) {
  const outer = flat(raw.toString());
  if (outer.mch_id !== account.mchId || outer.return_code !== 'SUCCESS') throw new Error('another merchant');
  const decipher = createDecipheriv('aes-256-ecb', account.v2Key, null);
  const bytes = Buffer.concat([decipher.update(outer.req_info, 'base64'), decipher.final()]);
  const text = bytes.toString();
  const inner = flat(text);
  return {
    version: 'v2',
    text,
    dedupeKey: createHash('sha256').update(bytes).digest('hex'),
    appid: outer.appid,
    outRefundNo: inner.out_refund_no,
    outTradeNo: inner.out_trade_no,
    transactionId: inner.transaction_id,
    refundId: inner.refund_id,
    refundFen: Number(inner.refund_fee),
    totalFen: Number(inner.total_fee),
    account: inner.refund_recv_accout ?? null,
    succeededAt: `${inner.success_time.replace(' ', 'T')}+08:00`,
    wechatStatus: inner.refund_status,
  };
}

function openV3(account, headers, raw) {
  const { 'wechatpay-timestamp': timestamp, 'wechatpay-nonce': nonce } = headers;
  if (headers['wechatpay-serial'] !== account.serial) throw new Error('another serial');
  if (!(Math.abs(Date.now() - Number(timestamp) * 1000) <= WINDOW_MS)) throw new Error('stale');
  const message = Buffer.concat([Buffer.from(`${timestamp}\n${nonce}\n`), raw, Buffer.from('\n')]);
  const signature = Buffer.from(headers['wechatpay-signature'], 'base64');
  if (!verify('RSA-SHA256', message, account.publicKey, signature)) throw new Error('bad signature');
  const { id, event_type: event, resource } = JSON.parse(raw.toString());
  const bytes = Buffer.from(resource.ciphertext, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', account.v3Key, Buffer.from(resource.nonce), { authTagLength: 16 })
    .setAAD(Buffer.from(resource.associated_data))
    .setAuthTag(bytes.subarray(-16));
  const text = Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString();
  const content = JSON.parse(text);
  if (content.mchid !== account.mchId || event !== `REFUND.${content.refund_status}`) throw new Error('disagrees');
  return {
    version: 'v3',
    text,
    dedupeKey: id,
    appid: null,
    outRefundNo: content.out_refund_no,
    outTradeNo: content.out_trade_no,
    transactionId: content.transaction_id,
    refundId: content.refund_id,
    refundFen: content.amount.refund,
    totalFen: content.amount.total,
    account: content.user_received_account ?? null,
    succeededAt: content.success_time,
    wechatStatus: content.refund_status,
  };
}

/** The content as the service keeps it: under a key of its own, which lies beside it under the master key. Base64. */
function sealed(kek, mchId, id, text) {
  const aad = Buffer.from(JSON.stringify([1, mchId, 'notification', id, kek.id]));
  const dataKey = randomBytes(32);
  return Buffer.concat([
    Buffer.of(1),
    ...box(kek.key, aad, dataKey),
    ...box(createSecretKey(dataKey), aad, text),
  ]).toString('base64');
}

function box(key, aad, plain) {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 }).setAAD(aad);
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return [nonce, cipher.getAuthTag(), body];
}
