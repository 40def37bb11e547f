import { createDecipheriv, createSecretKey, hash } from 'node:crypto';

/** One error for every cause: a wrong key and a broken padding must look the same. */
export class ReqInfoUnreadable extends Error {
  override readonly name = 'ReqInfoUnreadable';

  constructor() {
    super('req_info does not open');
  }
}

/**
 * Opens `req_info` of a V2 refund notice: base64, then AES-256-ECB with PKCS#7 under the lower-case hex of MD5(APIv2 key), taken as
 * 32 ASCII bytes. Returns the bytes inside. ECB proves nothing about who wrote them (faults.md 1.2).
 * Throws {@link ReqInfoUnreadable}. Source: WeChat Pay V2, "退款结果通知".
 */
export function openReqInfo(reqInfo: string, apiV2Key: string): Buffer {
  const sealed = Buffer.from(reqInfo, 'base64');
  if (sealed.toString('base64') !== reqInfo.replace(/[\r\n]/g, '')) throw new ReqInfoUnreadable();
  const key = createSecretKey(hash('md5', apiV2Key, 'hex'), 'latin1');
  try {
    const decipher = createDecipheriv('aes-256-ecb', key, null);
    return Buffer.concat([decipher.update(sealed), decipher.final()]);
  } catch {
    throw new ReqInfoUnreadable();
  }
}
