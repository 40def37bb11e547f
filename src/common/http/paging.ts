import { Matches } from 'class-validator';
import { AppError } from '../problem.js';
import { IsTime, Optional } from './validators.js';

const LIMIT_DEFAULT = 20;

/** What every list takes (design.md 8). Query values are text; each is read explicitly, nothing is coerced. */
export class ListQuery {
  /** 1 to 100; 20 when left out. */
  @Optional()
  @Matches(/^([1-9][0-9]?|100)$/, { message: 'limit must be a whole number from 1 to 100' })
  limit?: string;

  /** `next_cursor` of the page before. */
  @Optional()
  @Matches(/^[0-9A-Za-z_-]{1,100}$/, { message: 'cursor must be a next_cursor of this list' })
  cursor?: string;

  /** RFC 3339. */
  @Optional()
  @IsTime()
  created_gte?: string;

  /** RFC 3339. */
  @Optional()
  @IsTime()
  created_lt?: string;
}

/** What lists of rows with an amount take beside that. */
export class AmountListQuery extends ListQuery {
  /** Fen. */
  @Optional()
  @Matches(/^(0|[1-9][0-9]{0,12})$/, { message: 'amount_gte must be a whole number of fen' })
  amount_gte?: string;

  /** Fen. */
  @Optional()
  @Matches(/^(0|[1-9][0-9]{0,12})$/, { message: 'amount_lte must be a whole number of fen' })
  amount_lte?: string;
}

/** A list's bounds as SQL parameters; null for none. */
export interface Range {
  readonly limit: number;
  /** Rows with a smaller key only; uuids sort by time. */
  readonly before: string | null;
  readonly createdGte: string | null;
  readonly createdLt: string | null;
  readonly amountGte: number | null;
  readonly amountLte: number | null;
}

/** One page, newest first; `next_cursor` null on the last. */
export interface Page<View> {
  readonly data: View[];
  readonly next_cursor: string | null;
}

/**
 * Reads the common parameters; `keyIn` finds the key in what a cursor names, null for a row of another list: AppError
 * validation_failed, since such a page would skip rows or end too early.
 */
export function rangeOf(query: ListQuery & Partial<AmountListQuery>, keyIn: (name: string) => string | null): Range {
  return {
    limit: Number(query.limit ?? LIMIT_DEFAULT),
    before: query.cursor === undefined ? null : keyOfCursor(query.cursor, keyIn),
    createdGte: query.created_gte ?? null,
    createdLt: query.created_lt ?? null,
    amountGte: query.amount_gte === undefined ? null : Number(query.amount_gte),
    amountLte: query.amount_lte === undefined ? null : Number(query.amount_lte),
  };
}

/** A page from one row more than asked for; `nameOf` is what a cursor names a row by, told apart from rows of other lists. */
export function pageOf<Row, View>(
  rows: readonly Row[],
  limit: number,
  view: (row: Row) => View,
  nameOf: (row: Row) => string,
): Page<View> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { data: shown.map(view), next_cursor: more ? Buffer.from(nameOf(last)).toString('base64url') : null };
}

function keyOfCursor(cursor: string, keyIn: (name: string) => string | null): string {
  const key = keyIn(Buffer.from(cursor, 'base64url').toString());
  if (key !== null) return key;
  throw new AppError('validation_failed', 'The cursor is not one of this list.', {
    errors: [{ field: 'cursor', message: 'must be a next_cursor of this list' }],
  });
}
