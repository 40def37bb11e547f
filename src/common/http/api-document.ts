import { applyDecorators, type Type } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, getSchemaPath, type OpenAPIObject } from '@nestjs/swagger';
import { ERROR_CODES } from '../problem.js';

type Schema = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

/** Describes the answer of a list: a page of `view`. A generic type is not there any more when the document is made. */
export function ApiPage(view: Type): MethodDecorator {
  return applyDecorators(
    ApiExtraModels(view),
    ApiOkResponse({
      schema: {
        type: 'object',
        required: ['data', 'next_cursor'],
        properties: {
          data: { type: 'array', items: { $ref: getSchemaPath(view) } },
          next_cursor: {
            type: 'string',
            nullable: true,
            description: 'The cursor of the next page; null on the last.',
          },
        },
      },
    }),
  );
}

const PROBLEM: Schema = {
  type: 'object',
  description: 'Every error answer (RFC 9457). Branch on code.',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: { type: 'string', enum: ['about:blank'] },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(ERROR_CODES) },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['field', 'message'],
        properties: { field: { type: 'string' }, message: { type: 'string' } },
      },
    },
    retryable: { type: 'boolean', description: 'True where the same request may succeed later.' },
    next_step: { type: 'string' },
  },
};

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

/** The document with what holds for all routes: every error is a problem, by its code. `enums` are closed lists of words by schema and property. */
export function withProblems(
  document: OpenAPIObject,
  enums: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>,
): OpenAPIObject {
  const schemas: Record<string, Schema> = { ...document.components?.schemas, Problem: PROBLEM };
  for (const [name, words] of Object.entries(enums)) {
    const schema = schemas[name];
    if (!schema || !('properties' in schema) || !schema.properties) continue;
    for (const [property, values] of Object.entries(words))
      schema.properties[property] = { type: 'string', enum: [...values] };
  }
  for (const path of Object.values(document.paths)) {
    for (const operation of METHODS.flatMap((method) => path[method] ?? [])) {
      operation.responses['default'] = {
        description: 'An error',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      };
    }
  }
  return { ...document, components: { ...document.components, schemas } };
}
