import { createDecipheriv, createSecretKey } from 'node:crypto';
import type { Secret } from '../../common/secret.js';
import { NoticeUnreadable } from '../notice-unreadable.js';
import { textOf } from './answers.js';

const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** The sealed part of a v3 notice or certificate. */
export interface SealedResource {
  /** base64, the 16-byte tag at its end. */
  readonly ciphertext: string;
  /** 12 characters. */
  readonly nonce: string;
  /** May be empty. */
  readonly associatedData: string;
}

/**
 * Opens an AES-256-GCM resource under the APIv3 key and gives its text. Node accepts shorter tags unless told, so the length is fixed.
 * Throws {@link NoticeUnreadable} when the tag does not match. Source: WeChat Pay APIv3, "解密回调和平台证书".
 */
export function openResource(apiV3Key: string, resource: SealedResource): string {
  const sealed = Buffer.from(resource.ciphertext, 'base64');
  const nonce = Buffer.from(resource.nonce);
  if (sealed.length < TAG_BYTES || nonce.length !== NONCE_BYTES) throw new NoticeUnreadable('not_decryptable');
  try {
    const decipher = createDecipheriv('aes-256-gcm', createSecretKey(apiV3Key, 'utf8'), nonce, {
      authTagLength: TAG_BYTES,
    })
      .setAAD(Buffer.from(resource.associatedData))
      .setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw new NoticeUnreadable('not_decryptable', { cause });
  }
}

/** Opens a resource with the first of the keys that fits, current before previous. Throws {@link NoticeUnreadable} when none does. */
export function openWithAny(apiV3Keys: readonly Secret[], resource: SealedResource): string {
  for (const key of apiV3Keys) {
    try {
      return openResource(key.reveal(), resource);
    } catch (error) {
      if (!(error instanceof NoticeUnreadable)) throw error;
    }
  }
  throw new NoticeUnreadable(apiV3Keys.length === 0 ? 'no_key' : 'not_decryptable');
}

/** The sealed part of a v3 message; what is missing is empty and will not open. */
export function sealedResource(value: unknown): SealedResource {
  return {
    ciphertext: textOf(value, 'ciphertext') ?? '',
    nonce: textOf(value, 'nonce') ?? '',
    associatedData: textOf(value, 'associated_data') ?? '',
  };
}
