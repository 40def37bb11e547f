import fc from 'fast-check';
import { ASKING } from './asking.js';
import { commandsRun } from './command.js';
import { settle } from './ending.js';
import { Lane } from './lane.js';
import { Ledger } from './ledger.js';
import { MACHINE } from './machine.js';
import { NOTICES } from './notices.js';
import { SOMETIMES } from './sometimes.js';
import { WECHATS } from './wechats.js';
import { WORKING } from './working.js';
import { type Setting, World } from './world.js';

const COMMANDS_MAX = 80;

/** The more often a kind stands here, the more often it comes. */
const COMMANDS = [
  ...Object.values(ASKING),
  ASKING.create,
  ASKING.create,
  ...Object.values(WORKING),
  WORKING.cancel,
  WORKING.retry,
  WORKING.resolve,
  WORKING.resolve,
  WORKING.repair,
  WORKING.repair,
  ...Object.values(WECHATS),
  WECHATS.sendFault,
  WECHATS.sendFault,
  WECHATS.queryFault,
  WECHATS.finish,
  WECHATS.finish,
  ...Object.values(NOTICES),
  ...Object.values(MACHINE),
  MACHINE.forward,
  MACHINE.forward,
  MACHINE.forward,
  MACHINE.crash,
  WECHATS.lateAnswer,
];

/** Shrinking leaves it as it is: what matters of it is told by the commands that are left. */
const SETTING: fc.Arbitrary<Setting> = fc.noShrink(
  fc.record({
    version: fc.constantFrom('v2', 'v3'),
    notify: fc.constantFrom('confirm', 'apply'),
    paidFen: fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 100 })),
    old: fc.boolean(),
    balanceFen: fc.option(fc.integer({ min: 0, max: 1500 }), { freq: 2 }),
    mute: fc.boolean(),
  }),
);

/** What a campaign has done, over all its lanes. */
export interface Tally {
  readonly runs: number;
  readonly commands: number;
  readonly seen: ReadonlyMap<string, number>;
  readonly missing: readonly string[];
}

export interface Wanted {
  readonly seed: number;
  readonly runs: number;
  readonly lanes: number;
  /** fast-check's path to one run of one lane, from the failure that is to be replayed. */
  readonly path?: string;
  readonly replayPath?: string;
  /** The campaign, with its shrinking, ends after this. */
  readonly withinMs: number;
  /** Whether the first violation is made smaller before it is reported. */
  readonly shrinks: boolean;
}

/**
 * Runs the model: `lanes` databases side by side, each with runs one after the other, so that one works while another waits for a slot. A
 * lane's seed is the campaign's plus its number. Throws fast-check's report of the first violation, which names seed and path.
 */
export async function campaign({ seed, runs, lanes, path, replayPath, withinMs, shrinks }: Wanted): Promise<Tally> {
  const seen = new Map<string, number>();
  let begun = 0;
  let isOver = false;
  const did = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);
  const lane = async (number: number): Promise<void> => {
    const place = await Lane.start();
    // One for each lane: it remembers, for the replayPath of a failure, what was run of its commands.
    const all = fc.commands(COMMANDS, {
      maxCommands: COMMANDS_MAX,
      size: 'max',
      ...(replayPath !== undefined && { replayPath }),
    });
    const property = fc.asyncProperty(SETTING, all, async (setting, commands) => {
      if (isOver) return;
      begun += 1;
      const world = await World.begin(place, setting, did);
      const ledger = new Ledger(world);
      try {
        await fc.asyncModelRun(() => ({ model: ledger, real: world }), commands);
        await settle(ledger);
        for (const fault of world.wechat.suffered) did(`fault: ${fault}`);
      } finally {
        await world.end();
      }
    });
    try {
      await fc.assert(property, {
        seed: seed + number,
        numRuns: path === undefined ? Math.ceil(runs / lanes) : 1,
        interruptAfterTimeLimit: withinMs,
        markInterruptAsFailure: true,
        endOnFailure: !shrinks,
        ...(path !== undefined && { path }),
      });
    } finally {
      await place.close();
    }
  };
  const ended = await Promise.allSettled(
    Array.from({ length: lanes }, (_, number) =>
      lane(number).catch((violation: unknown) => {
        isOver = true;
        throw violation;
      }),
    ),
  );
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
  const commands = [...commandsRun.values()].reduce((sum, count) => sum + count, 0);
  return { runs: begun, commands, seen, missing: SOMETIMES.filter((what) => !seen.has(what)) };
}
