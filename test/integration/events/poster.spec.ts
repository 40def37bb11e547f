import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../../src/common/clock.js';
import { type Posted, WebhookPoster } from '../../../src/events/poster.js';
import { type Resolve, WebhookTargets } from '../../../src/events/webhook-url.js';

const servers: Server[] = [];
const posters: WebhookPoster[] = [];
afterEach(async () => {
  await Promise.all(posters.splice(0).map((poster) => poster.close()));
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A receiver on this machine; gives its port. */
async function receiver(handler: RequestListener): Promise<number> {
  const server = createServer(handler).listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise((resolve) => server.once('listening', resolve));
  return (server.address() as AddressInfo).port;
}

/** A poster with the development switch, or without it. */
function poster(allowLoopback: boolean, resolve?: Resolve): WebhookPoster {
  const made = new WebhookPoster(new WebhookTargets(allowLoopback, resolve), systemClock);
  posters.push(made);
  return made;
}

const post = (url: string, of = poster(true)): Promise<Posted | null> =>
  of.post(url, { 'webhook-id': 'evt_1' }, '{"a":1}');

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

describe('a post', () => {
  it('carries body and headers, and the class of the answer comes back', async () => {
    const heard: unknown[] = [];
    const port = await receiver((request, response) => {
      void bodyOf(request).then((body) => {
        const { host: _host, ...headers } = request.headers;
        heard.push([request.method, request.url, headers, body]);
        response.writeHead(204).end();
      });
    });
    expect(await post(`http://127.0.0.1:${port}/hooks?shop=7`)).toMatchObject({ result: '2xx', gone: false });
    expect(heard).toEqual([
      [
        'POST',
        '/hooks?shop=7',
        {
          connection: 'keep-alive',
          'content-type': 'application/json',
          'content-length': '7',
          'user-agent': 'Tuikuan-Webhooks/1',
          'webhook-id': 'evt_1',
        },
        '{"a":1}',
      ],
    ]);
  });

  it.each<[number, Posted['result'], boolean]>([
    [200, '2xx', false],
    [299, '2xx', false],
    [301, '3xx', false],
    [400, '4xx', false],
    [410, '4xx', true],
    [500, '5xx', false],
    [599, '5xx', false],
  ])('answered %i is %s (gone: %s)', async (status, result, gone) => {
    const port = await receiver((_, response) => response.writeHead(status).end());
    expect(await post(`http://127.0.0.1:${port}/`)).toMatchObject({ result, gone });
  });

  it.each([301, 302, 303, 307, 308])('does not follow a redirect (%i)', async (status) => {
    let reached = 0;
    const inside = await receiver((_, response) => {
      reached += 1;
      response.end();
    });
    const port = await receiver((_, response) =>
      response.writeHead(status, { location: `http://127.0.0.1:${inside}/` }).end(),
    );
    expect(await post(`http://127.0.0.1:${port}/`)).toMatchObject({ result: '3xx' });
    expect(reached).toBe(0);
  });

  it('reads at most 16 KiB of an answer, of known length or not, and believes its status', async () => {
    let cut: () => void = () => undefined;
    const wasCut = new Promise<void>((resolve) => (cut = resolve));
    const port = await receiver((request, response) => {
      if (request.url === '/long') {
        response.writeHead(200, { 'content-length': String(50 * 1024 * 1024) });
        response.write('x'.repeat(1024));
        response.once('close', cut);
        return;
      }
      const more = (): void => {
        if (!response.destroyed) response.write('x'.repeat(64 * 1024), () => setImmediate(more));
      };
      response.once('close', cut);
      more();
    });
    expect(await post(`http://127.0.0.1:${port}/long`)).toMatchObject({ result: '2xx' });
    expect(await post(`http://127.0.0.1:${port}/endless`)).toMatchObject({ result: '2xx' });
    await wasCut;
  });

  it('to a receiver that says nothing ends after 15 seconds, and so does one whose answer drips', async () => {
    const port = await receiver((request, response) => {
      if (request.url !== '/drip') return;
      response.writeHead(200);
      const drip = setInterval(() => response.write('x'), 500);
      response.once('close', () => clearInterval(drip));
    });
    const startMs = performance.now();
    const [silent, dripping] = await Promise.all([
      post(`http://127.0.0.1:${port}/silent`),
      post(`http://127.0.0.1:${port}/drip`),
    ]);
    expect(performance.now() - startMs).toBeLessThan(18_000);
    expect(silent).toMatchObject({ result: 'no_answer' });
    expect(silent?.durationMs).toBeGreaterThan(14_900);
    expect(dripping).toMatchObject({ result: '2xx' });
  });

  it('that nobody hears, or that is cut, has no answer', async () => {
    const port = await receiver((request) => request.socket.destroy());
    expect(await post(`http://127.0.0.1:${port}/`)).toMatchObject({ result: 'no_answer' });
    expect(await post('http://127.0.0.1:9/')).toMatchObject({ result: 'no_answer' });
  });

  it('that is cut off has no outcome', async () => {
    const cut = poster(true);
    const port = await receiver(() => cut.cutOff());
    expect(await post(`http://127.0.0.1:${port}/`, cut)).toBeNull();
  });

  it.each<[string, string, number | null]>([
    ['seconds', '120', 120],
    ['none', '0', 0],
    ['a date', 'in 90 s', 90],
    ['a date that is over', 'Wed, 21 Oct 2015 07:28:00 GMT', 0],
    ['a word', 'soon', null],
    ['less than nothing', '-5', null],
  ])('hears Retry-After as %s', async (_, header, seconds) => {
    const value = header === 'in 90 s' ? new Date(Date.now() + 90_000).toUTCString() : header;
    const port = await receiver((_request, response) => response.writeHead(503, { 'retry-after': value }).end());
    const waits = (await post(`http://127.0.0.1:${port}/`))?.retryAfterSeconds;
    if (seconds === null) expect(waits).toBeNull();
    else expect(Math.abs((waits ?? -100) - seconds)).toBeLessThanOrEqual(5);
  });
});

describe('an address that is not public is refused when it is dialled, and its server hears nothing (S16, S17)', () => {
  let heard = 0;
  let port = 0;
  beforeEach(async () => {
    heard = 0;
    port = await receiver((_, response) => {
      heard += 1;
      response.end();
    });
    servers.at(-1)?.on('connection', () => (heard += 1));
  });

  it.each(['127.0.0.1', '127.1', '2130706433', '0x7f000001', '0177.0.0.1', '[::ffff:127.0.0.1]', 'localhost'])(
    'http://%s',
    async (host) => {
      expect(await post(`http://${host}:${port}/`, poster(false))).toMatchObject({ result: 'address_refused' });
      expect(heard).toBe(0);
    },
  );

  it.each<[string, string[]]>([
    ['a name that leads here', ['127.0.0.1']],
    ['a name with a public and a private address', ['93.184.215.14', '127.0.0.1']],
    ['a name with a private address in IPv6 only', ['93.184.215.14', '::1']],
    ['a name that leads to a mapped address', ['::ffff:127.0.0.1']],
  ])('%s', async (_, addresses) => {
    const resolve: Resolve = () =>
      Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));
    expect(await post(`http://shop.example:${port}/`, poster(false, resolve))).toMatchObject({
      result: 'address_refused',
    });
    expect(heard).toBe(0);
  });

  it('a name that was public when its URL was saved', async () => {
    let asked = 0;
    const resolve: Resolve = () => {
      asked += 1;
      return Promise.resolve([{ address: asked === 1 ? '93.184.215.14' : '127.0.0.1', family: 4 }]);
    };
    const targets = new WebhookTargets(false, resolve);
    expect(await targets.refusalOf('https://shop.example/')).toBeNull();
    const rebound = new WebhookPoster(targets, systemClock);
    posters.push(rebound);
    expect(await post(`http://shop.example:${port}/`, rebound)).toMatchObject({ result: 'address_refused' });
    expect([asked, heard]).toEqual([2, 0]);
  });

  it('with the development switch a receiver on this machine is heard, another private address is not', async () => {
    expect(await post(`http://127.0.0.1:${port}/`)).toMatchObject({ result: '2xx' });
    expect(await post('http://10.255.255.1/')).toMatchObject({ result: 'address_refused' });
    expect(await post('http://[::ffff:127.0.0.1]/')).toMatchObject({ result: 'address_refused' });
  });
});
