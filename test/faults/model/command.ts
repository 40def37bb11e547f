import type fc from 'fast-check';
import { audit, type Ledger } from './ledger.js';
import type { World } from './world.js';

/** Runs a command's deed. */
export interface Deed {
  /** Whether it makes sense now; true when left out. */
  can?(ledger: Ledger): boolean;
  run(ledger: Ledger, world: World): Promise<void>;
}

/** Commands that were run, by name. */
export const commandsRun = new Map<string, number>();

/** A command of the model: does its deed, waits until all that follows is done, and audits the books. */
export function command(name: string, detail: unknown, deed: Deed): fc.AsyncCommand<Ledger, World> {
  return {
    check: (ledger) => deed.can?.(ledger) ?? true,
    async run(ledger, world) {
      commandsRun.set(name, (commandsRun.get(name) ?? 0) + 1);
      await deed.run(ledger, world);
      const wrong = audit(ledger, await world.quiet());
      if (wrong.length > 0) throw new Error(wrong.join('\n'));
    },
    toString: () => `${name}(${JSON.stringify(detail)})`,
  };
}

/** A violation found by a command itself. */
export function violated(condition: boolean, what: string): void {
  if (condition) throw new Error(what);
}
