import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** A new key: its text is shown once, its hash is kept. */
export interface NewKeyText {
  readonly text: string;
  readonly secretHash: Buffer;
}

const FORM = /^tk_([0-9a-f]{32})_([0-9A-Za-z_-]{43})_([0-9a-f]{6})$/;

/** `tk_<id>_<secret>_<checksum>`: a fixed prefix and a checksum, so that scanners find leaks; 256 random bits. */
export function newKeyText(uuid: string): NewKeyText {
  const id = uuid.replaceAll('-', '');
  const secret = randomBytes(32).toString('base64url');
  return { text: `tk_${id}_${secret}_${checksum(id, secret)}`, secretHash: hashOf(secret) };
}

/** The id and the secret's hash of a key text; null when it is no key of ours. */
export function readKeyText(text: string): { readonly uuid: string; readonly secretHash: Buffer } | null {
  const match = FORM.exec(text);
  const [, id = '', secret = '', sum = ''] = match ?? [];
  if (!match || checksum(id, secret) !== sum) return null;
  const uuid = `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`;
  return { uuid, secretHash: hashOf(secret) };
}

/** The SHA-256 of a secret. */
export function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** Compares two hashes in constant time. */
export function sameHash(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function checksum(id: string, secret: string): string {
  return hash('sha256', `${id}.${secret}`, 'hex').slice(0, 6);
}
