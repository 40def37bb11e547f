import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { log } from '../log.js';
import { AppError, type Problem, problemOf, type ProblemCode, Stopping } from '../problem.js';
import { pathOf } from './server.js';

/** An answer outside problem+json, for callers that expect another form. */
export interface OtherForm {
  readonly prefix: string;
  readonly answer: (
    error: unknown,
    request: { readonly contentType: string; readonly requestId: string },
  ) => { readonly status: number; readonly contentType: string; readonly body: string };
}

const CODE_OF_STATUS: Readonly<Record<number, ProblemCode>> = {
  400: 'validation_failed',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  413: 'payload_too_large',
  414: 'validation_failed',
  415: 'unsupported_media_type',
  431: 'validation_failed',
  503: 'temporarily_unavailable',
};
const RETRY_AFTER_SECONDS = 2;

/** The one place that turns an error into an answer: problem+json, or the form of a path that has its own. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  constructor(private readonly otherForms: readonly OtherForm[]) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    this.answer(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }

  /** Also for what the framework refuses before any route is known. */
  answer(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const other = this.otherForms.find(({ prefix }) => pathOf(request).startsWith(prefix));
    if (other) {
      const { status, contentType, body } = other.answer(error, {
        contentType: request.headers['content-type'] ?? '',
        requestId: request.id,
      });
      void reply.code(status).header('content-type', contentType).send(body);
      return;
    }
    const problem = problemFor(error, request.id);
    if (problem.status >= 500 && !(error instanceof Stopping))
      log.error('request failed', { requestId: request.id, code: problem.code, cause: error });
    if (problem.status === 503) void reply.header('retry-after', String(RETRY_AFTER_SECONDS));
    if (problem.status === 401) void reply.header('www-authenticate', 'Bearer');
    void reply
      .code(problem.status)
      .header('content-language', 'en')
      .header('content-type', 'application/problem+json; charset=utf-8')
      .send(JSON.stringify(problem));
  }
}

/** The problem of any error; what is not ours is internal_error and says nothing of its cause. */
export function problemFor(error: unknown, requestId: string): Problem {
  if (error instanceof AppError) return problemOf(error, requestId);
  const status = statusOf(error);
  const code = CODE_OF_STATUS[status];
  if (code === undefined)
    return problemOf(new AppError('internal_error', 'The request could not be worked on.'), requestId);
  const detail = error instanceof Error && status < 500 ? error.message : 'The service cannot answer now.';
  return problemOf(new AppError(code, detail, { status }), requestId);
}

/** Nest's and Fastify's own errors carry a status; anything else is a bug of ours. */
function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : 500;
}
