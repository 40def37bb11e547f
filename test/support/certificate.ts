import { generateKeyPairSync } from 'node:crypto';
import forge from 'node-forge';

const DAY_MS = 86_400_000;

/** A certificate and its key, PEM; invented, made for this run. */
export interface MadeCertificate {
  readonly certificate: string;
  readonly key: string;
}

interface CertificateWish {
  readonly fromDays?: number;
  readonly toDays?: number;
  readonly bits?: number;
  readonly issuer?: MadeCertificate;
  /** Hex. */
  readonly serial?: string;
}

/** A certificate from one day to another, counted from now; signed by `issuer`, or by its own key under an invented name. */
export function makeCertificate(
  commonName: string,
  { fromDays = -1, toDays = 365, bits = 2048, issuer, serial = '4a'.repeat(20) }: CertificateWish = {},
): MadeCertificate {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: bits,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = serial;
  certificate.validity.notBefore = new Date(Date.now() + fromDays * DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + toDays * DAY_MS);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  certificate.setIssuer(
    issuer
      ? forge.pki.certificateFromPem(issuer.certificate).subject.attributes
      : [{ name: 'commonName', value: 'invented' }],
  );
  certificate.setExtensions([{ name: 'subjectAltName', altNames: [{ type: 2, value: commonName }] }]);
  certificate.sign(forge.pki.privateKeyFromPem(issuer?.key ?? privateKey), forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(certificate), key: privateKey };
}
