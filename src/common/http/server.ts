import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { log } from '../log.js';
import { AppError } from '../problem.js';
import { readJsonBody } from './json-body.js';

const BODY_BYTES_MAX = 64 * 1024;
/** Headers that must stand once: doubled ones are joined or picked from by the parser, differently from a proxy's. */
const ONCE = /^(host|authorization|content-length|idempotency-key|wechatpay-.*)$/;

/** Options of the HTTP server (faults.md 5.7): bounded in time, size and number. */
export const SERVER_OPTIONS = {
  bodyLimit: BODY_BYTES_MAX,
  requestTimeout: 10_000,
  connectionTimeout: 0,
  keepAliveTimeout: 5000,
  maxRequestsPerSocket: 1000,
  return503OnClosing: true,
  trustProxy: false,
  http: {
    headersTimeout: 5000,
    requestTimeout: 10_000,
    connectionsCheckingInterval: 1000,
    maxHeaderSize: 8 * 1024,
    insecureHTTPParser: false,
    requireHostHeader: true,
  },
} as const;

export const CONNECTIONS_MAX = 1024;

/**
 * What holds for every request before a route sees it: one of each decisive header, raw bytes for callbacks, strict JSON for the rest,
 * no caching, and one log line at the end without query, headers or body.
 */
export function prepareServer(fastify: FastifyInstance, rawPrefix: string): void {
  fastify.server.maxConnections = CONNECTIONS_MAX;
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = body as Buffer;
    if (request.url.startsWith(rawPrefix)) return done(null, bytes);
    try {
      assertJson(request.headers['content-type'] ?? '');
      done(null, readJsonBody(bytes));
    } catch (error) {
      done(error as Error, undefined);
    }
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.headers({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-request-id': request.id,
    });
    done(refusalOf(request.raw));
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    const caller = (request as { caller?: { id: string } }).caller;
    log.info('request', {
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
      requestId: request.id,
      ...(caller && { actor: caller.id }),
    });
    done();
  });
}

function refusalOf(request: IncomingMessage): AppError | undefined {
  const names = request.rawHeaders.filter((_, place) => place % 2 === 0).map((name) => name.toLowerCase());
  const doubled = names.find((name, place) => ONCE.test(name) && names.indexOf(name) !== place);
  if (doubled !== undefined) return new AppError('validation_failed', `The header ${doubled} stands twice.`);
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return new AppError('unsupported_media_type', 'Encoded bodies are not taken.');
  }
  return undefined;
}

function assertJson(contentType: string): void {
  const [type = '', ...parameters] = contentType
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='));
  const utf8 = charset === undefined || /^charset="?utf-?8"?$/.test(charset);
  if (type === 'application/json' && utf8) return;
  throw new AppError('unsupported_media_type', 'The body must be application/json in UTF-8.');
}
