import type { CredentialKind } from './merchant-account.js';

/** What WeChat's answer to a harmless signed call says of one credential. */
export interface ProbeResult {
  readonly kind: CredentialKind;
  readonly result: 'ok' | 'wrong' | 'not_proven';
  readonly wechatCode: string | null;
  readonly message: string;
}

/** Tries a merchant's credentials at WeChat without moving money; owned by this module, implemented by wechat-pay. Never throws for what WeChat does. */
export interface CredentialProbe {
  probe(mchId: string): Promise<readonly ProbeResult[]>;
}

/** Injection token of the {@link CredentialProbe}. */
export const CREDENTIAL_PROBE = Symbol('CredentialProbe');
