import type { ParseArgsConfig } from 'node:util';

/** How a command ends; README lists the same. */
export const EXIT_CODES = {
  /** Done, nothing left to do. */
  ok: 0,
  /** It failed, or it found something that a person must do; the output says what. */
  todo: 1,
  /** The words or options are not those of any command; nothing was touched. */
  usage: 2,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

/** What a command came to: lines for people, or with --json one object with the same content. */
export interface Outcome {
  readonly exitCode: ExitCode;
  readonly lines: readonly string[];
  readonly json: object;
}

export type OptionValues = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

/** One command of the tool. */
export interface Command {
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** Throws {@link WrongUsage} for values that cannot be meant; any other error ends the tool with `todo`. */
  run(values: OptionValues, context: CommandContext): Promise<Outcome>;
}

/** What a command has of the process around it. */
export interface CommandContext {
  readonly environment: NodeJS.ProcessEnv;
  /** A line about how far it is; on standard error, so that --json stays whole. */
  readonly progress: (line: string) => void;
}

/** Words or options that no command takes. */
export class WrongUsage extends Error {
  override readonly name = 'WrongUsage';
}

/** The value of a text option; undefined where it was not given. */
export function textOf(values: OptionValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}
