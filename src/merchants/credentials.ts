import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { AppError, type FieldError } from '../common/problem.js';
import type { CredentialKind } from './merchant-account.js';
import { openP12 } from './p12.js';

/** The fields of PUT /v1/merchants/{mch_id}/credentials. */
export interface CredentialsInput {
  readonly api_v2_key?: string;
  readonly api_v3_key?: string;
  readonly client_certificate_p12?: string;
  readonly client_certificate_p12_password?: string;
  readonly client_certificate_pem?: string;
  readonly client_key_pem?: string;
  readonly wechatpay_public_key_id?: string;
  readonly wechatpay_public_key_pem?: string;
}

/** A checked credential. `secret` is sealed; `publicPart` is kept as it is. */
export interface CheckedCredential {
  readonly kind: CredentialKind;
  readonly secret: string;
  readonly publicPart: string | null;
  /** SHA-256, hex; of a key its first 16 digits, enough to compare and useless to guess from. */
  readonly fingerprint: string;
  readonly serial: string | null;
  readonly validUntil: Date | null;
}

const RSA_BITS_MIN = 2048;
const KEY_FORM = /^[\x21-\x7e]{32}$/;

/**
 * Checks what an admin puts in and gives what is to be sealed, one entry per kind named. Throws AppError credentials_invalid with
 * the reason per field, or validation_failed when a pair is incomplete; no reason holds any part of a secret.
 */
export async function checkCredentials(
  mchId: string,
  input: CredentialsInput,
  nowMs: number,
): Promise<CheckedCredential[]> {
  const errors: FieldError[] = [];
  const attempt = async (field: string, check: () => CheckedCredential | Promise<CheckedCredential>) => {
    try {
      return [await check()];
    } catch (error) {
      errors.push({ field, message: error instanceof Error ? error.message : 'not usable' });
      return [];
    }
  };
  const checked: CheckedCredential[] = [];
  for (const kind of ['api_v2_key', 'api_v3_key'] as const) {
    const key = input[kind];
    if (key !== undefined) checked.push(...(await attempt(kind, () => symmetricKey(kind, key))));
  }
  if (input.client_certificate_p12 !== undefined) {
    const { client_certificate_p12: p12, client_certificate_p12_password: password = mchId } = input;
    checked.push(
      ...(await attempt('client_certificate_p12', async () =>
        certificate(await pairOfP12(p12, password), mchId, nowMs),
      )),
    );
  }
  const { client_certificate_pem: certificatePem, client_key_pem: privateKeyPem } = input;
  if (certificatePem !== undefined && privateKeyPem !== undefined) {
    checked.push(
      ...(await attempt('client_certificate_pem', () => certificate({ certificatePem, privateKeyPem }, mchId, nowMs))),
    );
  }
  const { wechatpay_public_key_id: id, wechatpay_public_key_pem: pem } = input;
  if (id !== undefined && pem !== undefined) {
    checked.push(...(await attempt('wechatpay_public_key_pem', () => publicKey(id, pem))));
  }
  if (errors.length > 0) {
    throw new AppError('credentials_invalid', errors.map(({ field, message }) => `${field}: ${message}`).join('; '), {
      errors,
    });
  }
  return checked;
}

function symmetricKey(kind: 'api_v2_key' | 'api_v3_key', key: string): CheckedCredential {
  if (!KEY_FORM.test(key)) throw new Error('must be exactly 32 printable ASCII characters without blanks');
  return { kind, secret: key, publicPart: null, fingerprint: sha256(key).slice(0, 16), serial: null, validUntil: null };
}

interface PemPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

async function pairOfP12(base64: string, password: string): Promise<PemPair> {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length === 0 || bytes.toString('base64') !== base64.replace(/\s/g, '')) throw new Error('is not base64');
  const { certificates, keys } = await openP12(bytes, password);
  const [privateKeyPem] = keys;
  if (privateKeyPem === undefined || keys.length !== 1) throw new Error(`holds ${keys.length} private keys, not one`);
  const own = certificates.find((pem) => new X509Certificate(pem).checkPrivateKey(createPrivateKey(privateKeyPem)));
  if (own === undefined) throw new Error('holds no certificate that fits its private key');
  return { certificatePem: own, privateKeyPem };
}

function certificate(pair: PemPair, mchId: string, nowMs: number): CheckedCredential {
  const x509 = readable('certificate', () => new X509Certificate(pair.certificatePem));
  const key = readable('private key', () => createPrivateKey(pair.privateKeyPem));
  if (!x509.checkPrivateKey(key)) throw new Error('the private key does not fit the certificate');
  if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < RSA_BITS_MIN)
    throw new Error(`must be RSA of ${RSA_BITS_MIN} bits`);
  const owner = /^CN=(.*)$/m.exec(x509.subject)?.[1];
  if (owner !== mchId) throw new Error(`is the certificate of ${owner ?? 'nobody'}, not of merchant ${mchId}`);
  const validUntil = new Date(x509.validTo);
  if (validUntil.getTime() <= nowMs) throw new Error(`expired on ${validUntil.toISOString()}`);
  if (new Date(x509.validFrom).getTime() > nowMs) throw new Error('is not valid yet');
  return {
    kind: 'client_certificate',
    secret: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPart: x509.toString(),
    fingerprint: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
    serial: x509.serialNumber.toUpperCase(),
    validUntil,
  };
}

function publicKey(id: string, pem: string): CheckedCredential {
  if (!/^PUB_KEY_ID_[0-9A-Za-z]{1,64}$/.test(id))
    throw new Error('wechatpay_public_key_id must start with PUB_KEY_ID_');
  const key = readable('public key', () => createPublicKey(pem));
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType !== 'rsa' || bits < RSA_BITS_MIN) throw new Error(`must be RSA of ${RSA_BITS_MIN} bits`);
  const exported = key.export({ type: 'spki', format: 'pem' }).toString();
  const fingerprint = sha256(key.export({ type: 'spki', format: 'der' }));
  return {
    kind: 'wechatpay_public_key',
    secret: exported,
    publicPart: null,
    fingerprint,
    serial: id,
    validUntil: null,
  };
}

function readable<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw new Error(`is no readable ${what}`);
  }
}

function sha256(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
