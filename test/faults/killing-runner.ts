import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Instance } from '../e2e/support/instance.js';
import { freePort, type Stack } from '../e2e/support/stack.js';
import type { CrashAt, Runner } from './runner.js';

const HOOK = new URL('crash-hook.mjs', import.meta.url).href;
const CLI = new URL('../../dist/cli.js', import.meta.url).pathname;
const wordsOf = ({ point, nth }: CrashAt): string => `${point.id}:${nth}`;

/** The built service as a process of its own, which SIGKILL ends at its point. */
export class KillingRunner implements Runner {
  private instance: Instance | null = null;

  private constructor(
    private readonly stack: Stack,
    private readonly port: number,
  ) {}

  static async on(stack: Stack): Promise<KillingRunner> {
    return new KillingRunner(stack, await freePort());
  }

  get hasEnded(): boolean {
    return this.instance?.child.signalCode === 'SIGKILL';
  }

  async start(): Promise<void> {
    await this.instance?.kill();
    const env = { PORT: String(this.port), NODE_OPTIONS: `--import ${HOOK}` };
    this.instance = await this.stack.addInstance(env, { channel: true });
  }

  arm(at: CrashAt): void {
    this.instance?.child.send(wordsOf(at));
  }

  shutDown(): void {
    this.instance?.signal('SIGTERM');
  }

  async command(
    words: readonly string[],
    env: Readonly<Record<string, string>>,
    at: CrashAt | null,
  ): Promise<number | null> {
    const hook = at ? { CRASH_AT: wordsOf(at), NODE_OPTIONS: `--import ${HOOK}` } : {};
    const child = spawn(process.execPath, [CLI, ...words], {
      env: { PATH: process.env['PATH'], ...this.stack.environment(this.port), ...hook, ...env },
      stdio: 'ignore',
    });
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    return signal === 'SIGKILL' ? null : (code ?? -1);
  }

  async close(): Promise<void> {
    await this.instance?.kill();
  }
}
