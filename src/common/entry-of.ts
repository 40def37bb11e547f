/** The entry of a literal table under a key from outside; undefined on a miss, also for names that every object inherits. */
export function entryOf<T>(table: Readonly<Record<string, T>>, key: string | null | undefined): T | undefined {
  return key !== null && key !== undefined && Object.hasOwn(table, key) ? table[key] : undefined;
}
