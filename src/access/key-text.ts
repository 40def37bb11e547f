import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

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

/** Compares two texts or hashes in constant time, by their SHA-256. */
export function sameSecret(a: string | Buffer, b: string | Buffer): boolean {
  return timingSafeEqual(hashOf(a), hashOf(b));
}

function hashOf(secret: string | Buffer): Buffer {
  return createHash('sha256').update(secret).digest();
}

function checksum(id: string, secret: string): string {
  return createHash('sha256').update(`${id}.${secret}`).digest('hex').slice(0, 6);
}
