import { ValidateBy, ValidateIf } from 'class-validator';

/** The field may be left out; `null` is a value like any other and must pass the other checks. */
export function Optional(): PropertyDecorator {
  return ValidateIf((_object: unknown, value: unknown) => value !== undefined);
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
