import type { ValueTransformer } from 'typeorm';
import { assert } from '../common/assert.js';

/**
 * The one reading of an int8, which pg gives as text: a number, null for null. A value that is no safe integer is a broken
 * invariant in both directions, never rounded.
 */
export const int8 = {
  from: (text: string | null): number | null => {
    if (text === null) return null;
    assert(/^-?[0-9]+$/.test(text), 'an int8 is a safe integer');
    return safe(Number(text));
  },
  to: (value: number | null | undefined): number | null | undefined =>
    typeof value === 'number' ? safe(value) : value,
} satisfies ValueTransformer;

function safe(value: number): number {
  assert(Number.isSafeInteger(value), 'an int8 is a safe integer');
  return value;
}
