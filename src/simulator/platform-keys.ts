import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { makeCertificate, type PemPair } from './certificates.js';
import { newKey } from './rsa-keys.js';

const AUTHORITY_DAYS = 3650;
/** Source: protocol.md 6.7, five years. */
const CERTIFICATE_DAYS = 1825;
const ORGANIZATION = 'Tenpay.com';

/** The authority of WeChat's own signing certificates; made when the first one is needed. */
export class PlatformAuthority {
  private pair: PemPair | null = null;

  /** A certificate to sign answers and notices with. */
  issue(): PlatformCertificate {
    this.pair ??= makeCertificate({
      commonName: 'Tenpay.com Root CA',
      organization: ORGANIZATION,
      validDays: AUTHORITY_DAYS,
      authority: null,
      server: false,
    });
    const { certificatePem, privateKeyPem } = makeCertificate({
      commonName: 'Tenpay.com sign',
      organization: ORGANIZATION,
      validDays: CERTIFICATE_DAYS,
      authority: this.pair,
      server: false,
    });
    const { serialNumber, validFrom, validTo } = new X509Certificate(certificatePem);
    return {
      serial: serialNumber.toUpperCase(),
      privateKey: createPrivateKey(privateKeyPem),
      certificatePem,
      effectiveMs: Date.parse(validFrom),
      expiresMs: Date.parse(validTo),
    };
  }
}

/** A key of WeChat and the name that a Wechatpay-Serial header gives it. */
export interface SigningKey {
  readonly serial: string;
  readonly privateKey: KeyObject;
}

/** A signing key in the older kind: inside a certificate that merchants download. */
export interface PlatformCertificate extends SigningKey {
  readonly certificatePem: string;
  readonly effectiveMs: number;
  readonly expiresMs: number;
}

export const KEY_KINDS = ['public_key', 'certificate'] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/**
 * The keys WeChat signs with towards one merchant: the WeChat Pay public key, platform certificates, or both during a switch. Answers
 * follow the request's Wechatpay-Serial, notices the setting. Keys are made when they are first needed. Source: protocol.md 6.7.
 */
export class PlatformKeys {
  publicKeyOn = true;
  certificatesOn = true;
  noticeKind: KeyKind = 'public_key';
  /** Every n-th answer and notice is first sent with a probe for a signature; 0: none is. */
  signtestEvery = 0;
  readonly publicKeyId: string;
  private key: KeyObject | null = null;
  private issued: PlatformCertificate[] = [];
  private readonly sent = { answer: 0, notice: 0 };

  constructor(
    private readonly authority: PlatformAuthority,
    mchId: string,
  ) {
    const digits = BigInt(`0x${randomBytes(8).toString('hex')}`)
      .toString()
      .padStart(22, '0');
    this.publicKeyId = `PUB_KEY_ID_01${mchId}${digits}`;
  }

  /** SPKI, as the merchant platform hands it out. */
  get publicKeyPem(): string {
    return createPublicKey(this.privateKey).export({ type: 'spki', format: 'pem' }).toString();
  }

  /** Those that /v3/certificates lists, oldest first; the last one signs. */
  get certificates(): readonly PlatformCertificate[] {
    if (this.certificatesOn && this.issued.length === 0) this.rotate();
    return this.certificatesOn ? this.issued : [];
  }

  /** A new certificate signs from now on; those before it stay listed until they are retired. */
  rotate(): void {
    this.issued.push(this.authority.issue());
  }

  /** Only the certificate that signs stays listed. */
  retire(): void {
    this.issued = this.issued.slice(-1);
  }

  /** The key that a Wechatpay-Serial names; null when it names none in use. */
  named(serial: string): SigningKey | null {
    if (serial === this.publicKeyId) return this.publicKeyOn ? this.publicSigningKey() : null;
    return this.certificates.find((certificate) => certificate.serial === serial) ?? null;
  }

  /**
   * The key that signs an answer to a request with this Wechatpay-Serial: the public key when that is named, else the certificate that
   * signs now, whichever listed one is named; the public key again where there are no certificates. Null when an unknown key is named.
   */
  forAnswer(serial: string | null): SigningKey | null {
    const named = serial === null ? null : this.named(serial);
    if (serial !== null && (named === null || serial === this.publicKeyId)) return named;
    return this.certificates.at(-1) ?? this.publicSigningKey();
  }

  forNotice(): SigningKey {
    const certificate = this.noticeKind === 'certificate' ? this.certificates.at(-1) : undefined;
    return certificate ?? this.publicSigningKey();
  }

  /** True when this answer, or this first delivery of a notice, is to carry a probe for a signature. */
  probes(what: 'answer' | 'notice'): boolean {
    this.sent[what] += 1;
    return this.signtestEvery > 0 && this.sent[what] % this.signtestEvery === 0;
  }

  private publicSigningKey(): SigningKey {
    return { serial: this.publicKeyId, privateKey: this.privateKey };
  }

  private get privateKey(): KeyObject {
    return (this.key ??= newKey());
  }
}
