/** An amount of money: an integer number of fen (1/100 yuan). Never a float, never yuan. */
export type Fen = number;

/** The largest amount of one order or refund, as the schema's CHECKs have it: ten thousand million yuan. */
export const AMOUNT_MAX_FEN = 1_000_000_000_000;

/** True for an integer from 1 to {@link AMOUNT_MAX_FEN}; anything that would need coercion is false. */
export function isAmountFen(value: unknown): value is Fen {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= AMOUNT_MAX_FEN;
}

/**
 * Reads the text of a WeChat amount field: decimal digits without sign, leading zeros, point or exponent.
 * Returns null for anything else, so that `007`, `1e3` and `1.0` are refused and not guessed.
 */
export function fenFromText(text: string | undefined): Fen | null {
  if (text === undefined || !/^(0|[1-9][0-9]{0,12})$/.test(text)) return null;
  return Number(text);
}

/**
 * Yuan text with exactly two decimals, as bills and people write it, to fen; by its digits, so `19.90` is 1990 and not 1989.
 * Returns null for anything else (`1.005`, `1`, `.5`).
 */
export function fenFromYuanText(text: string): Fen | null {
  const match = /^(0|[1-9][0-9]{0,10})\.([0-9]{2})$/.exec(text);
  return match ? Number(`${match[1]}${match[2]}`) : null;
}

/** Fen as yuan text with exactly two decimals; by its digits. */
export function yuanText(fen: Fen): string {
  const digits = String(fen).padStart(3, '0');
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}
