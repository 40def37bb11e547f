import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** The size of every RSA key here, as WeChat's are. */
const RSA_BITS = 2048;
/** One key in the file; another process may be writing the last one. */
const WHOLE_KEY = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/g;

let keptAt: string | null = null;
let ready: string[] = [];

/** From now on the keys kept in this file are given out first, each once, and new ones are kept there; processes may share it. */
export function keepKeysAt(path: string): void {
  keptAt = path;
  ready = existsSync(path) ? (readFileSync(path, 'utf8').match(WHOLE_KEY) ?? []) : [];
}

/** A private key that was given to nobody since {@link keepKeysAt}. Making one takes a processor 0.1 s. */
export function newKey(): KeyObject {
  const pem = ready.shift();
  if (pem !== undefined) return createPrivateKey(pem);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: RSA_BITS });
  if (keptAt !== null)
    appendFileSync(keptAt, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), { mode: 0o600 });
  return privateKey;
}
