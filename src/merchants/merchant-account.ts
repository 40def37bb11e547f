import type { KeyObject } from 'node:crypto';
import type { Secret } from '../common/secret.js';

export const CREDENTIAL_KINDS = ['api_v2_key', 'api_v3_key', 'client_certificate', 'wechatpay_public_key'] as const;
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number];

/** The merchant's API certificate and its key, as the TLS agent and the v3 signer need them. */
export interface ClientCertificate {
  /** SHA-256 of the certificate, hex: names the TLS agent, so a replaced certificate gets a fresh one. */
  readonly fingerprint: string;
  /** Upper-case hex, as WeChat writes serial_no. */
  readonly serial: string;
  readonly certificatePem: string;
  readonly privateKeyPem: Secret;
  /** The same key, ready to sign v3 requests with. */
  readonly signingKey: KeyObject;
  readonly validUntil: Date;
}

/** A symmetric key with the ones before it, newest first, which open notices until their windows are over. */
export interface KeyInTime {
  readonly current: Secret;
  readonly previous: readonly Secret[];
}

/** A merchant with its opened credentials, as of at most 5 s ago. Null where a credential was never given. */
export interface MerchantAccount {
  readonly mchId: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly apiVersion: 'v2' | 'v3';
  readonly signType: 'HMAC-SHA256' | 'MD5';
  readonly refundNotify: 'confirm' | 'apply';
  readonly notifyToken: string;
  /** The mini-programs bound to it. */
  readonly appids: readonly string[];
  /** What WeChat is told to call. */
  readonly notifyUrls: { readonly refund: string; readonly payment: string };
  readonly apiV2Key: KeyInTime | null;
  readonly apiV3Key: KeyInTime | null;
  readonly clientCertificate: ClientCertificate | null;
  /** WeChat Pay public keys by their id: the current one first, then, inside its window, the one before. */
  readonly wechatpayPublicKeys: ReadonlyMap<string, KeyObject>;
}

/** Every key of this kind that may have sealed or signed what just came, the current one first; empty where none was given. */
export function keysOf(key: KeyInTime | null): readonly Secret[] {
  return key ? [key.current, ...key.previous] : [];
}

/** True when the merchant has what its protocol needs for calls that need no TLS certificate: sign, and verify the answer. */
export function canCall(account: MerchantAccount): boolean {
  if (account.apiVersion === 'v2') return account.apiV2Key !== null;
  return account.clientCertificate !== null && (account.wechatpayPublicKeys.size > 0 || account.apiV3Key !== null);
}

/** Finds merchants for the other modules. Misses are null; an answer is never older than 5 s. */
export abstract class MerchantDirectory {
  abstract byMchId(mchId: string): Promise<MerchantAccount | null>;
  abstract byNotifyToken(token: string): Promise<MerchantAccount | null>;
}
