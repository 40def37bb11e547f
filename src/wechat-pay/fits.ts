import { getMetadataStorage, ValidationTypes } from 'class-validator';
import { assert } from '../common/assert.js';

type Members = Readonly<Record<string, unknown>>;
type Check = (members: Members) => boolean;

const checksByClass = new Map<object, readonly Check[]>();

/**
 * True when `members` are an object and fit the rules that the class declares for them; others may stand beside them. Nested objects
 * are asked about by themselves. Members come from a reader that refuses the names which every object inherits.
 *
 * It asks class-validator's validators without its report on each of them: that was 10 to 15 % of a notice's processor time, and nobody read it.
 */
export function fits<T extends object>(type: new () => T, members: unknown): members is T {
  if (typeof members !== 'object' || members === null || Array.isArray(members)) return false;
  let checks = checksByClass.get(type);
  if (!checks) checksByClass.set(type, (checks = checksOf(type)));
  return checks.every((check) => check(members as Members));
}

/** One check for each member that has rules. */
function checksOf(type: new () => object): Check[] {
  const storage = getMetadataStorage();
  const rules = storage.groupByPropertyName(storage.getTargetValidationMetadatas(type, '', false, false));
  return Object.entries(rules).map(([property, all]) => {
    assert(
      all.every((rule) => !rule.each && !rule.validateIf),
      'rules of a message are about whole members',
    );
    const conditions = all.filter((rule) => rule.type === ValidationTypes.CONDITIONAL_VALIDATION);
    const demands = all.filter((rule) => rule.type === ValidationTypes.CUSTOM_VALIDATION);
    assert(conditions.length + demands.length === all.length, 'a message has no other kind of rule');
    const applies = conditions.map((rule) => rule.constraints[0] as (members: Members, value: unknown) => boolean);
    const validators = demands.flatMap(({ constraintCls, constraints }) =>
      storage.getTargetValidatorConstraints(constraintCls).map(({ instance }) => ({ instance, constraints })),
    );
    return (object) => {
      const value = object[property];
      if (!applies.every((applied) => applied(object, value))) return true;
      // Compared, so that a promise, of a validator that answers later, refuses.
      return validators.every(
        ({ instance, constraints }) =>
          instance.validate(value, { targetName: type.name, property, object, value, constraints }) === true,
      );
    };
  });
}
