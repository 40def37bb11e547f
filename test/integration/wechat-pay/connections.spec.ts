import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { runInThisContext } from 'node:vm';
import { systemClock } from '../../../src/common/clock.js';
import type { MerchantAccount } from '../../../src/merchants/merchant-account.js';
import { Secret } from '../../../src/common/secret.js';
import { Connections, type Exchange, NotConnected, type Outgoing } from '../../../src/wechat-pay/connections.js';
import { type MadeCertificate, makeCertificate } from '../../support/certificate.js';

const REQUEST: Outgoing = { method: 'POST', path: '/secapi/pay/refund', headers: {}, body: '<xml></xml>' };
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const fingerprint = ({ certificate }: MadeCertificate): string =>
  createHash('sha256').update(certificate).digest('hex');

function merchant(mchId: string, made: MadeCertificate = makeCertificate(mchId)): MerchantAccount {
  const clientCertificate = {
    fingerprint: fingerprint(made),
    serial: '',
    certificatePem: made.certificate,
    privateKeyPem: new Secret(made.key),
    validUntil: new Date(),
  };
  // The connections read these two fields of an account and no other.
  return { mchId, clientCertificate } as unknown as MerchantAccount;
}

interface Seen {
  readonly socket: TLSSocket;
  readonly owner: string;
  bytes: string;
  requests: number;
  error: string | null;
}

/** A TLS server that answers as `answer` says and keeps what it saw. */
class Server443 {
  readonly seen: Seen[] = [];
  answer: (seen: Seen) => void = ({ socket }) => socket.write(OK);
  private readonly server: Server;

  constructor() {
    const own = makeCertificate('localhost');
    const options = { key: own.key, cert: own.certificate, requestCert: true, rejectUnauthorized: false };
    this.server = createServer(options, (socket) => {
      const owner = (socket.getPeerCertificate().subject as { CN?: string } | undefined)?.CN ?? 'nobody';
      const seen: Seen = { socket, owner, bytes: '', requests: 0, error: null };
      this.seen.push(seen);
      socket.on('error', (error: NodeJS.ErrnoException) => (seen.error = error.code ?? error.message));
      socket.on('data', (chunk: Buffer) => {
        seen.bytes += chunk.toString();
        if (!seen.bytes.endsWith('</xml>')) return;
        seen.requests += 1;
        seen.bytes = '';
        this.answer(seen);
      });
    });
  }

  async start(): Promise<URL> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return new URL(`https://localhost:${(this.server.address() as AddressInfo).port}`);
  }

  stop(): void {
    for (const { socket } of this.seen) socket.destroy();
    this.server.close();
  }
}

/** Node reads this from the environment of the process, of which jest hands tests a copy. */
const trustAnyone = (yes: boolean): void =>
  void runInThisContext(`process.env.NODE_TLS_REJECT_UNAUTHORIZED = '${yes ? 0 : 1}'`);

const now = (): number => systemClock.monotonicMs();
let server: Server443;
let origin: URL;
let connections: Connections;
const one = merchant('1900000001');
const two = merchant('1900000002');
const ask = async (of: MerchantAccount): Promise<Exchange> => (await connections.take(of)).exchange(REQUEST);

beforeEach(async () => {
  // The servers of this file vouch for themselves.
  trustAnyone(true);
  server = new Server443();
  origin = await server.start();
  connections = new Connections(origin, systemClock);
});
afterEach(() => {
  connections.close();
  server.stop();
  trustAnyone(false);
});

describe('before a connection stands, nothing is written', () => {
  it('when nobody listens', async () => {
    server.stop();
    await expect(connections.take(one)).rejects.toThrow(NotConnected);
  });

  it('when the other side never finishes the handshake, for two seconds', async () => {
    const accepted: Socket[] = [];
    const mute = createTcpServer((socket) => accepted.push(socket)).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const lonely = new Connections(new URL(`https://localhost:${(mute.address() as AddressInfo).port}`), systemClock);
    const began = now();
    await expect(lonely.take(one)).rejects.toThrow('no connection in 2 s');
    expect(now() - began).toBeLessThan(3000);
    expect(accepted).toHaveLength(1);
    for (const socket of accepted) socket.destroy();
    mute.close();
  });

  it('when the certificate of the other side is not trusted', async () => {
    trustAnyone(false);
    await expect(connections.take(one)).rejects.toThrow(NotConnected);
    expect(server.seen.map(({ requests }) => requests).filter((requests) => requests > 0)).toEqual([]);
  });
});

describe('after the first byte, a missing answer is never an error', () => {
  it.each<[string, (seen: Seen) => void]>([
    ['the other side hangs up', ({ socket }) => socket.destroy()],
    ['the answer ends in the middle', ({ socket }) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf')],
    ['the answer is no HTTP', ({ socket }) => socket.end('220 smtp ready\r\n')],
    [
      'the answer is larger than 256 KiB',
      ({ socket }) => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n${'x'.repeat(300_000)}`),
    ],
  ])('when %s', async (_, answer) => {
    server.answer = answer;
    expect(await ask(one)).toMatchObject({ answered: false, reason: expect.stringMatching(/./) });
    server.answer = ({ socket }) => socket.write(OK);
    expect(await ask(one)).toMatchObject({ answered: true, status: 200 });
    expect(server.seen).toHaveLength(2);
  });

  it('at the deadlines, 10 s to the first byte and 15 s in all, the socket is reset', async () => {
    const slow = merchant('1900000003');
    server.answer = ({ socket, owner }) => {
      if (owner !== slow.mchId) return;
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n');
      const trickle = setInterval(() => socket.write('x'), 500);
      socket.once('close', () => clearInterval(trickle));
    };
    const [mute, trickling] = await Promise.all([ask(one), ask(slow)]);
    expect(mute).toMatchObject({ answered: false, reason: 'no answer in 10 s' });
    expect(mute.durationMs).toBeGreaterThan(9900);
    expect(mute.durationMs).toBeLessThan(11_500);
    expect(trickling).toMatchObject({ answered: false, reason: 'no whole answer in 15 s' });
    expect(trickling.durationMs).toBeLessThan(16_500);
    await sleep(100);
    expect(server.seen.map(({ error }) => error)).toEqual(['ECONNRESET', 'ECONNRESET']);
  });

  it('a redirect is an answer, and is not followed', async () => {
    server.answer = ({ socket }) =>
      socket.write('HTTP/1.1 302 Found\r\nlocation: https://localhost/\r\ncontent-length: 0\r\n\r\n');
    expect(await ask(one)).toMatchObject({ answered: true, status: 302 });
    expect(server.seen.map(({ requests }) => requests)).toEqual([1]);
  });
});

describe('a connection', () => {
  it('serves one request at a time and is used again', async () => {
    for (let count = 0; count < 3; count += 1) expect(await ask(one)).toMatchObject({ answered: true });
    expect(server.seen.map(({ requests }) => requests)).toEqual([3]);
    await Promise.all([ask(one), ask(one), ask(one)]);
    expect(server.seen.map(({ requests }) => requests).reduce((sum, requests) => sum + requests)).toBe(6);
    expect(server.seen).toHaveLength(3);
  });

  it('that the other side closed while it was idle is not written to', async () => {
    await ask(one);
    server.seen[0]?.socket.end();
    await sleep(100);
    expect(await ask(one)).toMatchObject({ answered: true });
    expect(server.seen.map(({ requests }) => requests)).toEqual([1, 1]);
  });

  it('that the other side closes after it was taken is not written to either, and that is certain', async () => {
    await ask(one);
    const connection = await connections.take(one);
    server.seen[0]?.socket.destroy();
    while (connection.usable) await sleep(5);
    expect(await connection.exchange(REQUEST)).toMatchObject({ answered: false, written: false });
    expect(server.seen.map(({ requests }) => requests)).toEqual([1]);
  });

  it('asks just before the bytes whether it may still write, and at a no it writes nothing and serves again', async () => {
    await ask(one);
    const connection = await connections.take(one);
    let late = false;
    const exchange = connection.exchange(REQUEST, () => !late);
    late = true;
    expect(await exchange).toMatchObject({ answered: false, written: false });
    expect(await ask(one)).toMatchObject({ answered: true, status: 200 });
    expect(server.seen.map(({ requests }) => requests)).toEqual([2]);
  });

  it('takes what comes before the answer, 103, for no answer', async () => {
    server.answer = ({ socket }) => socket.write(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}`);
    expect(await ask(one)).toMatchObject({ answered: true, status: 200, headers: { 'content-length': '2' } });
  });

  it('is never shared between merchants, and each shows its own certificate', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, place) => ask(place % 2 === 0 ? one : two)));
    await Promise.all(Array.from({ length: 20 }, (_, place) => ask(place % 2 === 0 ? two : one)));
    const byOwner = (owner: string): number =>
      server.seen.filter((seen) => seen.owner === owner).reduce((sum, { requests }) => sum + requests, 0);
    expect([byOwner(one.mchId), byOwner(two.mchId), server.seen.length <= 20]).toEqual([20, 20, true]);
  });

  it('with a certificate that was replaced is closed, and the next shows the new one', async () => {
    await ask(one);
    const renewed = merchant(one.mchId, makeCertificate(one.mchId));
    await ask(renewed);
    await ask(renewed);
    await sleep(50);
    expect(server.seen.map(({ requests, socket }) => [requests, socket.destroyed])).toEqual([
      [1, true],
      [2, false],
    ]);
  });

  it('is made ahead, as many as are asked for', async () => {
    expect(await connections.warm(one, 5)).toBe(5);
    await Promise.all(Array.from({ length: 5 }, () => ask(one)));
    expect(server.seen).toHaveLength(5);
  });
});
