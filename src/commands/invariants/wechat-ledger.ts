import { WrongUsage } from '../command.js';
import type { Query } from './invariant.js';

/** The lists of the simulator's `GET /ledger` that are compared, and the columns of each. */
const TABLES = {
  accepted: 'mch_id text, out_refund_no text, out_trade_no text, amount_fen bigint, at timestamptz',
  requests: `id integer, call text, mch_id text, cert_mch_id text, attempt_id text, out_refund_no text, out_trade_no text,
    param_digest text, received_at timestamptz, received_ms float8, failing boolean`,
  refunds: 'mch_id text, out_refund_no text, out_trade_no text, amount_fen bigint, state text, source text',
  orders: 'mch_id text, out_trade_no text, total bigint',
  acks: 'kind text, mch_id text, out_refund_no text, ok boolean',
  violations: 'rule text, mch_id text, out_trade_no text, at timestamptz',
} as const;
type Name = keyof typeof TABLES;
const NAMES = Object.keys(TABLES) as readonly Name[];
const TABLE_NAMES: Readonly<Record<Name, string>> = {
  accepted: 'sim_accepted',
  requests: 'sim_request',
  refunds: 'sim_refund',
  orders: 'sim_order',
  acks: 'sim_ack',
  violations: 'sim_violation',
};

/** What the simulated WeChat saw and did. */
export type WechatLedger = Readonly<Record<Name, readonly object[]>>;

/** Reads the ledger at the simulator's control address; WrongUsage when nothing there answers like one. */
export async function readWechatLedger(controlUrl: string): Promise<WechatLedger> {
  if (!URL.canParse(controlUrl)) throw new WrongUsage('--simulator takes the address of its control port');
  const answer = await fetch(new URL('/ledger', controlUrl)).catch(() => null);
  const ledger = answer?.ok ? ((await answer.json()) as Partial<WechatLedger>) : {};
  if (!NAMES.every((name) => Array.isArray(ledger[name]))) throw new WrongUsage(`no ledger at ${controlUrl}`);
  return ledger as WechatLedger;
}

/** Makes the empty temporary tables: a read-only transaction may fill them, but not make them. */
export async function makeLedgerTables(query: Query): Promise<void> {
  for (const name of NAMES) await query(`CREATE TEMPORARY TABLE IF NOT EXISTS ${TABLE_NAMES[name]} (${TABLES[name]})`);
}

/** Fills them with this ledger and nothing else. */
export async function fillLedgerTables(
  query: (sql: string, parameters: readonly unknown[]) => Promise<unknown>,
  ledger: WechatLedger,
): Promise<void> {
  for (const name of NAMES) {
    await query(`DELETE FROM ${TABLE_NAMES[name]}`, []);
    await query(`INSERT INTO ${TABLE_NAMES[name]} SELECT * FROM jsonb_to_recordset($1::jsonb) AS v(${TABLES[name]})`, [
      JSON.stringify(ledger[name]),
    ]);
  }
}
