/** The long run: `npm run faults:hostile`. */
const LONG = process.env['FAULTS_LONG'] === '1';

/** The seed of this run; every campaign prints it. The same one again: SEED=<seed>. */
export const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

/** How much of a campaign runs now. */
export function sizeOf(size: { readonly ci: number; readonly long: number }): number {
  return LONG ? size.long : size.ci;
}

/** Prints the one line that a campaign leaves behind: what it did, how often, and its seed. */
export function summary(campaign: string, counts: Readonly<Record<string, number | string>>): void {
  const facts = Object.entries(counts).map(([name, count]) => `${name} ${count}`);
  process.stdout.write(`CAMPAIGN ${campaign}: ${facts.join(', ')}, SEED=${SEED}\n`);
}

/** Prints that a campaign cannot run here; it counts as not run. */
export function skipped(campaign: string, reason: string): void {
  process.stdout.write(`SKIPPED ${campaign}: ${reason}\n`);
}

/** What a program of the machine said about its failure, in one line. */
export function reasonOf(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  return (stderr?.trim() || message).split('\n')[0] ?? '';
}

/** Throws unless everything that the campaign claims to cover has happened: a run that did not fire its faults proves nothing. */
export function assertFired(counts: Readonly<Record<string, number>>, least: number): void {
  const idle = Object.entries(counts).filter(([, count]) => count < least);
  if (idle.length > 0)
    throw new Error(`void, not green: ${idle.map(([name, n]) => `${name} ${n}`).join(', ')} (seed ${SEED})`);
}

/** The time a campaign may take before it counts as hanging. */
export const LIMIT_MS = sizeOf({ ci: 300_000, long: 900_000 });

/** Random choices that the seed repeats. */
export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** A whole number from 0 to below `limit`. The generator is mulberry32. */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }
}
