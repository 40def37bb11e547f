import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import pg from 'pg';
import { FaultProxy } from './fault-proxy.js';

/** Answers every chunk with itself, and keeps what it got. */
let echo: Server;
let got: string;
let proxy: FaultProxy;
const opened: Socket[] = [];

beforeEach(async () => {
  got = '';
  echo = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString();
      socket.write(chunk);
    });
  }).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await FaultProxy.before({ host: '127.0.0.1', port: (echo.address() as { port: number }).port });
});

afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
  proxy.close();
  echo.close();
});

/** A connection through the proxy: what it has received, and how it ended. */
async function dial(): Promise<{
  socket: Socket;
  received: () => string;
  end: Promise<string>;
  say: (t: string) => void;
}> {
  const socket = connect({ host: '127.0.0.1', port: proxy.port });
  opened.push(socket);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const end = new Promise<string>((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.once('end', () => resolve('end'));
  });
  await Promise.race([once(socket, 'connect'), end]);
  return { socket, received: () => text, end, say: (said) => void socket.write(said) };
}

async function until(condition: () => boolean): Promise<void> {
  for (let waitedMs = 0; !condition() && waitedMs < 5000; waitedMs += 5)
    await new Promise((next) => setTimeout(next, 5));
  expect(condition()).toBe(true);
}

it('passes everything on unchanged while it does no harm', async () => {
  const line = await dial();
  line.say('hello');
  await until(() => line.received() === 'hello');
  expect(Object.values(proxy.fired).every((count) => count === 0)).toBe(true);
});

it('latency: every chunk comes so much later, in order', async () => {
  const line = await dial();
  await proxy.harm({ kind: 'latency', ms: 60 });
  const beganMs = performance.now();
  line.say('one');
  await until(() => line.received() === 'one');
  // There and back.
  expect(performance.now() - beganMs).toBeGreaterThanOrEqual(118);
  expect(proxy.fired.latency).toBe(2);
});

it('down: what is open ends, nobody comes in, and healed it is there again at the same port', async () => {
  const before = await dial();
  await proxy.harm({ kind: 'down' });
  expect(await before.end).toBe('ECONNRESET');
  expect(await (await dial()).end).toBe('ECONNREFUSED');
  expect(proxy.fired.down).toBe(1);
  await proxy.heal();
  const after = await dial();
  after.say('again');
  await until(() => after.received() === 'again');
});

it('reset: the next request meets RST, and the target never sees it', async () => {
  const line = await dial();
  await proxy.harm({ kind: 'reset' });
  line.say('lost');
  expect(await line.end).toBe('ECONNRESET');
  expect(got).toBe('');
  expect(proxy.fired.reset).toBe(1);
});

it('cut: no more than so many bytes of the answer come, and the connection is over', async () => {
  const line = await dial();
  await proxy.harm({ kind: 'cut', afterBytes: 4 });
  line.say('ab');
  await until(() => line.received() === 'ab');
  line.say('cdef');
  // Some kernels tell a reader who still had bytes before him of an end and not of a reset.
  expect(['ECONNRESET', 'end']).toContain(await line.end);
  expect(got).toBe('abcdef');
  expect(['ab', 'abcd']).toContain(line.received());
  expect(proxy.fired.cut).toBe(1);
});

it('black hole: no byte passes and nothing ends, until it heals', async () => {
  const line = await dial();
  await proxy.harm({ kind: 'black_hole' });
  line.say('kept');
  await proxy.untilFired('black_hole');
  expect([got, line.received(), line.socket.destroyed]).toEqual(['', '', false]);
  await proxy.heal();
  await until(() => line.received() === 'kept');
});

it('slow close: the end comes so much later', async () => {
  const ended = new Promise<number>((resolve) =>
    echo.once('connection', (socket: Socket) => socket.once('end', () => resolve(performance.now()))),
  );
  const line = await dial();
  await proxy.harm({ kind: 'slow_close', ms: 80 });
  const beganMs = performance.now();
  line.socket.end();
  expect((await ended) - beganMs).toBeGreaterThanOrEqual(78);
  expect(proxy.fired.slow_close).toBeGreaterThanOrEqual(1);
});

describe('before PostgreSQL', () => {
  let database: FaultProxy;
  let direct: pg.Client;
  let client: pg.Client;
  const lost = (error: unknown): string => (error as Error).message;

  beforeEach(async () => {
    const url = new URL(process.env['TEST_POSTGRES_URL'] ?? '');
    direct = new pg.Client({ connectionString: url.href });
    await direct.connect();
    await direct.query('CREATE TABLE IF NOT EXISTS swallowed (said text)');
    database = await FaultProxy.before({ host: url.hostname, port: Number(url.port) });
    url.port = String(database.port);
    client = new pg.Client({ connectionString: url.href });
    client.on('error', () => undefined);
    await client.connect();
  });
  afterEach(async () => {
    database.close();
    await client.end().catch(() => undefined);
    await direct.query('DROP TABLE swallowed');
    await direct.end();
  });
  const rows = async (): Promise<unknown[]> =>
    (await direct.query<{ said: string }>('SELECT said FROM swallowed')).rows;

  it('swallow: the COMMIT is done, its reply is lost, the connection is reset', async () => {
    await database.harm({ kind: 'swallow', ask: 'COMMIT', then: 'reset' });
    await client.query('BEGIN');
    await client.query(`INSERT INTO swallowed VALUES ('a')`);
    expect(await client.query('COMMIT').then(() => 'answered', lost)).toMatch(/ECONNRESET|terminated/);
    expect(await rows()).toEqual([{ said: 'a' }]);
    expect(database.fired.swallow).toBe(1);
  });

  it('swallow: only on a connection that saw the text, and silent until it heals', async () => {
    await database.harm({ kind: 'swallow', ask: 'COMMIT', seen: 'needle', then: 'silence' });
    await client.query('BEGIN');
    await client.query('COMMIT');
    expect(database.fired.swallow).toBe(0);
    await client.query('BEGIN');
    await client.query(`INSERT INTO swallowed VALUES ('needle') RETURNING said`);
    let answered = false;
    const commit = client.query('COMMIT').then(() => (answered = true));
    await database.untilFired('swallow');
    expect([await rows(), answered]).toEqual([[{ said: 'needle' }], false]);
    await database.heal();
    expect(await commit).toBe(true);
  });
});
