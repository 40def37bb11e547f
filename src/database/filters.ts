/** A condition of a list with one `?` for its value; null stands for a filter that was not given. */
export type Filter = readonly [condition: string, value: unknown];

/**
 * WHERE by the filters that are given: no other stands in the statement, so that PostgreSQL plans for those alone, by their values
 * ({@link PLANNED_BY_VALUES}). `true` where none is given.
 */
export function whereOf(filters: readonly Filter[]): { readonly where: string; readonly parameters: unknown[] } {
  const given = filters.filter(([, value]) => value !== null);
  const where = given.map(([condition], place) => condition.replace('?', `$${place + 1}`)).join(' AND ');
  return { where: where === '' ? 'true' : where, parameters: given.map(([, value]) => value) };
}

/** Begins a statement that is planned anew each time: the best index for a frequent value is the worst for a rare one. */
export const PLANNED_BY_VALUES = '/* planned by its values */';
