/** A rule of ours does not hold: a bug, never a caller's fault. The transaction rolls back and the answer is 500. */
export class BrokenInvariant extends Error {
  override readonly name = 'BrokenInvariant';
}

/** Throws {@link BrokenInvariant} with `message` unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new BrokenInvariant(message);
}

/** Ends every switch over a union: reached only when a member was forgotten. */
export function assertNever(value: never): never {
  throw new BrokenInvariant(`unhandled value ${String(value)}`);
}
