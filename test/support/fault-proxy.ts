import { once } from 'node:events';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What the proxy does to the traffic, from now until it heals.
 *
 * `latency` delays every chunk, in order. `down` ends what is open and refuses what comes. `reset` answers the next chunk of a client with RST.
 * `cut` lets so many bytes of answers through on each connection and then resets it. `swallow` keeps back the reply to a request that contains
 * `ask`, on a connection that has `seen` a text in a reply before, if one is named, and then resets the connection or stays silent. `black_hole`
 * takes every byte and passes none on. `slow_close` passes an end on so much later. What was kept back arrives when the proxy heals, as after a
 * mended network.
 */
export type Toxic =
  | { readonly kind: 'latency'; readonly ms: number }
  | { readonly kind: 'down' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'cut'; readonly afterBytes: number }
  | { readonly kind: 'swallow'; readonly ask: string; readonly seen?: string; readonly then: 'reset' | 'silence' }
  | { readonly kind: 'black_hole' }
  | { readonly kind: 'slow_close'; readonly ms: number };

export const TOXICS = ['latency', 'down', 'reset', 'cut', 'swallow', 'black_hole', 'slow_close'] as const;

/** One connection through the proxy. */
interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** Bytes of answers that were passed on since the toxic began. */
  answered: number;
  /** A reply held the text that `swallow` looks for. */
  seen: boolean;
  /** The request whose reply is swallowed has gone out. */
  swallowing: boolean;
  /** What is kept back, until the proxy heals. */
  readonly kept: (() => void)[];
}

type Side = 'client' | 'server';

/** A TCP proxy that harms what passes, and counts how often it did. */
export class FaultProxy {
  readonly fired: Record<Toxic['kind'], number> = Object.fromEntries(TOXICS.map((kind) => [kind, 0])) as never;
  private readonly links = new Set<Link>();
  private toxic: Toxic | null = null;
  private server: Server | null = null;

  private constructor(
    private readonly target: { readonly host: string; readonly port: number },
    readonly port: number,
  ) {}

  /** A proxy on 127.0.0.1 before a target. */
  static async before(target: { readonly host: string; readonly port: number }): Promise<FaultProxy> {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as { port: number };
    await new Promise((resolve) => probe.close(resolve));
    const proxy = new FaultProxy(target, port);
    await proxy.listen();
    return proxy;
  }

  /** Begins to do harm; only one kind at a time. */
  async harm(toxic: Toxic): Promise<void> {
    await this.heal();
    this.toxic = toxic;
    for (const link of this.links) Object.assign(link, { answered: 0, seen: false, swallowing: false });
    if (toxic.kind !== 'down') return;
    const { server } = this;
    this.server = null;
    server?.close();
    for (const link of this.links) this.reset(link, 'down');
  }

  /** Passes everything on again, what was kept back first. */
  async heal(): Promise<void> {
    this.toxic = null;
    for (const { kept } of this.links) for (const pass of kept.splice(0)) pass();
    if (!this.server) await this.listen();
  }

  /** Waits until the harm was done so many times, at most `seconds`. */
  async untilFired(kind: Toxic['kind'], times = 1, seconds = 20): Promise<void> {
    for (let waitedMs = 0; this.fired[kind] < times; waitedMs += 10) {
      if (waitedMs > seconds * 1000) throw new Error(`${kind} fired ${this.fired[kind]} of ${times} times`);
      await sleep(10);
    }
  }

  close(): void {
    this.server?.close();
    for (const { client, server } of this.links) for (const socket of [client, server]) socket.destroy();
  }

  private async listen(): Promise<void> {
    this.server = createServer({ allowHalfOpen: true }, (client) => this.join(client)).listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
  }

  private join(client: Socket): void {
    const server = connect({ ...this.target, allowHalfOpen: true });
    const link: Link = { client, server, answered: 0, seen: false, swallowing: false, kept: [] };
    this.links.add(link);
    for (const [side, from, to] of [
      ['client', client, server],
      ['server', server, client],
    ] as const) {
      from.setNoDelay();
      from.on('data', (chunk: Buffer) => this.pass(link, side, chunk));
      from.on('end', () => this.passEnd(link, to));
      // Where one side is gone, for whatever reason, the other is told so.
      from.on('error', () => abandon(to));
      from.on('close', () => {
        to.destroySoon();
        this.links.delete(link);
      });
    }
  }

  private pass(link: Link, from: Side, chunk: Buffer): void {
    const { toxic } = this;
    const on = (): void => void (from === 'client' ? link.server : link.client).write(chunk);
    if (toxic?.kind === 'latency') {
      this.fired.latency += 1;
      setTimeout(on, toxic.ms);
    } else if (toxic?.kind === 'black_hole') {
      this.fired.black_hole += 1;
      link.kept.push(on);
    } else if (from === 'client') this.passRequest(link, chunk);
    else this.passAnswer(link, chunk);
  }

  private passRequest(link: Link, chunk: Buffer): void {
    const { toxic } = this;
    if (toxic?.kind === 'reset') return this.reset(link, 'reset');
    if (toxic?.kind === 'swallow' && (toxic.seen === undefined || link.seen) && chunk.includes(toxic.ask))
      link.swallowing = true;
    link.server.write(chunk);
  }

  private passAnswer(link: Link, chunk: Buffer): void {
    const { toxic } = this;
    if (toxic?.kind === 'cut') this.cut(link, chunk, toxic.afterBytes);
    else if (toxic?.kind === 'swallow') this.swallow(link, chunk, toxic);
    else link.client.write(chunk);
  }

  private passEnd(link: Link, to: Socket): void {
    const { toxic } = this;
    if (link.kept.length > 0) return void link.kept.push(() => to.end());
    if (toxic?.kind !== 'slow_close') return void to.end();
    this.fired.slow_close += 1;
    setTimeout(() => to.end(), toxic.ms);
  }

  private cut(link: Link, chunk: Buffer, afterBytes: number): void {
    const left = afterBytes - link.answered;
    link.answered += chunk.length;
    if (chunk.length < left) return void link.client.write(chunk);
    link.client.write(chunk.subarray(0, Math.max(0, left)), () => this.reset(link, 'cut'));
  }

  /** The reply has come, so the request was done: it is kept back. */
  private swallow(link: Link, chunk: Buffer, { seen, then }: Extract<Toxic, { kind: 'swallow' }>): void {
    if (seen !== undefined && chunk.includes(seen)) link.seen = true;
    if (!link.swallowing) return void link.client.write(chunk);
    if (then === 'reset') return this.reset(link, 'swallow');
    if (link.kept.length === 0) this.fired.swallow += 1;
    link.kept.push(() => link.client.write(chunk));
  }

  private reset(link: Link, kind: Toxic['kind']): void {
    if (!this.links.delete(link)) return;
    this.fired[kind] += 1;
    abandon(link.client);
    link.server.destroy();
  }
}

/** Ends it by RST. Node loses the handle of a socket that is reset while its end is on the way, and then never exits: that one is closed. */
function abandon(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}
