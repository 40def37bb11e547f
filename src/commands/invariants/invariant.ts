/** A query that must give no row. */
export interface Invariant {
  /** The number of the fault catalogue and what must hold, in words. */
  readonly name: string;
  readonly sql: string;
}

/** An invariant that does not hold. */
export interface Finding {
  readonly name: string;
  readonly count: number;
  /** The first of them. */
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

export type Query = (sql: string) => Promise<readonly unknown[]>;

const ROWS_SHOWN = 10;

/** The invariants that do not hold, each with its first rows and how many there are. */
export async function findingsOf(query: Query, invariants: readonly Invariant[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, sql } of invariants) {
    const rows = (await query(
      `SELECT count(*) OVER ()::integer AS total, to_jsonb(f) AS row FROM (${sql}) f LIMIT ${ROWS_SHOWN}`,
    )) as readonly { readonly total: number; readonly row: Finding['rows'][number] }[];
    if (rows[0]) findings.push({ name, count: rows[0].total, rows: rows.map(({ row }) => row) });
  }
  return findings;
}

/** Words as an SQL list of texts. */
export function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "''")}'`).join(', ');
}
