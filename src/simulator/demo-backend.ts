import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Heard {
  readonly type: string;
  readonly objectId: string;
  readonly verified: boolean;
}

/** The company's order system in the demo: it hears of events, and checks that they come from the service. */
export class DemoBackend {
  /** The endpoint's signing secret, once the endpoint is made. */
  secret = '';
  private readonly heard: Heard[] = [];

  private constructor(readonly url: string) {}

  static start(): Promise<DemoBackend> {
    return new Promise((started) => {
      const server = createServer((request, response) => {
        void bodyOf(request).then((body) => {
          backend.hear(request.headers, body);
          response.writeHead(204).end();
        });
      });
      let backend: DemoBackend;
      server.listen(0, '127.0.0.1', () => {
        backend = new DemoBackend(`http://127.0.0.1:${(server.address() as AddressInfo).port}/events`);
        started(backend);
      });
    });
  }

  /** The types of what came about these objects, in the order it came. */
  about(...ids: readonly string[]): string[] {
    return this.heard.filter(({ objectId, verified }) => verified && ids.includes(objectId)).map(({ type }) => type);
  }

  private hear(headers: IncomingHttpHeaders, body: string): void {
    const { type, data } = JSON.parse(body) as { type: string; data: { object: { id: string } } };
    this.heard.push({ type, objectId: data.object.id, verified: isSigned(headers, body, this.secret) });
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function isSigned(headers: IncomingHttpHeaders, body: string, secret: string): boolean {
  const [id, time, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) =>
    String(headers[name]),
  );
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const wanted = createHmac('sha256', key).update(`${id}.${time}.${body}`).digest();
  return (signatures ?? '').split(' ').some((signature) => {
    const given = Buffer.from(signature.replace('v1,', ''), 'base64');
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  });
}
