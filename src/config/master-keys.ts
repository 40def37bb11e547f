import { Secret } from '../common/secret.js';
import type { EnvFault } from './env.js';

const KEY_BYTES = 32;
/** Fewer different bytes than this in 32 is no random key. */
const DIFFERENT_BYTES_MIN = 12;

/** The key ring of MASTER_KEYS with every fault in it. Keys are kept as base64 text inside {@link Secret}. */
export function parseMasterKeys(
  text: string | undefined,
  active: string | undefined,
): { readonly keys: ReadonlyMap<string, Secret>; readonly faults: EnvFault[] } {
  const keys = new Map<string, Secret>();
  const faults: EnvFault[] = [];
  const fault = (message: string): number => faults.push({ name: 'MASTER_KEYS', message });
  const seen = new Set<string>();
  for (const entry of text?.split(',') ?? []) {
    const [kid = '', encoded = ''] = entry.split(/:(.*)/s);
    const bytes = Buffer.from(encoded, 'base64');
    if (keys.has(kid)) fault(`names ${kid} twice`);
    if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== encoded) fault(`${kid} is not 32 bytes of base64`);
    else if (new Set(bytes).size < DIFFERENT_BYTES_MIN) fault(`${kid} is no random key`);
    else if (seen.has(encoded)) fault(`${kid} has the key of another id`);
    seen.add(encoded);
    keys.set(kid, new Secret(encoded));
  }
  if (text !== undefined && active !== undefined && !keys.has(active)) {
    faults.push({ name: 'MASTER_KEY_ACTIVE', message: 'names no key of MASTER_KEYS' });
  }
  return { keys, faults };
}
