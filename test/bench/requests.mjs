import { createCipheriv, createHash, createPrivateKey, randomBytes, sign } from 'node:crypto';
import { orderHex, outRefundNo, outTradeNo, PAID_FEN, refundHex, REFUND_FEN, transactionId } from './rows.mjs';

/** The bytes of every request of a load; order `n` of `from` … `to` - 1 each, or `count` random ones for reads. */
export const REQUESTS = {
  intake: ({ from, to, apiKey }) =>
    each(from, to, (n) => {
      const body = {
        order: `ord_${orderHex(n)}`,
        amount: REFUND_FEN,
        out_refund_no: outRefundNo(n),
        reason: '商品缺货',
      };
      return http(
        'POST',
        '/v1/refunds',
        { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
        JSON.stringify(body),
      );
    }),
  noticeV2: ({ from, to, merchant }) => {
    const key = createHash('md5').update(merchant.v2Key).digest('hex');
    return each(from, to, (n) =>
      http(
        'POST',
        `/notify/wechat/${merchant.token}/refund`,
        { 'content-type': 'text/xml' },
        v2Notice(merchant, key, n),
      ),
    );
  },
  noticeV3: ({ from, to, merchant }) => {
    const privateKey = createPrivateKey(merchant.privateKeyPem);
    return each(from, to, (n) => {
      const body = v3Notice(merchant, n);
      const headers = { 'content-type': 'application/json', ...signatureOf(body, merchant.serial, privateKey) };
      return http('POST', `/notify/wechat/${merchant.token}/refund`, headers, body);
    });
  },
  get: ({ from, to, count, apiKey }) =>
    each(0, count, (n) =>
      http('GET', `/v1/refunds/re_${refundHex(from + ((n * 7919) % (to - from)))}`, {
        authorization: `Bearer ${apiKey}`,
      }),
    ),
  list: ({ from, to, count, apiKey }) =>
    each(0, count, (n) => {
      const cursor = Buffer.from(`re_${refundHex(from + ((n * 7919) % (to - from)))}`).toString('base64url');
      return http('GET', `/v1/refunds?limit=20&cursor=${cursor}`, { authorization: `Bearer ${apiKey}` });
    }),
};

const each = (from, to, make) => Array.from({ length: to - from }, (_, place) => make(from + place));

function http(method, path, headers, body = '') {
  const all = { host: 'bench', ...headers, ...(body !== '' && { 'content-length': Buffer.byteLength(body) }) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}

const xml = (fields, root) =>
  `<${root}>${Object.entries(fields)
    .map(([name, value]) => `<${name}><![CDATA[${value}]]></${name}>`)
    .join('')}</${root}>`;

function v2Notice({ mchId, appid }, key, n) {
  const inner = {
    out_refund_no: outRefundNo(n),
    out_trade_no: outTradeNo(n),
    refund_account: 'REFUND_SOURCE_UNSETTLED_FUNDS',
    refund_fee: REFUND_FEN,
    refund_id: `50${transactionId(n)}`,
    refund_recv_accout: '支付用户零钱',
    refund_request_source: 'API',
    refund_status: 'SUCCESS',
    settlement_refund_fee: REFUND_FEN,
    settlement_total_fee: PAID_FEN,
    success_time: '2026-01-31 08:00:00',
    total_fee: PAID_FEN,
    transaction_id: transactionId(n),
  };
  const cipher = createCipheriv('aes-256-ecb', key, null);
  const sealed = Buffer.concat([cipher.update(xml(inner, 'root')), cipher.final()]).toString('base64');
  return xml(
    { return_code: 'SUCCESS', appid, mch_id: mchId, nonce_str: randomBytes(8).toString('hex'), req_info: sealed },
    'xml',
  );
}

function v3Notice({ mchId, v3Key }, n) {
  const content = {
    mchid: mchId,
    transaction_id: transactionId(n),
    out_trade_no: outTradeNo(n),
    refund_id: `50${transactionId(n)}`,
    out_refund_no: outRefundNo(n),
    refund_status: 'SUCCESS',
    success_time: '2026-01-31T08:00:00+08:00',
    user_received_account: '支付用户零钱',
    amount: { total: PAID_FEN, refund: REFUND_FEN, payer_total: PAID_FEN, payer_refund: REFUND_FEN },
  };
  const nonce = randomBytes(6).toString('hex');
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(v3Key), Buffer.from(nonce), { authTagLength: 16 }).setAAD(
    Buffer.from('refund'),
  );
  const sealed = Buffer.concat([cipher.update(JSON.stringify(content)), cipher.final(), cipher.getAuthTag()]);
  return JSON.stringify({
    id: `EV-bench-${n}`,
    create_time: '2026-01-31T08:00:01+08:00',
    resource_type: 'encrypt-resource',
    event_type: 'REFUND.SUCCESS',
    summary: '退款成功',
    resource: {
      original_type: 'refund',
      algorithm: 'AEAD_AES_256_GCM',
      ciphertext: sealed.toString('base64'),
      associated_data: 'refund',
      nonce,
    },
  });
}

function signatureOf(body, serial, privateKey) {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const nonce = randomBytes(16).toString('hex');
  const signature = sign('RSA-SHA256', Buffer.from(`${timestamp}\n${nonce}\n${body}\n`), privateKey).toString('base64');
  return {
    'wechatpay-timestamp': timestamp,
    'wechatpay-nonce': nonce,
    'wechatpay-signature': signature,
    'wechatpay-serial': serial,
  };
}
