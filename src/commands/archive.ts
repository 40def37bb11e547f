import type { EntityManager } from 'typeorm';
import { assert } from '../common/assert.js';
import { refuseBehind } from '../database/migrations.js';
import { withUnitOfWork } from '../database/open-database.js';
import type { UnitOfWork } from '../database/unit-of-work.js';
import { REFUND_STATE_NAMES, REFUND_STATES } from '../refunds/states.js';
import { type Command, EXIT_CODES, type OptionValues, textOf, WrongUsage } from './command.js';
import { withDatabase } from './database.js';
import { quoted } from './invariants/invariant.js';

/** Longer than a refund may be asked for, and than anything is told or asked again. */
const OLDER_THAN_DAYS = 400;
/** WeChat repeats a notice for a day, the last questions come after a day, events are told for three days. */
const OLDER_THAN_DAYS_MIN = 30;
/** Orders of one transaction. */
const PAGE = 300;

/** The history of orders and refunds ($1, the ids of both), in a sequence that foreign keys allow. */
const HISTORY = [
  { table: 'refund_event', rows: 'refund_id = ANY($1)' },
  { table: 'gateway_call', rows: 'refund_id = ANY($1) OR (refund_id IS NULL AND order_id = ANY($1))' },
  { table: 'notification', rows: 'refund_id = ANY($1) OR order_id = ANY($1)' },
  {
    table: 'webhook_attempt',
    rows: `delivery_id IN (SELECT d.id FROM webhook_delivery d JOIN outgoing_event v ON v.id = d.event_id
      WHERE v.subject_id = ANY($1))`,
  },
  { table: 'webhook_delivery', rows: 'event_id IN (SELECT id FROM outgoing_event WHERE subject_id = ANY($1))' },
  { table: 'outgoing_event', rows: 'subject_id = ANY($1)' },
] as const;

type HistoryTable = (typeof HISTORY)[number]['table'];

const BEFORE_SQL = 'SELECT tuikuan_now() - make_interval(days => $1) AS before';

/**
 * Orders older than $3, a page of them behind ($1, $2), and whether anything of their history is left to move. Looked up one by one: for
 * EXISTS whole tables may be read, page by page.
 */
const PAGE_SQL = `
  SELECT o.id, o.created_at::text, coalesce(
      (SELECT true FROM gateway_call c WHERE c.order_id = o.id AND c.refund_id IS NULL LIMIT 1),
      (SELECT true FROM notification n WHERE n.order_id = o.id LIMIT 1),
      (SELECT true FROM outgoing_event v WHERE v.subject_id = o.id LIMIT 1),
      (SELECT true FROM refund r WHERE r.order_id = o.id AND coalesce(
        (SELECT true FROM refund_event e WHERE e.refund_id = r.id LIMIT 1),
        (SELECT true FROM gateway_call c WHERE c.refund_id = r.id LIMIT 1)) LIMIT 1),
      false) AS has_history
  FROM payment_order o
  WHERE (o.created_at, o.id) > ($1::timestamptz, $2::uuid) AND o.created_at < $3 ORDER BY o.created_at, o.id LIMIT ${PAGE}`;

interface PageRow {
  readonly id: string;
  readonly created_at: string;
  readonly has_history: boolean;
}

/** Before all others. */
const START: Omit<PageRow, 'has_history'> = { id: '00000000-0000-0000-0000-000000000000', created_at: '-infinity' };

const LOCK_ORDERS_SQL = 'SELECT id FROM payment_order WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED';
const LOCK_REFUNDS_SQL = 'SELECT id, order_id FROM refund WHERE order_id = ANY($1) ORDER BY id FOR UPDATE';

const FINAL = quoted(REFUND_STATE_NAMES.filter((state) => REFUND_STATES[state].final));

/** Of events `v` those that somebody is still to be told; further conditions may follow. */
const UNTOLD = `LEFT JOIN webhook_delivery d ON d.event_id = v.id WHERE (v.fanned_out_at IS NULL OR d.state = 'pending')`;

/**
 * Those of the orders ($1) about which nothing is open, nothing is due and nothing has happened since $2. Events of the order and of its
 * refunds are looked up apart: asked with OR, all events there are would be read.
 */
const AT_REST_SQL = `
  SELECT o.id FROM payment_order o
  WHERE o.id = ANY($1) AND o.updated_at < $2 AND o.next_query_at IS NULL AND o.refunds_query_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM refund r WHERE r.order_id = o.id AND (r.updated_at >= $2
      OR r.state NOT IN (${FINAL}) OR r.in_doubt_since IS NOT NULL
      OR r.lease_token IS NOT NULL OR r.next_query_at IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM notification n WHERE n.order_id = o.id AND (n.last_received_at >= $2
      OR n.next_query_at IS NOT NULL OR n.result = 'waiting_for_query'))
    AND NOT EXISTS (SELECT 1 FROM outgoing_event v ${UNTOLD} AND v.subject_id = o.id)
    AND NOT EXISTS (SELECT 1 FROM refund r JOIN outgoing_event v ON v.subject_id = r.id ${UNTOLD} AND r.order_id = o.id)`;

/** How much was moved, in rows of each table. */
export type Archived = Readonly<Record<'orders' | HistoryTable, number>>;

const NOTHING: Archived = {
  orders: 0,
  ...(Object.fromEntries(HISTORY.map(({ table }) => [table, 0])) as Record<HistoryTable, number>),
};

/**
 * Moves the history of orders that came to rest more than `days` ago into the schema `archive`; the orders and refunds themselves stay.
 * Each page of orders commits by itself, so it may be broken off and run again; what somebody works on is left for the next run.
 * The role must be allowed to DELETE; the schema lets go only of rows that the archive has.
 */
export async function archiveHistory(
  uow: UnitOfWork,
  days: number,
  progress: (archived: Archived) => void = () => undefined,
): Promise<Archived> {
  const [row] = await uow.query<{ before: Date }>(BEFORE_SQL, [days]);
  assert(row !== undefined, 'a statement of one row gives a row');
  let archived = NOTHING;
  for (let last: Omit<PageRow, 'has_history'> | undefined = START; last !== undefined;) {
    const page: PageRow[] = await uow.query<PageRow>(PAGE_SQL, [last.created_at, last.id, row.before]);
    last = page.at(-1);
    const orders = page.filter(({ has_history: has }) => has).map(({ id }) => id);
    if (orders.length === 0) continue;
    archived = sumOf(archived, await uow.run((tx) => moveOrders(tx, orders, row.before)));
    progress(archived);
  }
  return archived;
}

async function moveOrders(tx: EntityManager, among: readonly string[], before: Date): Promise<Archived> {
  const locked = await idsOf(tx, LOCK_ORDERS_SQL, [among]);
  const refunds = await tx.query<{ id: string; order_id: string }[]>(LOCK_REFUNDS_SQL, [locked]);
  const orders = await idsOf(tx, AT_REST_SQL, [locked, before]);
  if (orders.length === 0) return NOTHING;
  const ofThem = refunds.filter(({ order_id: order }) => orders.includes(order)).map(({ id }) => id);
  const subjects = [[...orders, ...ofThem]];
  const moved: Record<string, number> = { orders: orders.length };
  for (const { table, rows } of HISTORY) {
    await tx.query(`INSERT INTO archive.${table} SELECT * FROM ${table} WHERE ${rows}`, subjects);
    const [, count] = await tx.query<[unknown[], number]>(`DELETE FROM ${table} WHERE ${rows}`, subjects);
    moved[table] = count;
  }
  return { ...NOTHING, ...moved };
}

async function idsOf(tx: EntityManager, sql: string, parameters: unknown[]): Promise<string[]> {
  return (await tx.query<{ id: string }[]>(sql, parameters)).map(({ id }) => id);
}

function sumOf(a: Archived, b: Archived): Archived {
  return Object.fromEntries(Object.entries(a).map(([name, n]) => [name, n + b[name as keyof Archived]])) as Archived;
}

/** Needs DATABASE_URL of a role that may DELETE, so the owner's. */
export const archiveCommand: Command = {
  options: { 'older-than-days': { type: 'string' } },
  run: async (values, context) => {
    const days = daysOf(values);
    const archived = await withDatabase(context, async (url) => {
      await refuseBehind(url);
      return withUnitOfWork(url, (uow) =>
        archiveHistory(uow, days, ({ orders }) => context.progress(`${orders} orders`)),
      );
    });
    const lines = Object.entries(archived).map(([name, count]) => `${String(count).padStart(8)} ${name}`);
    return {
      exitCode: EXIT_CODES.ok,
      lines: [`moved to the archive, at rest for ${days} days:`, ...lines],
      json: { older_than_days: days, archived },
    };
  },
};

function daysOf(values: OptionValues): number {
  const text = textOf(values, 'older-than-days') ?? String(OLDER_THAN_DAYS);
  if (!/^\d{2,5}$/.test(text) || Number(text) < OLDER_THAN_DAYS_MIN)
    throw new WrongUsage(`--older-than-days takes a number of days, ${OLDER_THAN_DAYS_MIN} or more`);
  return Number(text);
}
