import { parseArgs } from 'node:util';
import { SettingsFaulty } from '../config/settings.js';
import {
  type Command,
  type CommandContext,
  EXIT_CODES,
  type ExitCode,
  type OptionValues,
  WrongUsage,
} from './command.js';

interface Entry {
  readonly summary: string;
  /** Options as usage shows them. */
  readonly usage?: string;
  /** Each command is loaded alone: most need little of the service. */
  readonly load: () => Promise<Command>;
}

const MIGRATE_UP: Entry = {
  summary: 'apply the migrations that are missing',
  load: async () => (await import('./migrate.js')).migrateUpCommand,
};

/** Every command by its words. */
const COMMANDS: ReadonlyMap<string, Entry> = new Map([
  ['migrate', MIGRATE_UP],
  ['migrate up', MIGRATE_UP],
  [
    'migrate status',
    {
      summary: 'list the migrations; exit code 1 while the schema is behind',
      load: async () => (await import('./migrate.js')).migrateStatusCommand,
    },
  ],
  [
    'migrate down',
    {
      summary: 'take the newest migration back',
      load: async () => (await import('./migrate.js')).migrateDownCommand,
    },
  ],
  [
    'doctor',
    {
      summary:
        'look at settings, database, schema, clocks, certificates, notify URL and the way to WeChat; changes nothing',
      load: async () => (await import('./doctor/doctor.js')).doctor,
    },
  ],
  [
    'check-invariants',
    {
      summary: 'look whether everything holds that must hold of the database; changes nothing, exit code 1 when not',
      usage: '[--settled] [--simulator <control address>]',
      load: async () => (await import('./invariants/check-invariants.js')).checkInvariantsCommand,
    },
  ],
  [
    'archive',
    {
      summary:
        'move the history of orders at rest for so many days (400) out of the tables that every request writes; nothing is deleted',
      usage: '[--older-than-days <n>]',
      load: async () => (await import('./archive.js')).archiveCommand,
    },
  ],
  [
    'master-key rotate',
    {
      summary:
        'bring every sealed secret under MASTER_KEY_ACTIVE while the service runs; may be broken off and run again',
      load: async () => (await import('./master-key.js')).rotateMasterKey,
    },
  ],
  [
    'api-key create',
    {
      summary: 'make an API key without the server; it is shown this once',
      usage: '--name <text> --role viewer|operator|admin [--appid <appid> …] [--expires-at <RFC 3339>]',
      load: async () => (await import('./api-key.js')).createApiKey,
    },
  ],
  [
    'notification reprocess',
    {
      summary: 'work on stored notices once more; what they say is confirmed at WeChat, not believed',
      usage:
        '[--result unmatched,refused,…] [--kind refund|payment] [--mch-id <n>] [--received-gte <t>] [--received-lt <t>] | --all',
      load: async () => (await import('./reprocess.js')).reprocessNotifications,
    },
  ],
]);

const JSON_OPTION = { json: { type: 'boolean' } } as const;

/** What a run writes: the answer on standard output, everything else beside it. */
export interface Output {
  answer(text: string): void;
  aside(text: string): void;
}

/** Runs the command that the words name and gives the exit code; never throws. */
export async function runCommand(
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
  output: Output,
): Promise<ExitCode> {
  const context: CommandContext = { environment, progress: (line) => output.aside(line) };
  try {
    const { command, values } = await parse(words);
    const { exitCode, lines, json } = await command.run(values, context);
    output.answer(values['json'] === true ? JSON.stringify(json, null, 2) : lines.join('\n'));
    return exitCode;
  } catch (error) {
    if (error instanceof WrongUsage) {
      output.aside(`${error.message}\n${usage()}`);
      return EXIT_CODES.usage;
    }
    output.aside(`tuikuan: ${reasonOf(error)}`);
    return EXIT_CODES.todo;
  }
}

async function parse(words: readonly string[]): Promise<{ command: Command; values: OptionValues }> {
  const options = words.findIndex((word) => word.startsWith('-'));
  const named = words.slice(0, options === -1 ? words.length : options);
  const entry = COMMANDS.get(named.join(' '));
  if (!entry) throw new WrongUsage(named.length === 0 ? 'no command' : `no command "${named.join(' ')}"`);
  const command = await entry.load();
  try {
    const args = words.slice(named.length);
    const { values } = parseArgs({ args, options: { ...command.options, ...JSON_OPTION }, strict: true });
    return { command, values };
  } catch (error) {
    throw new WrongUsage(error instanceof Error ? error.message : String(error));
  }
}

function usage(): string {
  const lines = [...COMMANDS].map(([words, { usage: options = '', summary }]) => {
    const line = `  tuikuan ${words} ${options}`.trimEnd();
    return `${line}\n      ${summary}`;
  });
  return `usage: tuikuan <command> [options] [--json]\n${lines.join('\n')}\nexit code: 0 done, 1 failed or something to do, 2 wrong usage`;
}

/** The faults of the settings by name, else the text alone; none of them holds a secret. */
function reasonOf(error: unknown): string {
  if (error instanceof SettingsFaulty) return error.message;
  return error instanceof Error ? error.message : String(error);
}
