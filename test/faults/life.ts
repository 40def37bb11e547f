/** Where a life ends: a place on one of the seams (seams.ts), which is passed again and again. */
export type Trap =
  | {
      readonly seam: 'database';
      /** Regular expression over the statement. */
      readonly statement: string;
      /** Each found in the values of this statement or in an earlier one of its transaction, with its values. */
      readonly having?: readonly string[];
      /** Alone: outside a transaction, so it commits by itself. */
      readonly alone?: true;
      /** `replied`: the database has done it, and the reply is lost with us. `taken`: the reply reached us, the next turn of the event loop does not. */
      readonly moment: 'before' | 'replied' | 'taken';
    }
  | {
      readonly seam: 'wire';
      /** Regular expression over `METHOD path` of a request of ours. */
      readonly request: string;
      readonly moment: 'before' | 'half' | 'written' | 'headers' | 'answered';
    }
  | {
      readonly seam: 'server';
      /** Regular expression over `METHOD path` of a request to us. */
      readonly request: string;
      readonly moment: 'received' | 'before' | 'half';
    };

/** A statement with its values, and those before it in its transaction; null outside one. */
export interface Said {
  readonly seam: 'database';
  readonly text: string;
  readonly values: string;
  readonly earlier: readonly string[] | null;
}

export type Passing =
  | (Said & { readonly moment: string })
  | { readonly seam: 'wire' | 'server'; readonly moment: string; readonly text: string };

/** One life of a service: it ends the nth time it passes its trap. */
export class Life {
  isDead = false;
  private trap: Trap | null = null;
  private left = 0;

  /** `end` is what death does; it is called once. */
  constructor(private readonly end: () => void) {}

  arm(trap: Trap, nth: number): void {
    this.trap = trap;
    this.left = nth;
  }

  /** True when this is where it dies; the caller then calls {@link die}. */
  reaches(passing: Passing): boolean {
    if (this.isDead || this.left === 0 || this.trap === null || !matches(this.trap, passing)) return false;
    this.left -= 1;
    return this.left === 0;
  }

  die(): void {
    if (this.isDead) return;
    this.isDead = true;
    this.end();
  }
}

const found = (pattern: string, text: string): boolean => new RegExp(pattern).test(text);

function matches(trap: Trap, passing: Passing): boolean {
  if (trap.moment !== passing.moment) return false;
  if (trap.seam === 'database') return passing.seam === 'database' && matchesStatement(trap, passing);
  return trap.seam === passing.seam && found(trap.request, passing.text);
}

function matchesStatement(trap: Extract<Trap, { seam: 'database' }>, passing: Said): boolean {
  if (!found(trap.statement, passing.text) || (trap.alone && passing.earlier !== null)) return false;
  const said = [passing.values, ...(passing.earlier ?? [])];
  return (trap.having ?? []).every((wanted) => said.some((text) => found(wanted, text)));
}
