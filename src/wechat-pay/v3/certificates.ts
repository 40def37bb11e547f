import { type KeyObject, X509Certificate } from 'node:crypto';
import type { Secret } from '../../common/secret.js';
import { memberOf, textOf } from './answers.js';
import { openResource, type SealedResource } from './resource.js';

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
    const x509 = new X509Certificate(opened(memberOf(entry, 'encrypt_certificate'), apiV3Keys));
    return {
      serial: x509.serialNumber.toUpperCase(),
      key: x509.publicKey,
      validFromMs: Date.parse(x509.validFrom),
      validToMs: Date.parse(x509.validTo),
    };
  });
}

function opened(sealed: unknown, keys: readonly Secret[]): string {
  const resource = sealedResource(sealed);
  for (const [place, key] of keys.entries()) {
    try {
      return openResource(key.reveal(), resource);
    } catch (error) {
      if (place === keys.length - 1) throw error;
    }
  }
  throw new Error('there is no APIv3 key');
}

/** The sealed part of a v3 message; what is missing is empty and will not open. */
export function sealedResource(value: unknown): SealedResource {
  return {
    ciphertext: textOf(value, 'ciphertext') ?? '',
    nonce: textOf(value, 'nonce') ?? '',
    associatedData: textOf(value, 'associated_data') ?? '',
  };
}
