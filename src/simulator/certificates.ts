import { constants, createPublicKey, privateEncrypt, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import forge from 'node-forge';
import { newKey } from './rsa-keys.js';

/** A certificate and its key, PEM. */
export interface PemPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** What a merchant is handed out, as in the merchant platform. */
export interface IssuedCertificate extends PemPair {
  /** Upper-case hex. */
  readonly serial: string;
  /** base64; its password is the merchant number. */
  readonly p12: string;
}

const DAY_MS = 86_400_000;

/** The simulator's own certificate authority: it signs the server's and the merchants' certificates. */
export class CertificateAuthority {
  private constructor(
    private readonly authority: PemPair,
    readonly caPath: string,
  ) {}

  /** The authority kept in `directory`, or a new one that is kept there. */
  static in(directory: string): CertificateAuthority {
    mkdirSync(directory, { recursive: true });
    const caPath = join(directory, 'ca.pem');
    const keyPath = join(directory, 'ca-key.pem');
    if (!existsSync(caPath)) {
      const made = makeCertificate({
        commonName: 'Tuikuan simulator CA',
        validDays: 3650,
        authority: null,
        server: false,
      });
      writeFileSync(caPath, made.certificatePem);
      writeFileSync(keyPath, made.privateKeyPem, { mode: 0o600 });
    }
    const authority = { certificatePem: readFileSync(caPath, 'utf8'), privateKeyPem: readFileSync(keyPath, 'utf8') };
    return new CertificateAuthority(authority, caPath);
  }

  get certificatePem(): string {
    return this.authority.certificatePem;
  }

  /** A server certificate for this machine, and for the name that others call it by. */
  server(host = 'localhost'): PemPair {
    return makeCertificate({ commonName: host, validDays: 365, authority: this.authority, server: true });
  }

  /** A merchant's API certificate; `validDays` may be negative, for one that has expired. */
  issue(mchId: string, validDays: number): IssuedCertificate {
    const pair = makeCertificate({ commonName: mchId, validDays, authority: this.authority, server: false });
    const certificate = forge.pki.certificateFromPem(pair.certificatePem);
    const p12 = forge.pkcs12.toPkcs12Asn1(forge.pki.privateKeyFromPem(pair.privateKeyPem), [certificate], mchId, {
      algorithm: '3des',
    });
    return {
      ...pair,
      serial: certificate.serialNumber.toUpperCase(),
      p12: Buffer.from(forge.asn1.toDer(p12).getBytes(), 'latin1').toString('base64'),
    };
  }
}

/** What a certificate is to say. */
export interface CertificateWish {
  readonly commonName: string;
  readonly organization?: string;
  readonly validDays: number;
  /** Null for the authority itself. */
  readonly authority: PemPair | null;
  readonly server: boolean;
}

/** A fresh key and its certificate. */
export function makeCertificate({ commonName, organization, validDays, authority, server }: CertificateWish): PemPair {
  const key = newKey();
  const privateKey = key.export({ type: 'pkcs1', format: 'pem' }).toString();
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(
    createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
  );
  // 40 digits, positive, as WeChat's are.
  certificate.serialNumber = `4${randomBytes(20).toString('hex').slice(1)}`;
  const end = Date.now() + validDays * DAY_MS;
  certificate.validity.notAfter = new Date(end);
  certificate.validity.notBefore = new Date(Math.min(Date.now(), end) - DAY_MS);
  const subject = [
    ...(organization === undefined ? [] : [{ name: 'organizationName', value: organization }]),
    { name: 'commonName', value: commonName },
  ];
  certificate.setSubject(subject);
  certificate.setIssuer(
    authority ? forge.pki.certificateFromPem(authority.certificatePem).subject.attributes : subject,
  );
  certificate.setExtensions([
    { name: 'basicConstraints', cA: authority === null },
    ...(server
      ? [
          {
            name: 'subjectAltName',
            altNames: [
              { type: 2, value: 'localhost' },
              { type: 2, value: commonName },
              { type: 7, ip: '127.0.0.1' },
            ],
          },
        ]
      : []),
  ]);
  certificate.sign(signerWith(authority?.privateKeyPem ?? privateKey), forge.md.sha256.create());
  return { certificatePem: forge.pki.certificateToPem(certificate), privateKeyPem: privateKey };
}

/** What stands before a SHA-256 digest in a PKCS#1 v1.5 signature (RFC 8017, 9.2). */
const SHA256_DIGEST_INFO = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/** Signs digests as forge's own private keys do; those take thirty times as long, for each merchant of a test. */
function signerWith(privateKeyPem: string): forge.pki.rsa.PrivateKey {
  const key = { key: privateKeyPem, padding: constants.RSA_PKCS1_PADDING };
  const sign = (digest: forge.md.MessageDigest): string => {
    const info = Buffer.concat([SHA256_DIGEST_INFO, Buffer.from(digest.digest().getBytes(), 'latin1')]);
    return privateEncrypt(key, info).toString('latin1');
  };
  return { sign } as forge.pki.rsa.PrivateKey;
}
