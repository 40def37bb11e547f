import { refuseField, type Json, type Refusal } from './answer.js';

/** Judges a value; null when it is right, else the field and what is wrong with it. */
export type Check = (value: unknown, field: string) => { readonly field: string; readonly issue: string } | null;

/** A text that `form` accepts. */
export const text =
  (form: (value: string) => boolean): Check =>
  (value, field) =>
    typeof value === 'string' && form(value) ? null : { field, issue: 'is no valid text' };

/** A text of 1 to `length` characters. */
export const upTo = (length: number): Check => text((value) => value !== '' && value.length <= length);

export const oneOf = (...words: readonly string[]): Check => text((value) => words.includes(value));

/** A whole number, never a text or a fraction. */
export const integer =
  (least: number): Check =>
  (value, field) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= least
      ? null
      : { field, issue: `is no whole number from ${least} on` };

export const flag: Check = (value, field) =>
  typeof value === 'boolean' ? null : { field, issue: 'is neither true nor false' };

export const list =
  (entry: Check): Check =>
  (value, field) => {
    if (!Array.isArray(value)) return { field, issue: 'is no list' };
    return value.map((one, place) => entry(one, `${field}/${place}`)).find((wrong) => wrong !== null) ?? null;
  };

/** An object of these properties and no other: what is not documented is refused. Source: protocol.md 6.2. */
export const shape =
  (must: Readonly<Record<string, Check>>, may: Readonly<Record<string, Check>> = {}): Check =>
  (value, field) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return { field, issue: 'is no object' };
    const given = value as Json;
    const checks = { ...must, ...may };
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(checks, name));
    if (unknown !== undefined) return { field: `${field}/${unknown}`, issue: 'is not documented' };
    const missing = Object.keys(must).find((name) => !Object.hasOwn(given, name));
    if (missing !== undefined) return { field: `${field}/${missing}`, issue: 'is missing' };
    const wrong = Object.entries(given).map(([name, one]) => checks[name]?.(one, `${field}/${name}`) ?? null);
    return wrong.find((one) => one !== null) ?? null;
  };

/** The refusal of a body that does not have its shape; null when it has. */
export function misshapen(body: unknown, check: Check): Refusal | null {
  const wrong = check(body, '');
  return wrong && refuseField(wrong.field === '' ? '/' : wrong.field, wrong.issue);
}
