import { ValidateBy, ValidateIf } from 'class-validator';

/** The field may be left out; `null` is a value like any other and must pass the other checks. */
export function Optional(): PropertyDecorator {
  return ValidateIf((_object: unknown, value: unknown) => value !== undefined);
}

const RFC_3339 =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)$/;

/** A moment as RFC 3339 has it: date, time with seconds, and an offset, so that nobody's own time zone is guessed. */
export function IsTime(): PropertyDecorator {
  return ValidateBy({
    name: 'isTime',
    validator: {
      validate: isTime,
      defaultMessage: () =>
        '$property must be an RFC 3339 time with seconds and offset, such as 2026-01-31T08:00:00+08:00',
    },
  });
}

/** True for a moment that exists; 31 February and 24:00 do not. */
export function isTime(value: unknown): boolean {
  const [, year, month, day] = typeof value === 'string' ? (RFC_3339.exec(value) ?? []) : [];
  if (year === undefined || year === '0000') return false;
  // The 0th of the next month is the last of this one.
  return Number(day) <= new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
}

const METADATA_KEYS_MAX = 20;
const METADATA_KEY_LENGTH_MAX = 40;
const METADATA_VALUE_LENGTH_MAX = 500;

/** A flat object of at most 20 strings, kept as given and never interpreted. */
export function IsMetadata(): PropertyDecorator {
  return ValidateBy({
    name: 'isMetadata',
    validator: {
      validate: isMetadata,
      defaultMessage: () =>
        `metadata must be an object of at most ${METADATA_KEYS_MAX} strings; keys up to ${METADATA_KEY_LENGTH_MAX}, values up to ${METADATA_VALUE_LENGTH_MAX} characters`,
    },
  });
}

function isMetadata(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries: [string, unknown][] = Object.entries(value);
  return (
    entries.length <= METADATA_KEYS_MAX &&
    entries.every(
      ([key, text]) =>
        key.length >= 1 &&
        key.length <= METADATA_KEY_LENGTH_MAX &&
        typeof text === 'string' &&
        text.length <= METADATA_VALUE_LENGTH_MAX,
    )
  );
}
