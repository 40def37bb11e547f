import type { ValueTransformer } from 'typeorm';
import { assert } from '../common/assert.js';

/** int8 comes as text: a number when it is a safe integer, else a broken invariant. */
export const int8: ValueTransformer = {
  from: (text: string | null) => {
    if (text === null) return null;
    const value = Number(text);
    assert(Number.isSafeInteger(value), 'an int8 of ours is a safe integer');
    return value;
  },
  to: (value: number | null) => value,
};
