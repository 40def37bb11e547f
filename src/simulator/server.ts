import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { Arrivals, TICK_MS } from './arrivals.js';
import type { FaultPlan } from './faults.js';
import { serveV2 } from './v2/server.js';
import { serveV3 } from './v3/server.js';
import type { World } from './world.js';

const BODY_BYTES_MAX = 64 * 1024;

/**
 * The HTTPS server that stands for api.mch.weixin.qq.com, both protocols on one port: a path under /v3/ is API v3, any other V2. A client
 * certificate is asked for and judged per call.
 */
export function createWechatServer(world: World, faults: FaultPlan, host?: string): Server {
  const { certificatePem: cert, privateKeyPem: key } = world.authority.server(host);
  const lines = new Map<number | undefined, { readonly tcp: Socket; readonly connection: number }>();
  let count = 0;
  const arrivals = new Arrivals();
  const watching = setInterval(() => arrivals.tick(), TICK_MS);
  watching.unref();
  const listener: RequestListener = (request, response) => {
    const line = lines.get(request.socket.remotePort) ?? { tcp: request.socket, connection: 0 };
    const receivedMs = arrivals.come(world.limits.requestsPerSecond);
    bodyOf(request)
      .then((body) => {
        if (body === null) return void request.socket.destroy();
        const serve = request.url?.startsWith('/v3/') ? serveV3 : serveV2;
        return serve(world, faults, { request, response, body, receivedMs, ...line });
      })
      .catch(() => request.socket.destroy());
  };
  const server = createServer(
    {
      key,
      cert,
      ca: world.authority.certificatePem,
      requestCert: true,
      rejectUnauthorized: false,
      keepAliveTimeout: 60_000,
    },
    listener,
  );
  server.on('close', () => clearInterval(watching));
  server.on('connection', (tcp: Socket) => {
    const { remotePort } = tcp;
    lines.set(remotePort, { tcp, connection: (count += 1) });
    tcp.once('close', () => lines.delete(remotePort));
  });
  return server;
}

/** The raw bytes of the body; null when it is too long. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
