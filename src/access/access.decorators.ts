import { createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { assert } from '../common/assert.js';
import type { Caller, Role } from './caller.js';

/** What a route asks of its caller. A route that declares nothing is refused, and a test finds it. */
export type RouteAccess =
  { readonly kind: 'public' } | { readonly kind: 'role'; readonly role: Role; readonly unscopedOnly: boolean };

export const ROUTE_ACCESS = 'tuikuan:access';

/** A request that has passed the guard. */
export interface CallerRequest extends FastifyRequest {
  caller?: Caller;
}

/** The route needs this role or a higher one; `unscopedOnly` refuses keys that are bound to apps. */
export function RequireRole(role: Role, options: { readonly unscopedOnly?: boolean } = {}): MethodDecorator {
  const access: RouteAccess = { kind: 'role', role, unscopedOnly: options.unscopedOnly ?? false };
  return SetMetadata(ROUTE_ACCESS, access);
}

/** The route needs no key. */
export function Public(): MethodDecorator {
  const access: RouteAccess = { kind: 'public' };
  return SetMetadata(ROUTE_ACCESS, access);
}

/** The caller that the guard has let through. */
export const CurrentCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<CallerRequest>();
  assert(caller, 'a route with a caller is no public route');
  return caller;
});
