import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What one hostile input may cost (faults.md 2.7). */
const CPU_MS_MAX = 20;
/** A machine that serves others may be slow for some seconds, and books what it takes for them as ours. */
const REPEATS = 50;
const PAUSE_MS = 100;
/** Of what is in use after a collection; a leak of some hundred bytes per input passes it in a long run. */
const GROWTH_MB_MAX = 30;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** All processor time of this process, other threads included, in milliseconds. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Runs `work` once and throws when it costs too much: when it does, and so does each of some more runs. */
export function withinBudget<T>(what: () => string, work: () => T): T {
  let began = cpuMs();
  const result = work();
  const costsMs = [cpuMs() - began];
  while (isOver(what, costsMs)) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    began = cpuMs();
    work();
    costsMs.push(cpuMs() - began);
  }
  return result;
}

/** The same for work that is waited for; `again` repeats it without its effects. */
export async function withinBudgetAsync<T>(
  what: () => string,
  work: () => Promise<T>,
  again: () => Promise<unknown> = work,
): Promise<T> {
  let began = cpuMs();
  const result = await work();
  const costsMs = [cpuMs() - began];
  while (isOver(what, costsMs)) {
    await sleep(PAUSE_MS);
    began = cpuMs();
    await again();
    costsMs.push(cpuMs() - began);
  }
  return result;
}

/**
 * True while no run was cheap enough and there are runs left; throws after the last. What other threads do meanwhile, collecting garbage or
 * compiling, only ever adds: the least of the runs is what the input costs.
 */
function isOver(what: () => string, costsMs: readonly number[]): boolean {
  if ((costsMs.at(-1) ?? 0) <= CPU_MS_MAX) return false;
  if (costsMs.length > REPEATS) throw new Error(`${Math.min(...costsMs).toFixed(1)} ms of CPU for ${what()}`);
  return true;
}

/** Watches what must stay as it is over a campaign: the memory of this process, and what every object inherits. */
export class Steady {
  private readonly inherited = Steady.inherited();
  private usedMb = 0;

  /** Call it once when everything is warm. */
  begin(): void {
    this.usedMb = usedMb();
  }

  /** Throws when an object inherits anything new. */
  assertInherited(): void {
    if (Steady.inherited() !== this.inherited) throw new Error('Object.prototype was changed');
  }

  /** Throws when the memory has grown since {@link begin}; gives the growth in MB. */
  assertMemory(): number {
    const grown = usedMb() - this.usedMb;
    if (grown > GROWTH_MB_MAX) throw new Error(`memory in use grew by ${grown} MB`);
    return grown;
  }

  private static inherited(): string {
    return [Object.prototype, Array.prototype, Map.prototype, Function.prototype]
      .map((prototype) => Reflect.ownKeys(prototype).map(String).join(' '))
      .join('|');
  }
}

function usedMb(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return Math.round((heapUsed + external) / 2 ** 20);
}
