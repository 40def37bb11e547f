import { execFile } from 'node:child_process';
import type { Json } from './stack.js';

const CLI = new URL('../../../dist/cli.js', import.meta.url).pathname;

/** What a run of the built command line came to. */
export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built command line with nothing but this environment. */
export function tuikuan(words: readonly string[], env: Readonly<Record<string, string>>): Promise<Run> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env['PATH'], ...env }, cwd: '/' };
    execFile(process.execPath, [CLI, ...words], options, (error, stdout, stderr) => {
      const { code = 0 } = (error ?? {}) as { code?: number };
      resolve({ code, stdout, stderr });
    });
  });
}

/** The answer of a run with --json. */
export const jsonOf = ({ stdout }: Run): Json => JSON.parse(stdout) as Json;
