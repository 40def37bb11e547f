import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppModule } from './app.module.js';
import { ErrorFilter } from './common/http/error.filter.js';
import { headersOfEvery, prepareServer, SERVER_OPTIONS } from './common/http/server.js';
import { answerUnread } from './common/http/unread-request.js';
import { nestLogger } from './common/log.js';
import type { Settings } from './config/settings.js';
import { noticeRefusal, NOTIFY_PREFIX } from './notifications/notice-answers.js';
import { withProblems } from './common/http/api-document.js';
import { EVENT_TYPES } from './events/event-types.js';
import { REFUND_STATE_NAMES, REFUND_STATES } from './refunds/states.js';

/** Knows from the first moment that the application closes. */
class Adapter extends FastifyAdapter {
  isStopping = false;

  override beforeClose(): void {
    this.isStopping = true;
    super.beforeClose();
  }
}

/** The service, ready to listen. `preview` builds the routes without connecting to anything. */
export async function createApplication(
  settings: Settings,
  databaseUrl: string,
  options: { readonly preview?: boolean } = {},
): Promise<NestFastifyApplication> {
  const { http, ...fastify } = SERVER_OPTIONS;
  const errors = new ErrorFilter([{ prefix: NOTIFY_PREFIX, answer: noticeRefusal }]);
  const adapter = new Adapter({
    ...fastify,
    serverFactory: (handler: RequestListener) =>
      createServer({ ...http, keepAliveTimeout: SERVER_OPTIONS.keepAliveTimeout }, handler),
    genReqId: () => randomUUID(),
    // A path that cannot be decoded reaches no route and no hook.
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
      errors.answer(error, request, reply.headers(headersOfEvery(request.id))),
    clientErrorHandler: answerUnread,
    logger: false,
    // No Nest middleware is used.
    skipMiddie: true,
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(settings, databaseUrl), adapter, {
    logger: nestLogger,
    bodyParser: false,
    abortOnError: false,
    preview: options.preview ?? false,
  });
  prepareServer(app.getHttpAdapter().getInstance(), NOTIFY_PREFIX, () => adapter.isStopping);
  app.useGlobalFilters(errors);
  return app;
}

const REFUND_STATUSES = [...new Set(Object.values(REFUND_STATES).map(({ status }) => status))];

/** Closed lists that the decorators cannot see through their types. */
const ENUMS = {
  RefundView: { status: REFUND_STATUSES, state: REFUND_STATE_NAMES },
  EventPayload: { type: [...EVENT_TYPES] },
} as const;

/** The OpenAPI document of the REST API. */
export function openApiOf(app: NestFastifyApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Tuikuan (退款)')
    .setDescription(
      'WeChat Pay refunds that happen exactly once. Amounts are integer fen, times RFC 3339, errors application/problem+json with a stable code.',
    )
    .setVersion('1')
    .addBearerAuth()
    .build();
  return withProblems(SwaggerModule.createDocument(app, config), ENUMS);
}

/** Serves the document at /openapi.json and a page over it at /docs. */
export function serveOpenApi(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => openApiOf(app), {
    jsonDocumentUrl: 'openapi.json',
    yamlDocumentUrl: 'openapi.yaml',
  });
}
