import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { type Caller, seesApp } from '../access/caller.js';
import type { Language } from '../common/http/language.js';
import { type Page, pageOf, type Range, rangeOf } from '../common/http/paging.js';
import { publicId, uuidOf } from '../common/ids.js';
import { AppError, Stopping } from '../common/problem.js';
import { Batches } from '../database/batches.js';
import { type Filter, PLANNED_BY_VALUES, whereOf } from '../database/filters.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { REFUND_COLUMNS, type RefundRow, type RefundView, refundView } from './refund.view.js';
import type { ExportRefundsQuery, ListRefundsQuery } from './refunds.dto.js';
import { REFUND_STATE_NAMES, REFUND_STATES, type RefundState, type RefundStatus, statesOfStatus } from './states.js';

const POLL_MS = 200;
const EXPORT_PAGE = 1000;
/** `Prefer: wait` waits until the refund has left these. */
const WAITED_OUT: readonly RefundState[] = ['queued', 'submitting'];

const GET_SQL = `
  SELECT ${REFUND_COLUMNS} FROM refund r JOIN payment_order o ON o.id = r.order_id WHERE r.id = ANY($1::uuid[])`;
const GETS_MAX = 100;

/** Reads refunds within a caller's scope; another app's refund is not there. Those that are asked for together are read together. */
@Injectable()
export class RefundReads implements OnModuleDestroy {
  private stopping = false;
  private readonly rows = new Batches<string, RefundRow | undefined>(GETS_MAX, null, async (uuids) => {
    const found = await this.uow.query<RefundRow>(GET_SQL, [uuids]);
    const byId = new Map(found.map((row) => [row.id, row]));
    return uuids.map((uuid) => byId.get(uuid));
  });

  constructor(private readonly uow: UnitOfWork) {}

  /** Whoever waits is answered with the refund as it is. */
  onModuleDestroy(): void {
    this.stopping = true;
  }

  /** The row behind a public id; AppError refund_not_found. */
  async get(caller: Caller, id: string): Promise<RefundRow> {
    const uuid = uuidOf('refund', id);
    const row = uuid === null ? undefined : await this.rows.ask(uuid);
    if (!row || !seesApp(caller, row.appid)) throw new AppError('refund_not_found', `There is no refund ${id}.`);
    return row;
  }

  /** One page, newest first. */
  async list(caller: Caller, query: ListRefundsQuery, language: Language): Promise<Page<RefundView>> {
    const range = rangeOf(query, (name) => uuidOf('refund', name));
    const rows = await this.page(caller, query, range, range.limit + 1);
    return pageOf(
      rows,
      range.limit,
      (row) => refundView(row, language),
      (row) => publicId('refund', row.id),
    );
  }

  /** All of the filters, newest first, a thousand at a time; none is read before it is asked for. */
  async *pages(caller: Caller, query: ExportRefundsQuery): AsyncGenerator<RefundRow[], void> {
    const range = rangeOf(query, () => null);
    for (let before: string | null = null, more = true; more;) {
      const rows: RefundRow[] = await this.page(caller, query, { ...range, before }, EXPORT_PAGE);
      yield rows;
      before = rows.at(-1)?.id ?? null;
      more = rows.length === EXPORT_PAGE && !this.stopping;
    }
    if (this.stopping) throw new Stopping('The service is stopping; the export is not whole.');
  }

  /** The first rows of the filters, newest first. */
  private page(caller: Caller, query: ExportRefundsQuery, range: Range, limit: number): Promise<RefundRow[]> {
    const states = statesAsked(query);
    const { hint, where, parameters } = whereOf(filtersOf(caller, query, range));
    return this.uow.query<RefundRow>(
      `${states ? PLANNED_BY_VALUES : hint}SELECT ${REFUND_COLUMNS} FROM ${refundsIn(states)} r JOIN payment_order o ON o.id = r.order_id
       WHERE ${where} ORDER BY r.created_at DESC, r.id DESC LIMIT ${limit}`,
      parameters,
    );
  }

  /** The refund once it has left queued and submitting, or as it is after `seconds` or when the service stops. */
  async waitFor(row: RefundRow, seconds: number): Promise<RefundRow> {
    let current = row;
    const waits = (): boolean => !this.stopping && WAITED_OUT.includes(current.state);
    for (let rest = seconds * 1000; rest > 0 && waits(); rest -= POLL_MS) {
      await sleep(POLL_MS);
      current = (await this.rows.ask(row.id)) ?? current;
    }
    return current;
  }
}

const AFTER = '(r.created_at, r.id) < (SELECT b.created_at, b.id FROM refund b WHERE b.id = ?)';

function filtersOf(caller: Caller, query: ExportRefundsQuery, range: Range): readonly Filter[] {
  return [
    [AFTER, range.before, 'always'],
    ['r.appid = ANY(?)', caller.appids],
    ['r.created_at >= ?', range.createdGte],
    ['r.created_at < ?', range.createdLt],
    ['r.amount_fen >= ?', range.amountGte],
    ['r.amount_fen <= ?', range.amountLte],
    ['r.mch_id = ?', query.mch_id ?? null],
    ['r.appid = ?', query.appid ?? null],
    ['r.order_id = ?', query.order === undefined ? null : uuidOf('order', query.order)],
    ['o.out_trade_no = ?', query.out_trade_no ?? null],
    // Numbers are unique within a merchant, and there are few merchants.
    ['(r.mch_id, r.out_refund_no) IN (SELECT m.mch_id, ? FROM merchant m)', query.out_refund_no ?? null],
    ['r.refund_id = ?', query.refund_id ?? null],
  ];
}

/** Each state by itself, so that each is read in the order of its index, however few there are beside the other filters. */
function refundsIn(states: readonly RefundState[] | null): string {
  if (states === null) return 'refund';
  const each = states.map((state) => `SELECT * FROM refund WHERE state = '${state}'`);
  return `(${each.join(' UNION ALL ') || 'SELECT * FROM refund WHERE false'})`;
}

/** The states that the two filters leave; null for all. An unknown word is 400. */
function statesAsked(query: ExportRefundsQuery): readonly RefundState[] | null {
  const byState = query.state === undefined ? null : query.state.split(',').map(stateNamed);
  const byStatus = query.status === undefined ? null : query.status.split(',').flatMap(statesNamed);
  if (byState === null || byStatus === null) return byState ?? byStatus;
  return byState.filter((state) => byStatus.includes(state));
}

function stateNamed(word: string): RefundState {
  const state = REFUND_STATE_NAMES.find((name) => name === word);
  if (state === undefined) throw unknownWord('state', word);
  return state;
}

function statesNamed(word: string): RefundState[] {
  const states = statesOfStatus(word as RefundStatus);
  if (states.length === 0) throw unknownWord('status', word);
  return states;
}

function unknownWord(field: 'state' | 'status', word: string): AppError {
  const words =
    field === 'state' ? REFUND_STATE_NAMES : [...new Set(Object.values(REFUND_STATES).map((s) => s.status))];
  return new AppError('validation_failed', `There is no ${field} ${word}.`, {
    errors: [{ field, message: `must be of ${words.join(', ')}` }],
  });
}
