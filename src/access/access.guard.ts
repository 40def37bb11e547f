import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { AppError } from '../common/problem.js';
import { type CallerRequest, ROUTE_ACCESS, type RouteAccess } from './access.decorators.js';
import { ApiKeys } from './api-keys.js';
import { type Caller, hasRole, type Identity } from './caller.js';

/** Lets a request through by the access its route declares; every wrong key gets the same 401. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly keys: ApiKeys,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const access = this.reflector.get<RouteAccess | undefined>(ROUTE_ACCESS, context.getHandler());
    if (access?.kind === 'public') return true;
    const request = context.switchToHttp().getRequest<CallerRequest>();
    const admit = (identity: Identity | null): true => {
      if (!identity) throw new AppError('unauthorized', 'The request carries no API key that is valid now.');
      request.caller = { ...identity, address: request.ip, requestId: request.id };
      authorize(request.caller, access);
      return true;
    };
    const [, text] = /^Bearer ([\x21-\x7e]{1,300})$/i.exec(request.headers.authorization ?? '') ?? [];
    const identity = text === undefined ? null : this.keys.callerOf(text);
    return identity instanceof Promise ? identity.then(admit) : admit(identity);
  }
}

/** A route that declares no access is refused. */
function authorize(caller: Caller, access: Extract<RouteAccess, { kind: 'role' }> | undefined): void {
  if (!access) throw new AppError('forbidden', 'This route is open to nobody.');
  if (!hasRole(caller, access.role)) {
    throw new AppError('forbidden', `This needs the role ${access.role}; the key is ${caller.role}.`);
  }
  if (access.unscopedOnly && caller.appids !== null) {
    throw new AppError('forbidden', 'A key that is bound to mini-programs may not do that.');
  }
}
