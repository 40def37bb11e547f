import { Aes, Formatter } from 'wechatpay-axios-plugin';
import type { World } from '../world.js';
import { beijingTime, type Json, refuse, type Result } from './answer.js';
import type { V3Request } from './request.js';

const NONCE_LENGTH = 12;

/** What AES-256-GCM made of a text under an APIv3 key, as certificates and notices carry it. Source: protocol.md 6.8. */
export function sealed(plain: string, apiV3Key: string, associatedData: string): Json {
  const nonce = Formatter.nonce(NONCE_LENGTH);
  return {
    algorithm: 'AEAD_AES_256_GCM',
    nonce,
    associated_data: associatedData,
    ciphertext: Aes.AesGcm.encrypt(plain, apiV3Key, nonce, associatedData),
  };
}

/** GET /v3/certificates: those that may sign, oldest first. A merchant on the public key alone has none. Source: protocol.md 6.7. */
export function platformCertificates(_world: World, { merchant }: V3Request): Result {
  const { certificates } = merchant.platform;
  const { apiV3Key } = merchant;
  if (certificates.length === 0)
    return refuse('RESOURCE_NOT_EXISTS', '无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥');
  if (apiV3Key === null) return refuse('INVALID_REQUEST', '未设置APIv3密钥');
  const data = certificates.map((certificate) => ({
    serial_no: certificate.serial,
    effective_time: beijingTime(certificate.effectiveMs),
    expire_time: beijingTime(certificate.expiresMs),
    encrypt_certificate: sealed(certificate.certificatePem, apiV3Key, 'certificate'),
  }));
  return { status: 200, body: { data } };
}
