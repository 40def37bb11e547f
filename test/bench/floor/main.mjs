/**
 * The floor: what the doors of Tuikuan cost when one process is written by hand on Fastify and `pg`, without Nest and TypeORM. It
 * leaves the same rows in the same tables under the same constraints, and answers after the same commits with the same bodies.
 *
 * What it does: API keys by hash from the table (kept 3 s), V2 notices opened with AES-256-ECB, v3 notices verified with RSA and opened
 * with AES-256-GCM, contents sealed as the service seals them; refund, order, refund_event, outgoing_event, audit_log and notification in one named
 * statement per batch: requests that come while a batch is under way share the next one and its commit. Keys are parsed once. GETs share
 * statements as well. With FLOOR=classic each request has its own BEGIN … COMMIT of named single-row statements.
 *
 * What it leaves out: everything but the good case (a repeat, a refusal, an unknown number or a late notice is answered 500), roles, apps of a
 * key, validation beyond what it reads, strict JSON and XML, deadlines, logs, metrics, languages, headers of every answer, and all work
 * after the doors: sending, asking, delivering events. It imports nothing from src.
 */
import { createSecretKey } from 'node:crypto';
import Fastify from 'fastify';
import pg from 'pg';
import { Accounts, ApiKeys } from './access.mjs';
import { Batches } from './batches.mjs';
import { openNotice } from './notice-content.mjs';
import { BATCHED } from './batched.mjs';
import { CLASSIC } from './classic.mjs';
import { LIST } from './reads.mjs';
import { pageView } from './views.mjs';

const { DATABASE_URL, PORT, MASTER_KEYS, FLOOR = 'batched' } = process.env;
const BATCH_MAX = 100;
const V2_SUCCESS = '<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>';

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
const [kekId, masterKey] = MASTER_KEYS.split(/:(.*)/s);
const kek = { id: kekId, key: createSecretKey(masterKey, 'base64') };
const keys = new ApiKeys(pool);
const accounts = await Accounts.load(pool, kek);

/** Either shares statements among concurrent requests or has a transaction for each. */
function doorsOf(kind) {
  if (kind === 'classic') {
    return Object.fromEntries(Object.entries(CLASSIC).map(([name, work]) => [name, (item) => work(pool, item)]));
  }
  const keyOf = { intake: ({ body }) => body.order, notice: (item) => item.outTradeNo, get: null };
  return Object.fromEntries(
    Object.entries(BATCHED).map(([name, work]) => {
      const batches = new Batches(BATCH_MAX, keyOf[name], (items) => work(pool, items));
      return [name, (item) => batches.ask(item)];
    }),
  );
}

const doors = doorsOf(FLOOR);
const app = Fastify({ bodyLimit: 64 * 1024, keepAliveTimeout: 60_000 });
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

app.get('/health/ready', () => ({ status: 'ok' }));

app.post('/v1/refunds', async (request, reply) => {
  const caller = await keys.callerOf(request.headers.authorization);
  const refund = await doors.intake({ body: JSON.parse(request.body.toString()), caller, address: request.ip });
  return reply.code(201).type('application/json; charset=utf-8').send(JSON.stringify(refund));
});

app.get('/v1/refunds/:id', async (request, reply) => {
  await keys.callerOf(request.headers.authorization);
  const refund = await doors.get(request.params.id);
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(refund));
});

app.get('/v1/refunds', async (request, reply) => {
  await keys.callerOf(request.headers.authorization);
  const { limit, cursor } = request.query;
  const before = cursor === undefined ? null : Buffer.from(cursor, 'base64url').toString().slice(3);
  const { rows } = await pool.query({ ...LIST, values: [before, Number(limit) + 1] });
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(pageView(rows, Number(limit))));
});

app.post('/notify/wechat/:token/refund', async (request, reply) => {
  const account = accounts.byToken(request.params.token);
  const notice = openNotice(account, request.headers, request.body, kek);
  await doors.notice(notice);
  return notice.version === 'v3' ? reply.code(204).send() : reply.type('text/xml').send(V2_SUCCESS);
});

await app.listen({ port: Number(PORT), host: '127.0.0.1' });
process.on('SIGTERM', () => process.exit(0));
