import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** One request and its answer, whichever protocol it speaks. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The raw bytes of the body. */
  readonly body: Buffer;
  /** When its head came, on a clock that only runs forward. */
  readonly receivedMs: number;
  readonly connection: number;
  /** Under the TLS: only it can be reset. */
  readonly tcp: Socket;
}

/** The client certificate of a connection, as the front server sees it. */
export interface ClientCertificate {
  readonly mchId: string | null;
  readonly serial: string;
  /** Signed by our authority and inside its dates. */
  readonly valid: boolean;
}

/** The client certificate that came with a request; null without one. */
export function certificateOf(request: IncomingMessage): ClientCertificate | null {
  const socket = request.socket as TLSSocket;
  const peer = socket.getPeerCertificate();
  if (Object.keys(peer).length === 0) return null;
  const subject = peer.subject as unknown as Record<string, string> | undefined;
  return { mchId: subject?.['CN'] ?? null, serial: peer.serialNumber.toUpperCase(), valid: socket.authorized };
}

/** Answers as the front server does: an HTML page. */
export function page(response: ServerResponse, status: number, text: string): void {
  const body = `<html><head><title>${text}</title></head><body><center><h1>${text}</h1></center></body></html>`;
  response.writeHead(status, { 'content-type': 'text/html' }).end(body);
}
