import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 60_000;
/** Asking oftener takes the process that starts the processor it needs. */
const READY_EVERY_MS = 200;

/** One running process of the built service. */
export class Instance {
  log = '';

  constructor(
    readonly child: ChildProcess,
    readonly url: string,
  ) {
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
  }

  async ready(): Promise<void> {
    for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += READY_EVERY_MS) {
      if (this.child.exitCode !== null) throw new Error(`the service ended:\n${this.log}`);
      if ((await fetch(`${this.url}/health/ready`).catch(() => null))?.ok) return;
      await sleep(READY_EVERY_MS);
    }
    throw new Error(`the service is not ready:\n${this.log}`);
  }

  get lives(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Ends it at once, as a power cut would. */
  async kill(): Promise<void> {
    if (!this.lives) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGCONT');
    this.child.kill('SIGKILL');
    await ended;
  }

  /** Resident memory in MB. */
  async rssMb(): Promise<number> {
    const { readFile } = await import('node:fs/promises');
    const status = await readFile(`/proc/${this.child.pid}/status`, 'utf8');
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  }
}
