import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import pg from 'pg';
import { createApplication } from '../../src/application.js';
import { runCommand } from '../../src/commands/run.js';
import { setLogLevel } from '../../src/common/log.js';
import { loadSettings } from '../../src/config/settings.js';
import { freePort, type Stack } from '../e2e/support/stack.js';
import { Life } from './life.js';
import type { CrashAt, Runner } from './runner.js';
import { installSeams } from './seams.js';

/** Everything that code of one life sets off belongs to that life. */
const lives = new AsyncLocalStorage<Life>();

/**
 * Services inside the test's own process. At its point a life is abandoned: nothing of it goes on, its sockets are closed as those of a
 * dead process are, and the next life begins on what it has left in the database.
 */
export class AbandoningRunner implements Runner {
  private readonly sockets = new WeakMap<Life, Set<Socket>>();
  private readonly undo: (() => void)[];
  private life: Life | null = null;
  private app: NestFastifyApplication | null = null;

  private constructor(
    private readonly stack: Stack,
    private readonly port: number,
  ) {
    setLogLevel('error');
    this.undo = [
      installSeams(
        { Client: pg.Client, Pool: pg.Pool, net, http },
        () => lives.getStore(),
        (life, socket) => this.sockets.get(life)?.add(socket),
      ),
      trust(readFileSync(stack.ports.ca, 'utf8')),
    ];
  }

  static async on(stack: Stack): Promise<AbandoningRunner> {
    return new AbandoningRunner(stack, await freePort());
  }

  get hasEnded(): boolean {
    return this.life?.isDead ?? false;
  }

  async start(): Promise<void> {
    await this.stop();
    const settings = loadSettings(this.stack.environment(this.port));
    const life = this.newLife(() => closeServer(this.app));
    await lives.run(life, async () => {
      this.app = await createApplication(settings, this.stack.databaseUrl);
      await this.app.listen(this.port, '127.0.0.1');
    });
    this.life = life;
    this.stack.inProcessUrl = `http://127.0.0.1:${this.port}`;
  }

  arm({ point, nth }: CrashAt): void {
    this.life?.arm(point.trap, nth);
  }

  shutDown(): void {
    const { life, app } = this;
    if (life && app) lives.run(life, () => void app.close());
  }

  async command(
    words: readonly string[],
    env: Readonly<Record<string, string>>,
    at: CrashAt | null,
  ): Promise<number | null> {
    let abandon = (): void => undefined;
    const abandoned = new Promise<null>((resolve) => (abandon = () => resolve(null)));
    const life = this.newLife(abandon);
    if (at) life.arm(at.point.trap, at.nth);
    const output = { answer: () => undefined, aside: () => undefined };
    const environment = { ...this.stack.environment(this.port), ...env };
    return Promise.race([lives.run(life, () => runCommand(words, environment, output)), abandoned]);
  }

  async close(): Promise<void> {
    await this.stop();
    this.undo.forEach((take) => take());
  }

  private async stop(): Promise<void> {
    const { life, app } = this;
    if (life && app && !life.isDead) await lives.run(life, () => app.close());
    this.app = null;
  }

  private newLife(end: () => void): Life {
    const sockets = new Set<Socket>();
    const life = new Life(() => {
      for (const socket of sockets) socket.destroy();
      end();
    });
    this.sockets.set(life, sockets);
    return life;
  }
}

function closeServer(app: NestFastifyApplication | null): void {
  const server = app?.getHttpServer();
  server?.closeAllConnections();
  server?.close();
}

/** Lets this process trust the simulator's authority, as NODE_EXTRA_CA_CERTS does for one that is started with it. */
function trust(ca: string): () => void {
  const original = tls.createSecureContext;
  tls.createSecureContext = (options) => original({ ca, ...options });
  return () => {
    tls.createSecureContext = original;
  };
}
