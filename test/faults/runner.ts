import type { CrashPoint } from './crash-points.js';

/** A point and which time it is passed for the last time. */
export interface CrashAt {
  readonly point: CrashPoint;
  readonly nth: number;
}

/** A service on one database and one port that can be made to end at a point, and begun again; one life at a time. */
export interface Runner {
  /** Begins a new life, after the last one has ended or was stopped. */
  start(): Promise<void>;
  /** The life that runs ends there. */
  arm(at: CrashAt): void;
  /** True once it has ended at its point. */
  readonly hasEnded: boolean;
  /** Asks it to stop as an operator would; it may end at its point on the way. */
  shutDown(): void;
  /** Runs a command beside the service: its exit code, or null when it ended at its point. */
  command(words: readonly string[], env: Readonly<Record<string, string>>, at: CrashAt | null): Promise<number | null>;
  /** Ends whatever runs. */
  close(): Promise<void>;
}
