import { systemClock } from '../../common/clock.js';
import { loadSettings } from '../../config/settings.js';
import { readOnly } from '../../database/read-only.js';
import { type Command, EXIT_CODES, type Outcome, textOf } from '../command.js';
import { withDatabase } from '../database.js';
import { AGAINST_WECHAT, SETTLED_WITH_WECHAT } from './against-wechat.js';
import { HISTORY } from './history.js';
import { type Finding, findingsOf, type Invariant } from './invariant.js';
import { PUNCTUALITY, SCHEDULE, SETTLED } from './liveness.js';
import { MONEY } from './money.js';
import { sealedUnder } from './secrets.js';
import { fillLedgerTables, makeLedgerTables, readWechatLedger, type WechatLedger } from './wechat-ledger.js';

/** What holds of a database at every moment, whether workers run or not. */
export const ALWAYS: readonly Invariant[] = [...MONEY, ...HISTORY, ...SCHEDULE];

/** What a check looks at beside the database. */
export interface Wish {
  /** The simulator's ledger, read before the database is. */
  readonly ledger?: WechatLedger | null;
  /** The kids of MASTER_KEYS. */
  readonly kids?: readonly string[] | null;
  /** Nothing is under way any more. */
  readonly settled?: boolean;
}

/** What was looked at, and what of it does not hold. */
export interface Checked {
  readonly invariants: readonly Invariant[];
  readonly findings: readonly Finding[];
}

/** Looks at everything that must hold of one moment of a database; changes nothing. */
export async function checkInvariants(
  url: string,
  { ledger = null, kids = null, settled = false }: Wish,
): Promise<Checked> {
  const invariants = [
    ...ALWAYS,
    ...PUNCTUALITY,
    ...(settled ? SETTLED : []),
    ...(kids === null ? [] : [sealedUnder(kids)]),
    ...(ledger === null ? [] : AGAINST_WECHAT),
    ...(ledger !== null && settled ? SETTLED_WITH_WECHAT : []),
  ];
  return readOnly(
    url,
    async (connection) => {
      // The views over table and archive stand before the tables.
      await connection.query(
        `SELECT set_config('search_path', 'with_archive, ' || current_setting('search_path'), true)`,
      );
      if (ledger !== null) await fillLedgerTables((sql, parameters) => connection.query(sql, parameters), ledger);
      return { invariants, findings: await findingsOf((sql) => connection.query(sql), invariants) };
    },
    async (connection) => {
      if (ledger !== null) await makeLedgerTables((sql) => connection.query(sql));
    },
  );
}

/** Needs DATABASE_URL alone; with the service's other variables it looks at the master keys too. */
export const checkInvariantsCommand: Command = {
  options: { simulator: { type: 'string' }, settled: { type: 'boolean' } },
  run: async (values, context) => {
    const { environment } = context;
    const simulator = textOf(values, 'simulator');
    const ledger = simulator === undefined ? null : await readWechatLedger(simulator);
    const keysGiven = environment['MASTER_KEYS'] !== undefined || environment['MASTER_KEYS_FILE'] !== undefined;
    const kids = keysGiven ? [...loadSettings(environment).masterKeys.keys()] : null;
    const startMs = systemClock.monotonicMs();
    const checked = await withDatabase(context, (url) =>
      checkInvariants(url, { ledger, kids, settled: values['settled'] === true }),
    );
    return outcomeOf(checked, Math.round(systemClock.monotonicMs() - startMs));
  },
};

function outcomeOf({ invariants, findings }: Checked, tookMs: number): Outcome {
  const checks = invariants.map(({ name }) => {
    const found = findings.find((finding) => finding.name === name);
    return { name, result: found ? 'fail' : 'ok', count: found?.count ?? 0, rows: found?.rows ?? [] };
  });
  const lines = checks.flatMap(({ name, result, count, rows }) => [
    `${result.padEnd(4)}  ${name}${count === 0 ? '' : `: ${count} ${count === 1 ? 'row does' : 'rows do'} not fit`}`,
    ...rows.map((row) => `        ${JSON.stringify(row)}`),
    ...(count > rows.length ? [`        and ${count - rows.length} more`] : []),
  ]);
  return {
    exitCode: findings.length > 0 ? EXIT_CODES.todo : EXIT_CODES.ok,
    lines: [...lines, `${checks.length} invariants, ${findings.length} broken, ${tookMs} ms`],
    json: { checks, took_ms: tookMs },
  };
}
