import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const PARENT = '.data';
const NAME = /^demo-(\d+)-/;

/** A directory for one run of the demo. What demos left behind that were killed is removed. */
export function freshPlace(): string {
  mkdirSync(PARENT, { recursive: true });
  for (const name of readdirSync(PARENT)) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) removePlace(resolve(PARENT, name));
  }
  const directory = mkdtempSync(resolve(PARENT, `demo-${process.pid}-`));
  // As root PostgreSQL runs as another user, who must be able to pass.
  chmodSync(directory, 0o711);
  return directory;
}

/** Ends a PostgreSQL that outlived its service, and removes the directory. */
export function removePlace(directory: string): void {
  try {
    const [pid] = readFileSync(join(directory, '.data', 'postgres', 'postmaster.pid'), 'utf8').split('\n');
    // After a restart of the machine the number may be somebody else's.
    const command = execFileSync('ps', ['-p', String(Number(pid)), '-o', 'command='], { encoding: 'utf8' });
    if (command.includes(directory)) process.kill(Number(pid), 'SIGQUIT');
  } catch {
    // None is running: the usual case.
  }
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
