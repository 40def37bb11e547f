import { ValidationPipe, type ValidationError } from '@nestjs/common';
import { AppError, type FieldError } from '../problem.js';

/** Checks bodies and queries by their classes: unknown fields are refused, nothing is coerced. */
export function validationPipe(): ValidationPipe {
  return new ValidationPipe({
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
}

function fieldErrors(fault: ValidationError, parent: string): FieldError[] {
  const field = parent === '' ? fault.property : `${parent}.${fault.property}`;
  const own = Object.values(fault.constraints ?? {}).map((message) => ({ field, message }));
  return [...own, ...(fault.children ?? []).flatMap((child) => fieldErrors(child, field))];
}
