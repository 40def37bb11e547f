import { AppError } from '../problem.js';

const DEPTH_MAX = 32;
/** Names that every object inherits. */
export const INHERITED_NAMES: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Object.prototype));
/** These, and one more that reaches what an object inherits from: the reader of classes passes over them unseen. */
export const FORBIDDEN_KEYS: readonly string[] = [...INHERITED_NAMES, 'prototype'];
const INTEGER = /^-?(0|[1-9][0-9]*)$/;
/** Every string and number of a valid JSON text; a key is a string with a colon behind it. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|-?[0-9][0-9.eE+-]*/g;
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads a JSON object without losing or guessing anything: bytes must be UTF-8; a key may stand once in its object; a number must be an
 * integer written as one, within 2^53, so `1e2`, `1.0` and `-0` are refused and not turned into amounts. Prototype keys, control
 * characters, lone surrogates and nesting over 32 are refused. Throws AppError validation_failed.
 */
export function readJsonBody(bytes: Buffer): object {
  if (bytes.length === 0) return {};
  try {
    const text = UTF8.decode(bytes);
    const value: unknown = JSON.parse(text);
    if (check(value, 0) !== keysIn(text)) throw refusal('a key stands twice in one object');
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw refusal('the body must be an object');
    return value;
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw refusal('the body is no JSON in UTF-8', error);
  }
}

/** How many keys stand in the text; throws on a number that is not written as a safe integer. */
function keysIn(text: string): number {
  let keys = 0;
  for (const [token, colon] of text.matchAll(TOKENS)) {
    if (colon !== undefined) keys += 1;
    if (!token.startsWith('"')) assertInteger(token);
  }
  return keys;
}

function assertInteger(text: string): void {
  const value = Number(text);
  if (!INTEGER.test(text) || !Number.isSafeInteger(value) || Object.is(value, -0))
    throw refusal('numbers must be whole, written in digits, and below 2^53');
}

/** Throws on what may not be stored or is nested too deeply; gives the number of keys in the value. */
function check(value: unknown, depth: number): number {
  if (depth > DEPTH_MAX) throw refusal(`nested deeper than ${DEPTH_MAX}`);
  if (typeof value === 'string') checkText(value);
  if (typeof value !== 'object' || value === null) return 0;
  let keys = 0;
  for (const [key, entry] of Object.entries(value)) {
    checkText(key);
    if (FORBIDDEN_KEYS.includes(key)) throw refusal('a key is not allowed');
    keys += (Array.isArray(value) ? 0 : 1) + check(entry, depth + 1);
  }
  return keys;
}

/** What XML 1.0 forbids, since texts go to WeChat in XML, and what PostgreSQL cannot store. */
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/u;

function checkText(text: string): void {
  if (FORBIDDEN.test(text)) throw refusal('a text holds a control character or half a character');
}

function refusal(message: string, cause?: unknown): AppError {
  return new AppError('validation_failed', `The request cannot be read: ${message}.`, {
    errors: [{ field: 'body', message }],
    cause,
  });
}
