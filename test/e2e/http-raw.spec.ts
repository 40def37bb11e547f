import { once } from 'node:events';
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { head, open, raw, type RawAnswer } from './support/raw-http.js';
import { type Json, type Order, Stack, unique } from './support/stack.js';

/** What an HTTP client cannot be made to send (faults.md 2.8, 5.7), written byte by byte to this machine only. */
let stack: Stack;
let order: Order;
let token: string;
beforeAll(async () => {
  stack = await Stack.start();
  const merchant = await stack.merchant();
  order = await stack.paidOrder(merchant, 1000);
  const { notify_urls: urls } = await stack.ok('GET', `/v1/merchants/${merchant.mchId}`);
  token = new URL(String((urls as Json)['refund'])).pathname;
});
afterAll(() => stack.close());

const HOST = 'Host: 127.0.0.1';
const JSON_TYPE = 'Content-Type: application/json';
const key = (): string => `Authorization: Bearer ${stack.adminKey}`;
const send = (bytes: string | ((socket: Socket) => void), seconds?: number): Promise<RawAnswer> =>
  raw(stack.url, bytes, seconds);

/** A refund that would be taken if it came in a proper request. */
const refundBody = (): string => JSON.stringify({ order: order.id, amount: 1, out_refund_no: `R${unique()}` });
const refunds = async (): Promise<number> =>
  ((await stack.ok('GET', `/v1/refunds?order=${order.id}&limit=100`))['data'] as Json[]).length;

/** The head of a request that makes a refund, but for what the test adds. */
const post = (...headers: string[]): string =>
  head('POST /v1/refunds HTTP/1.1', HOST, key(), JSON_TYPE, 'Connection: close', ...headers);

describe('a request that two readers could read differently', () => {
  const BODY = (): [string, number] => {
    const body = refundBody();
    return [body, body.length];
  };
  const chunked = (body: string): string => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

  it.each<[string, () => string]>([
    [
      'a length and chunks',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}`, 'Transfer-Encoding: chunked') + chunked(body);
      },
    ],
    [
      'chunks and a length',
      () => {
        const [body, length] = BODY();
        return post('Transfer-Encoding: chunked', `Content-Length: ${length}`) + chunked(body);
      },
    ],
    [
      'two lengths',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}`, 'Content-Length: 5') + body;
      },
    ],
    [
      'one length twice',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}`, `Content-Length: ${length}`) + body;
      },
    ],
    [
      'a list of lengths',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}, ${length}`) + body;
      },
    ],
    [
      'a signed length',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: +${length}`) + body;
      },
    ],
    ['a length in another base', () => post('Content-Length: 0x50') + BODY()[0]],
    ['an unknown transfer encoding', () => post('Transfer-Encoding: xchunked') + chunked(BODY()[0])],
    ['chunks inside gzip', () => post('Transfer-Encoding: gzip, chunked') + chunked(BODY()[0])],
    ['chunks that are not last', () => post('Transfer-Encoding: chunked, identity') + chunked(BODY()[0])],
    [
      'two transfer encodings',
      () => post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity') + chunked(BODY()[0]),
    ],
    ['a blank before the colon', () => post('Transfer-Encoding : chunked') + chunked(BODY()[0])],
    ['a control character before the encoding', () => post('Transfer-Encoding: \x0bchunked') + chunked(BODY()[0])],
    [
      'a folded header',
      () => {
        const [body, length] = BODY();
        return post('X-Note: one\r\n two', `Content-Length: ${length}`) + body;
      },
    ],
    ['a folded transfer encoding', () => post('Transfer-Encoding:\r\n chunked') + chunked(BODY()[0])],
    [
      'lines that end in a bare LF',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}`).replaceAll('\r\n', '\n') + body;
      },
    ],
    [
      'one header that ends in a bare LF',
      () => {
        const [body, length] = BODY();
        return post('X-Note: a\nX-Other: b', `Content-Length: ${length}`) + body;
      },
    ],
    [
      'a bare CR in a header',
      () => {
        const [body, length] = BODY();
        return post('X-Note: a\rX-Other: b', `Content-Length: ${length}`) + body;
      },
    ],
    [
      'a NUL in a header',
      () => {
        const [body, length] = BODY();
        return post('X-Note: a\0b', `Content-Length: ${length}`) + body;
      },
    ],
    [
      'a header name with a blank',
      () => {
        const [body, length] = BODY();
        return post('X Note: a', `Content-Length: ${length}`) + body;
      },
    ],
    [
      'a header without a name',
      () => {
        const [body, length] = BODY();
        return post(': a', `Content-Length: ${length}`) + body;
      },
    ],
    ['a chunk of a negative size', () => post('Transfer-Encoding: chunked') + `-1\r\n${BODY()[0]}\r\n0\r\n\r\n`],
    [
      'a chunk of an overflowing size',
      () => post('Transfer-Encoding: chunked') + `10000000000000000a\r\n${BODY()[0]}\r\n0\r\n\r\n`,
    ],
    ['a chunk longer than it says', () => post('Transfer-Encoding: chunked') + `5\r\n${BODY()[0]}\r\n0\r\n\r\n`],
    [
      'two Host headers',
      () => {
        const [body, length] = BODY();
        return post('Host: other', `Content-Length: ${length}`) + body;
      },
    ],
    [
      'two Authorization headers',
      () => {
        const [body, length] = BODY();
        return post(key(), `Content-Length: ${length}`) + body;
      },
    ],
    [
      'two Idempotency-Key headers',
      () => {
        const [body, length] = BODY();
        return post('Idempotency-Key: a', 'idempotency-key: a', `Content-Length: ${length}`) + body;
      },
    ],
    [
      'no Host header',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}`).replace(`${HOST}\r\n`, '') + body;
      },
    ],
    [
      'HTTP/1.0 and no Host header',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}`).replace(`${HOST}\r\n`, '').replace('1.1', '1.0') + body;
      },
    ],
    [
      'a wish for HTTP/2',
      () => {
        const [body, length] = BODY();
        return (
          post('Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__', `Content-Length: ${length}`).replace(
            'Connection: close',
            'Connection: close, Upgrade, HTTP2-Settings',
          ) + body
        );
      },
    ],
    [
      'a wish for a web socket',
      () => {
        const [body, length] = BODY();
        return (
          post('Upgrade: websocket', `Content-Length: ${length}`).replace(
            'Connection: close',
            'Connection: close, Upgrade',
          ) + body
        );
      },
    ],
    ['no HTTP at all', () => 'hello\r\n\r\n'],
    ['the preface of HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    [
      'another version of HTTP',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}`).replace('HTTP/1.1', 'HTTP/3.1') + body;
      },
    ],
    [
      'a target that is an address',
      () => {
        const [body, length] = BODY();
        return post(`Content-Length: ${length}`).replace('POST /v1', 'POST http://127.0.0.1/v1') + body;
      },
    ],
  ])('is refused and makes nothing: %s', async (_, bytes) => {
    const before = await refunds();
    const answer = await send(bytes());
    expect([answer.text.slice(0, 120), answer.status]).toEqual([expect.anything(), 400]);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'validation_failed', request_id: expect.any(String) });
    expect(await refunds()).toBe(before);
  });

  it('is the same request in chunks, and is taken once', async () => {
    const before = await refunds();
    expect(await send(post('Transfer-Encoding: chunked') + chunked(refundBody()))).toMatchObject({ status: 201 });
    expect(await refunds()).toBe(before + 1);
  });

  it('with another one behind its announced last is at most one request', async () => {
    const before = await refunds();
    const [body, length] = BODY();
    const [second, secondLength] = BODY();
    await send(post(`Content-Length: ${length}`) + body + post(`Content-Length: ${secondLength}`) + second);
    expect(await refunds()).toBeLessThanOrEqual(before + 1);
  });
});

describe('a callback', () => {
  it.each(['Wechatpay-Signature', 'Wechatpay-Serial', 'Wechatpay-Timestamp', 'wechatpay-nonce', 'Content-Length'])(
    'with two %s headers is refused in the form of the door',
    async (name) => {
      const twice = name === 'Content-Length' ? [] : [`${name}: 1`, `${name.toUpperCase()}: 1`];
      const length = name === 'Content-Length' ? ['Content-Length: 2', 'Content-Length: 2'] : ['Content-Length: 2'];
      const answer = await send(
        `${head(`POST ${token} HTTP/1.1`, HOST, JSON_TYPE, 'Connection: close', ...twice, ...length)}{}`,
      );
      expect(answer.status).toBe(name === 'Content-Length' ? 400 : 401);
      if (name !== 'Content-Length') expect(answer.body).toBe('{"code":"FAIL","message":"FAIL"}');
    },
  );
});

describe('a head', () => {
  it('of three hundred headers is refused', async () => {
    const many = Array.from({ length: 300 }, (_, n) => `X${n}: y`);
    const answer = await send(head('GET /v1/refunds HTTP/1.1', HOST, key(), 'Connection: close', ...many));
    expect(answer).toMatchObject({ status: 431, body: expect.stringContaining('"status":431') });
  });

  it.each([
    ['with one long header', () => head('GET /v1/refunds HTTP/1.1', HOST, key(), `X: ${'y'.repeat(9000)}`)],
    ['with a long address', () => head(`GET /v1/refunds?x=${'y'.repeat(9000)} HTTP/1.1`, HOST, key())],
    ['with 100 kB of address', () => head(`GET /${'y'.repeat(100_000)} HTTP/1.1`, HOST, key())],
  ])('%s is refused', async (_, bytes) => {
    const answer = await send(bytes());
    expect([431, 414]).toContain(answer.status);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'validation_failed', status: answer.status });
  });

  it.each(['HEAD', 'TRACE', 'OPTIONS', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'BREW', 'post'])(
    'with the method %s does not run a POST route',
    async (method) => {
      const before = await refunds();
      const body = refundBody();
      const answer = await send(
        head(
          `${method} /v1/refunds HTTP/1.1`,
          HOST,
          key(),
          JSON_TYPE,
          'X-HTTP-Method-Override: POST',
          'Connection: close',
          `Content-Length: ${body.length}`,
        ) + body,
      );
      // HEAD is what GET would answer, without its body.
      expect(answer.status).toBe(method === 'HEAD' ? 200 : /^(BREW|post)$/.test(method) ? 400 : 404);
      if (method === 'HEAD') expect(answer.body).toBe('');
      expect(await refunds()).toBe(before);
    },
  );

  it('with CONNECT opens no tunnel', async () => {
    const answer = await send(head('CONNECT 127.0.0.1:443 HTTP/1.1', HOST, key()));
    expect(answer.text).not.toMatch(/^HTTP\/1\.1 2/);
  });

  it.each([
    '/v1/../v1/refunds',
    '//v1/refunds',
    '/v1//refunds',
    '/V1/refunds',
    '/v1/refunds;a=b',
    '/v1%2frefunds',
    '/v1/refunds/',
  ])('with the path %s reaches no other route', async (path) => {
    const before = await refunds();
    const body = refundBody();
    const answer = await send(
      head(`POST ${path} HTTP/1.1`, HOST, key(), JSON_TYPE, 'Connection: close', `Content-Length: ${body.length}`) +
        body,
    );
    expect([path, answer.status]).toEqual([path, 404]);
    expect(await refunds()).toBe(before);
  });

  it('that names another address of the caller changes nothing in who is asking', async () => {
    const answer = await send(
      head('GET /v1/refunds HTTP/1.1', HOST, 'X-Forwarded-For: 127.0.0.1', 'X-Forwarded-Host: a', 'Connection: close'),
    );
    expect(answer.status).toBe(401);
  });
});

describe('a body', () => {
  it.each(['null', '[]', '"x"', '1', 'true', '[{"amount":1}]', ' '])('that is %s is refused', async (body) => {
    for (const path of ['/v1/refunds', '/v1/orders', '/v1/merchants', '/v1/api_keys']) {
      const answer = await stack.api('POST', path, body);
      expect([path, answer.status, answer.body['code']]).toEqual([path, 400, 'validation_failed']);
    }
  });

  it('that is packed is refused, at the callback too', async () => {
    const packed = gzipSync(refundBody()).toString('latin1');
    const length = `Content-Length: ${packed.length}`;
    for (const encoding of ['gzip', 'x-gzip', 'br', 'GZIP', 'identity, gzip'])
      expect(await send(post(length, `Content-Encoding: ${encoding}`) + packed)).toMatchObject({ status: 415 });
    const callback = head(`POST ${token} HTTP/1.1`, HOST, 'Content-Encoding: gzip', 'Connection: close', length);
    expect(await send(callback + packed)).toMatchObject({ status: 401 });
  });

  it('that is larger than it may be is refused whether its length is told or not', async () => {
    const much = 'x'.repeat(70_000);
    expect((await send(post(`Content-Length: ${much.length}`) + much)).status).toBe(413);
    expect(
      (await send(`${post('Transfer-Encoding: chunked')}${much.length.toString(16)}\r\n${much}\r\n0\r\n\r\n`)).status,
    ).toBe(413);
  });
});

/** Writes a start and then drops of one byte. */
const trickle = (bytes: string) => (socket: Socket) => {
  socket.write(bytes);
  const drops = setInterval(() => socket.write('x'), 500);
  socket.once('close', () => clearInterval(drops));
};

/** Two hundred connections that have had one answer each; resolves when the last of them is closed. */
async function idlers(): Promise<number> {
  const idle = await Promise.all(Array.from({ length: 200 }, () => open(stack.url)));
  const ends = idle.map((socket) => once(socket, 'close'));
  for (const socket of idle) {
    socket.on('error', () => undefined);
    socket.resume().write(head('GET /health/live HTTP/1.1', HOST));
  }
  return (await Promise.all(ends)).length;
}

/** What takes its time runs side by side. */
describe('a connection', () => {
  let slowHead: Promise<RawAnswer>;
  let silence: Promise<RawAnswer>;
  let slowBody: Promise<RawAnswer>;
  let thousand: Promise<RawAnswer>;
  let idle: Promise<number>;
  beforeAll(() => {
    slowHead = send(trickle(`GET /health/live HTTP/1.1\r\n${HOST}\r\nX-Slow: `));
    silence = send(() => undefined);
    slowBody = send(trickle(post('Content-Length: 1000')));
    thousand = send(head('GET /health/live HTTP/1.1', HOST).repeat(1001));
    idle = idlers();
  });

  it('does not hinder others by being slow or idle', async () => {
    const began = performance.now();
    expect((await stack.api('GET', '/health/ready')).status).toBe(200);
    expect(performance.now() - began).toBeLessThan(4000);
  });

  it('that sends its head too slowly, or nothing, is closed after 5 seconds', async () => {
    for (const answer of [await slowHead, await silence]) {
      expect([408, null]).toContain(answer.status);
      expect(answer.seconds).toBeGreaterThan(4.5);
      expect(answer.seconds).toBeLessThan(9);
    }
  });

  it('that idles between two requests is closed', async () => {
    expect(await idle).toBe(200);
  });

  it('carries a thousand requests and no more', async () => {
    expect((await thousand).text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(1000);
  });

  it('that sends its body too slowly is closed after 10 seconds', async () => {
    const { seconds, status, body } = await slowBody;
    expect(status).toBe(408);
    expect(JSON.parse(body)).toMatchObject({ code: 'validation_failed', status: 408 });
    expect(seconds).toBeGreaterThan(9);
    expect(seconds).toBeLessThan(15);
  });

  it('after all this still finds the service well', async () => {
    expect(await stack.ok('GET', '/health/ready')).toMatchObject({ status: 'ok' });
    expect(stack.instances[0]?.log).not.toContain('"request failed"');
  });
});
