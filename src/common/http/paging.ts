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

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Reads the common parameters; `key` says what the cursor must hold. AppError validation_failed for a cursor that is none. */
export function rangeOf(query: ListQuery & Partial<AmountListQuery>, key: RegExp = UUID): Range {
  return {
    limit: Number(query.limit ?? LIMIT_DEFAULT),
    before: query.cursor === undefined ? null : keyOfCursor(query.cursor, key),
    createdGte: query.created_gte ?? null,
    createdLt: query.created_lt ?? null,
    amountGte: query.amount_gte === undefined ? null : Number(query.amount_gte),
    amountLte: query.amount_lte === undefined ? null : Number(query.amount_lte),
  };
}

/** A page from one row more than asked for; `keyOf` is what the list is sorted by. */
export function pageOf<Row, View>(
  rows: readonly Row[],
  limit: number,
  view: (row: Row) => View,
  keyOf: (row: Row) => string,
): Page<View> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const more = rows.length > limit && last !== undefined;
  return { data: shown.map(view), next_cursor: more ? Buffer.from(keyOf(last)).toString('base64url') : null };
}

function keyOfCursor(cursor: string, key: RegExp): string {
  const text = Buffer.from(cursor, 'base64url').toString();
  if (key.test(text)) return text;
  throw new AppError('validation_failed', 'The cursor is not one of this list.', {
    errors: [{ field: 'cursor', message: 'must be a next_cursor of this list' }],
  });
}
