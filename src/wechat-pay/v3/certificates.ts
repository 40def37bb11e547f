import { type KeyObject, X509Certificate } from 'node:crypto';
import type { Secret } from '../../common/secret.js';
import { memberOf } from './answers.js';
import { openWithAny, sealedResource } from './resource.js';

/** The call that gives a merchant's platform certificates; it needs no body. */
export const V3_CERTIFICATES = { method: 'GET', path: '/v3/certificates', body: null } as const;

/** A platform certificate: what WeChat signs with under this serial. */
export interface PlatformCertificate {
  /** Upper-case hex. */
  readonly serial: string;
  readonly key: KeyObject;
  readonly validFromMs: number;
  readonly validToMs: number;
}

/**
 * Opens every certificate of an answer with the first of the APIv3 keys that fits. Throws when the answer lists none, or one does not
 * open or is no certificate. Source: WeChat Pay APIv3, "下载平台证书".
 */
export function platformCertificatesIn(body: Buffer, apiV3Keys: readonly Secret[]): PlatformCertificate[] {
  const data = memberOf(JSON.parse(body.toString('utf8')), 'data');
  if (!Array.isArray(data)) throw new Error('the answer lists no certificates');
  return data.map((entry: unknown) => {
    const x509 = new X509Certificate(openWithAny(apiV3Keys, sealedResource(memberOf(entry, 'encrypt_certificate'))));
    return {
      serial: x509.serialNumber.toUpperCase(),
      key: x509.publicKey,
      validFromMs: Date.parse(x509.validFrom),
      validToMs: Date.parse(x509.validTo),
    };
  });
}
