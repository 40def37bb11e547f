/** One line of the doctor. */
export interface Check {
  readonly name: string;
  readonly result: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** What to do about it; null when nothing is. */
  readonly todo: string | null;
}

/** Nothing to do. */
export function ok(name: string, message: string): Check {
  return { name, result: 'ok', message, todo: null };
}

/** It works and will not for ever, or only for trying out. */
export function warn(name: string, message: string, todo: string): Check {
  return { name, result: 'warn', message, todo };
}

/** Refunds do not work until it is repaired. */
export function fail(name: string, message: string, todo: string): Check {
  return { name, result: 'fail', message, todo };
}
