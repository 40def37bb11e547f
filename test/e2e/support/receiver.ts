import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Json, Stack } from './stack.js';

/** A message as it came in. */
export interface Received {
  readonly atMs: number;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly event: Event;
}

/** What the body holds; nothing is imported from the service. */
export interface Event {
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  readonly sequence: number;
  readonly data: { readonly object: Json; readonly previous_status: string | null };
}

type Answer = (response: ServerResponse, received: Received) => void;
const OK: Answer = (response) => void response.writeHead(200).end();

/** A company's backend that listens for events: a small server of this test. */
export class Receiver {
  readonly received: Received[] = [];
  /** How it answers; every message is kept, whatever the answer. */
  answer: Answer = OK;

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<Receiver> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const made = new Receiver(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('request', (request, response: ServerResponse) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        const { headers, url: path = '' } = request;
        const received = { atMs: Date.now(), path, headers, body, event: JSON.parse(body) as Event };
        made.received.push(received);
        made.answer(response, received);
      });
    });
    return made;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** What has come in about one refund or order, in the order it came. */
  about(id: string): Received[] {
    return this.received.filter(({ event }) => event.data.object['id'] === id);
  }

  types(id: string): string[] {
    return this.about(id).map(({ event }) => event.type);
  }
}

/** Throws unless the independent verifier accepts the message with this secret. */
export function verify(message: Received, secret: string): void {
  new Webhook(secret).verify(message.body, message.headers as Record<string, string>);
}

/** True when the independent verifier accepts it. */
export function isVerified(message: Received, secret: string): boolean {
  try {
    verify(message, secret);
    return true;
  } catch {
    return false;
  }
}

/** Makes an endpoint and gives it with its secret. */
export async function endpointFor(stack: Stack, url: string, wish: Json = {}): Promise<{ id: string; secret: string }> {
  const made = await stack.ok('POST', '/v1/webhook_endpoints', { url, events: ['*'], ...wish });
  return { id: String(made['id']), secret: String(made['secret']) };
}

/** Deliveries to an endpoint, oldest first. */
export async function deliveriesTo(stack: Stack, endpoint: string, filter = ''): Promise<Json[]> {
  const { data } = (await stack.ok('GET', `/v1/webhook_deliveries?limit=100&endpoint=${endpoint}${filter}`)) as {
    data: Json[];
  };
  return data.reverse();
}
