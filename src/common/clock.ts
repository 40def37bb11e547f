/**
 * The process clock. It serves the 5-minute window of v3 signatures and deadlines on the wire, nothing else:
 * every time that is stored or compared with a stored one comes from the database's `tuikuan_now()`.
 */
export interface Clock {
  /** Milliseconds since 1970 by the machine's clock; may jump. */
  wallMs(): number;
  /** Milliseconds by a clock that only runs forward; only differences mean something. */
  monotonicMs(): number;
}

/** Injection token of the {@link Clock}. */
export const CLOCK = Symbol('Clock');

/** The clock of the machine. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};
