/**
 * A condition of a list with one `?` for its value; null stands for a filter that was not given. `always`: an index serves it whatever
 * the value, alone and beside the order of the list.
 */
export type Filter = readonly [condition: string, value: unknown, always?: 'always'];

/** A list's WHERE. */
export interface Where {
  /** Begins the statement. */
  readonly hint: string;
  /** The conditions of the filters that are given; `true` where none is. */
  readonly where: string;
  readonly parameters: unknown[];
}

/** Begins a statement that is planned anew each time: the best index for a frequent value is the worst for a rare one. */
export const PLANNED_BY_VALUES = '/* planned by its values */';

/** WHERE by the filters that are given: no other stands in the statement, so that PostgreSQL plans for those alone. */
export function whereOf(filters: readonly Filter[]): Where {
  const given = filters.filter(([, value]) => value !== null);
  const where = given.map(([condition], place) => condition.replace('?', `$${place + 1}`)).join(' AND ');
  return {
    hint: given.every(([, , always]) => always) ? '' : PLANNED_BY_VALUES,
    where: where === '' ? 'true' : where,
    parameters: given.map(([, value]) => value),
  };
}

/**
 * A condition that always holds, of a column of a JSON list. PostgreSQL takes every such list for 100 rows, and would rather read a table
 * of some thousand rows whole than look up so many; with the condition it expects one row, and looks up whatever the size of the table.
 */
export const fewRows = (column: string): string => `num_nulls(${column}) * 0 = 0`;
