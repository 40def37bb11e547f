import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { log } from '../log.js';
import { AppError, Stopping } from '../problem.js';
import { FORBIDDEN_KEYS, readJsonBody } from './json-body.js';

const BODY_BYTES_MAX = 64 * 1024;
/** Headers that must stand once: doubled ones are joined or picked from by the parser, differently from a proxy's. */
const ONCE = /^(host|authorization|content-length|idempotency-key|wechatpay-.*)$/;

/** Options of the HTTP server (faults.md 5.7): bounded in time, size and number. */
export const SERVER_OPTIONS = {
  bodyLimit: BODY_BYTES_MAX,
  requestTimeout: 10_000,
  connectionTimeout: 0,
  keepAliveTimeout: 5000,
  // We say it ourselves, as a problem.
  return503OnClosing: false,
  trustProxy: false,
  // Longer than any id of ours: an overlong one is an unknown one.
  routerOptions: { maxParamLength: 8 * 1024 },
  http: {
    headersTimeout: 5000,
    requestTimeout: 10_000,
    connectionsCheckingInterval: 1000,
    maxHeaderSize: 8 * 1024,
    insecureHTTPParser: false,
    // Its absence is refused by us, as a problem.
    requireHostHeader: false,
  },
} as const;

const CONNECTIONS_MAX = 1024;
const REQUESTS_PER_SOCKET_MAX = 1000;
const HEADERS_MAX = 200;

/**
 * What holds for every request before a route sees it: one of each decisive header, raw bytes for callbacks, strict JSON for the rest,
 * no caching, and one log line at the end without query, headers or body. Once the process `isStopping` nothing is begun any more.
 */
export function prepareServer(fastify: FastifyInstance, rawPrefix: string, isStopping: () => boolean): void {
  fastify.server.maxConnections = CONNECTIONS_MAX;
  fastify.server.maxRequestsPerSocket = REQUESTS_PER_SOCKET_MAX;
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = body as Buffer;
    if (pathOf(request).startsWith(rawPrefix)) return done(null, bytes);
    try {
      assertJson(request.headers['content-type'] ?? '');
      done(null, readJsonBody(bytes));
    } catch (error) {
      done(error as Error, undefined);
    }
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.headers(headersOfEvery(request.id));
    if (!isStopping()) return done(refusalOf(request.raw) ?? refusalOfQuery(request.query as object));
    void reply.header('connection', 'close');
    done(new Stopping());
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

/** The route a request has reached, else its path as it was sent: what decides the form of its body and of its refusal. */
export function pathOf(request: { readonly url: string; readonly routeOptions?: { readonly url?: string } }): string {
  return request.routeOptions?.url ?? request.url;
}

/** Headers of every answer. */
export function headersOfEvery(requestId: string): Readonly<Record<string, string>> {
  return { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'x-request-id': requestId };
}

/** What is refused before a route sees it; faults.md 2.8. */
function refusalOf(request: IncomingMessage): AppError | undefined {
  const { headers, rawHeaders } = request;
  if (rawHeaders.length > 2 * HEADERS_MAX)
    return new AppError('validation_failed', 'Too many headers.', { status: 431 });
  if (request.url?.startsWith('/') !== true) return new AppError('validation_failed', 'The target must be a path.');
  if (headers.host === undefined) return new AppError('validation_failed', 'The header host is needed.');
  if (headers.upgrade !== undefined) return new AppError('validation_failed', 'No other protocol is spoken.');
  // As many names as lines: most requests are spared the search.
  const doubled = 2 * Object.keys(headers).length < rawHeaders.length ? doubledOf(rawHeaders) : undefined;
  if (doubled !== undefined) return new AppError('validation_failed', `The header ${doubled} stands twice.`);
  return refusalOfEncoding(headers);
}

/** The first decisive header that stands twice; undefined for none. */
function doubledOf(rawHeaders: readonly string[]): string | undefined {
  const names = rawHeaders.filter((_, place) => place % 2 === 0).map((name) => name.toLowerCase());
  return names.find((name, place) => ONCE.test(name) && names.indexOf(name) !== place);
}

function refusalOfEncoding({
  'content-encoding': encoding = 'identity',
  'transfer-encoding': transfer = 'chunked',
}: IncomingHttpHeaders): AppError | undefined {
  if (transfer.toLowerCase() !== 'chunked')
    return new AppError('validation_failed', 'No transfer encoding but chunked is read.');
  if (encoding !== 'identity') return new AppError('unsupported_media_type', 'Encoded bodies are not taken.');
  return undefined;
}

/** Names that the reader of classes passes over, so that it would not call them unknown. */
function refusalOfQuery(query: object): AppError | undefined {
  const field = Object.keys(query).find((name) => FORBIDDEN_KEYS.includes(name));
  if (field === undefined) return undefined;
  const errors = [{ field, message: 'is no parameter' }];
  return new AppError('validation_failed', `Not valid: ${field}.`, { errors });
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
