import { Body, Query, ValidationPipe, type ValidationError } from '@nestjs/common';
import { AppError, type FieldError } from '../problem.js';

/** Checks by the class of the parameter: unknown fields are refused, nothing is coerced. */
const CHECK = new ValidationPipe({
  whitelist: true,
  forbidNonWhitelisted: true,
  forbidUnknownValues: true,
  transform: true,
  transformOptions: { enableImplicitConversion: false },
  exceptionFactory: (faults) => {
    const errors = faults.flatMap((fault) => fieldErrors(fault, ''));
    return new AppError('validation_failed', `Not valid: ${errors.map(({ field }) => field).join(', ')}.`, {
      errors,
    });
  },
});

/** The body, checked by its class. A pipe of the whole application would run for every other parameter too. */
export const CheckedBody = (): ParameterDecorator => Body(CHECK);

/** The query, checked by its class. */
export const CheckedQuery = (): ParameterDecorator => Query(CHECK);

function fieldErrors(fault: ValidationError, parent: string): FieldError[] {
  const field = parent === '' ? fault.property : `${parent}.${fault.property}`;
  const own = Object.values(fault.constraints ?? {}).map((message) => ({ field, message }));
  return [...own, ...(fault.children ?? []).flatMap((child) => fieldErrors(child, field))];
}
