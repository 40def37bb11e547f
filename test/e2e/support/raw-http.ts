import { connect, type Socket } from 'node:net';

/** What came back on a connection of its own until it was closed, and how long that took. */
export interface RawAnswer {
  /** Every answer on the connection, as it came. */
  readonly text: string;
  /** Of the first answer; null when there was none. */
  readonly status: number | null;
  /** The first answer's. */
  readonly body: string;
  readonly seconds: number;
}

/** A connection to a service on this machine. */
export function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  if (hostname !== '127.0.0.1') throw new Error('raw bytes go to this machine only');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Writes bytes as they are, or as `write` does it, and waits until the service closes the connection; at most `seconds`. */
export async function raw(url: string, write: string | ((socket: Socket) => void), seconds = 20): Promise<RawAnswer> {
  const began = performance.now();
  const socket = await open(url);
  let text = '';
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection stayed open for ${seconds} s after: ${text.slice(0, 200)}`));
    }, seconds * 1000);
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    // A reset after the answer is a way to close.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(late);
      resolve();
    });
    if (typeof write === 'string') socket.write(write, 'latin1');
    else write(socket);
  });
  const [head = '', body = ''] = text.split(/\r\n\r\n(.*)/s);
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1];
  return {
    text,
    status: status === undefined ? null : Number(status),
    body: /transfer-encoding: chunked/i.test(head) ? dechunked(body) : body.slice(0, lengthIn(head)),
    seconds: (performance.now() - began) / 1000,
  };
}

/** A request's head: one line, then headers. */
export const head = (line: string, ...headers: string[]): string => `${[line, ...headers].join('\r\n')}\r\n\r\n`;

/** The length that a head announces; undefined for all that follows. */
function lengthIn(head: string): number | undefined {
  const length = /^content-length: (\d+)$/im.exec(head)?.[1];
  return length === undefined ? undefined : Number(length);
}

function dechunked(body: string): string {
  const [, size = '0', rest = ''] = /^([0-9a-f]+)\r\n(.*)$/s.exec(body) ?? [];
  const length = Number.parseInt(size, 16);
  return length === 0 ? '' : rest.slice(0, length) + dechunked(rest.slice(length + 2));
}
