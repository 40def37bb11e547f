import { Secret } from '../common/secret.js';
import type { EnvFault } from './env.js';

const KEY_BYTES = 32;
/** Fewer different bytes than this in 32 is no random key. */
const DIFFERENT_BYTES_MIN = 12;

/** What is wrong with one key of the ring, by its place and not by its id: the two may stand the wrong way round. Null when nothing is. */
function faultOf(kid: string, encoded: string, before: ReadonlyMap<string, Secret>): string | null {
  const bytes = Buffer.from(encoded, 'base64');
  const place = `entry ${before.size + 1}`;
  if (before.has(kid)) return `${place} has the id of an earlier one`;
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== encoded)
    return `${place} is not an id, a colon and 32 bytes of base64`;
  if (new Set(bytes).size < DIFFERENT_BYTES_MIN) return `${place} is no random key`;
  if ([...before.values()].some((key) => key.reveal() === encoded)) return `${place} has the key of an earlier one`;
  return null;
}

/** The key ring of MASTER_KEYS with every fault in it. Keys are kept as base64 text inside {@link Secret}. */
export function parseMasterKeys(
  text: string | undefined,
  active: string | undefined,
): { readonly keys: ReadonlyMap<string, Secret>; readonly faults: EnvFault[] } {
  const keys = new Map<string, Secret>();
  const faults: EnvFault[] = [];
  if (text === undefined) return { keys, faults };
  for (const entry of text.split(',')) {
    const [kid = '', encoded = ''] = entry.split(/:(.*)/s);
    const message = faultOf(kid, encoded, keys);
    if (message !== null) faults.push({ name: 'MASTER_KEYS', message });
    keys.set(kid, new Secret(encoded));
  }
  if (active !== undefined && !keys.has(active)) {
    faults.push({ name: 'MASTER_KEY_ACTIVE', message: 'names no key of MASTER_KEYS' });
  }
  return { keys, faults };
}
