import { validateSync } from 'class-validator';

/**
 * True when `members` are an object and fit the rules that the class declares for them; others may stand beside them. Nested objects
 * are asked about by themselves. Members come from a reader that refuses the names which every object inherits.
 */
export function fits<T extends object>(type: new () => T, members: unknown): members is T {
  if (typeof members !== 'object' || members === null || Array.isArray(members)) return false;
  return validateSync(Object.assign(new type(), members)).length === 0;
}
