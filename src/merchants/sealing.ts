import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { assert } from '../common/assert.js';
import { Secret } from '../common/secret.js';
import { Settings } from '../config/settings.js';

/** What a sealed text belongs to. It is authenticated with the text, so a row moved elsewhere does not open. */
export interface SealContext {
  readonly mchId: string;
  readonly kind: string;
  readonly version: string;
}

/** A sealed text and the id of the master key that wraps its own key. */
export interface Sealed {
  readonly kekId: string;
  readonly sealed: Buffer;
}

const CIPHER = 'aes-256-gcm';
const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const BOX_OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES;

/**
 * Seals secrets at rest: AES-256-GCM under a fresh key per text, which is wrapped under the active master key. Layout: format byte,
 * then box(master key, data key), then box(data key, text); a box is nonce ‖ tag ‖ ciphertext.
 */
@Injectable()
export class Sealer {
  private readonly masterKeys: ReadonlyMap<string, KeyObject>;

  constructor(private readonly settings: Settings) {
    this.masterKeys = new Map(
      [...settings.masterKeys].map(([id, key]) => [id, createSecretKey(key.reveal(), 'base64')]),
    );
  }

  seal(context: SealContext, text: string): Sealed {
    const kekId = this.settings.masterKeyActive;
    const aad = aadOf(context, kekId);
    const fresh = randomBytes(KEY_BYTES + 2 * NONCE_BYTES);
    const dataKey = fresh.subarray(0, KEY_BYTES);
    const wrapped = box(this.masterKey(kekId), fresh.subarray(KEY_BYTES, -NONCE_BYTES), aad, dataKey);
    // As a KeyObject: Node 24 takes four times as long to begin with a key in bytes.
    const inner = box(createSecretKey(dataKey), fresh.subarray(-NONCE_BYTES), aad, Buffer.from(text));
    return { kekId, sealed: Buffer.concat([Buffer.of(FORMAT), ...wrapped, ...inner]) };
  }

  /** Throws for a text of another context, another master key or altered bytes; the message names no content. */
  open(context: SealContext, { kekId, sealed }: Sealed): Secret {
    assert(sealed[0] === FORMAT, 'a sealed text has a known format');
    const aad = aadOf(context, kekId);
    const split = 1 + BOX_OVERHEAD_BYTES + KEY_BYTES;
    const dataKey = unbox(this.masterKey(kekId), aad, sealed.subarray(1, split));
    return new Secret(unbox(createSecretKey(dataKey), aad, sealed.subarray(split)).toString());
  }

  private masterKey(kekId: string): KeyObject {
    const key = this.masterKeys.get(kekId);
    assert(key, `MASTER_KEYS holds the key ${kekId}`);
    return key;
  }
}

function aadOf(context: SealContext, kekId: string): Buffer {
  return Buffer.from(JSON.stringify([FORMAT, context.mchId, context.kind, context.version, kekId]));
}

function box(key: KeyObject, nonce: Buffer, aad: Buffer, plain: Buffer): Buffer[] {
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(aad);
  const body = [cipher.update(plain), cipher.final()];
  return [nonce, cipher.getAuthTag(), ...body];
}

function unbox(key: KeyObject, aad: Buffer, sealed: Buffer): Buffer {
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const tag = sealed.subarray(NONCE_BYTES, BOX_OVERHEAD_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(aad).setAuthTag(tag);
  return Buffer.concat([decipher.update(sealed.subarray(BOX_OVERHEAD_BYTES)), decipher.final()]);
}
