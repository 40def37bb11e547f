/** True when no value is null: a message that lacks an id or an amount is not looked at further. */
export function isWhole<T extends object>(values: T): values is { [Name in keyof T]: NonNullable<T[Name]> } {
  return Object.values(values).every((value) => value !== null);
}
