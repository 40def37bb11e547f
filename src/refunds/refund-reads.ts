import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import type { Language } from '../common/http/language.js';
import { type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { publicId, uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { REFUND_COLUMNS, type RefundRow, type RefundView, refundView } from './refund.view.js';
import type { ListRefundsQuery } from './refunds.dto.js';
import { REFUND_STATE_NAMES, REFUND_STATES, type RefundState, type RefundStatus, statesOfStatus } from './states.js';

const POLL_MS = 200;
/** `Prefer: wait` waits until the refund has left these. */
const WAITED_OUT: readonly RefundState[] = ['queued', 'submitting'];

const GET_SQL = `
  SELECT ${REFUND_COLUMNS} FROM refund r JOIN payment_order o ON o.id = r.order_id
  WHERE r.id = $1 AND ($2::text[] IS NULL OR r.appid = ANY($2))`;

const LIST_SQL = `
  SELECT ${REFUND_COLUMNS} FROM refund r JOIN payment_order o ON o.id = r.order_id
  WHERE ($1::uuid IS NULL OR r.id < $1) AND ($2::timestamptz IS NULL OR r.created_at >= $2)
    AND ($3::timestamptz IS NULL OR r.created_at < $3) AND ($4::bigint IS NULL OR r.amount_fen >= $4)
    AND ($5::bigint IS NULL OR r.amount_fen <= $5) AND ($6::text[] IS NULL OR r.appid = ANY($6))
    AND ($7::text[] IS NULL OR r.state = ANY($7)) AND ($8::text IS NULL OR r.mch_id = $8)
    AND ($9::text IS NULL OR r.appid = $9) AND ($10::uuid IS NULL OR r.order_id = $10)
    AND ($11::text IS NULL OR o.out_trade_no = $11) AND ($12::text IS NULL OR r.out_refund_no = $12)
    AND ($13::text IS NULL OR r.refund_id = $13)
  ORDER BY r.id DESC LIMIT $14`;

/** Reads refunds within a caller's scope; another app's refund is not there. */
@Injectable()
export class RefundReads implements OnModuleDestroy {
  private stopping = false;

  constructor(private readonly uow: UnitOfWork) {}

  /** Whoever waits is answered with the refund as it is. */
  onModuleDestroy(): void {
    this.stopping = true;
  }

  /** The row behind a public id; AppError refund_not_found. */
  async get(caller: Caller, id: string): Promise<RefundRow> {
    const uuid = uuidOf('refund', id);
    const [row] = uuid === null ? [] : await this.uow.query<RefundRow>(GET_SQL, [uuid, caller.appids]);
    if (!row) throw new AppError('refund_not_found', `There is no refund ${id}.`);
    return row;
  }

  /** One page, newest first. */
  async list(caller: Caller, query: ListRefundsQuery, language: Language): Promise<Page<RefundView>> {
    const range = rangeOf(query, (name) => uuidOf('refund', name));
    const rows = await this.uow.query<RefundRow>(LIST_SQL, [
      range.before,
      range.createdGte,
      range.createdLt,
      range.amountGte,
      range.amountLte,
      caller.appids,
      statesAsked(query),
      query.mch_id ?? null,
      query.appid ?? null,
      query.order === undefined ? null : uuidOf('order', query.order),
      query.out_trade_no ?? null,
      query.out_refund_no ?? null,
      query.refund_id ?? null,
      range.limit + 1,
    ]);
    return pageOf(
      rows,
      range.limit,
      (row) => refundView(row, language),
      (row) => publicId('refund', row.id),
    );
  }

  /** The refund once it has left queued and submitting, or as it is after `seconds` or when the service stops. */
  async waitFor(row: RefundRow, seconds: number): Promise<RefundRow> {
    let current = row;
    const waits = (): boolean => !this.stopping && WAITED_OUT.includes(current.state);
    for (let rest = seconds * 1000; rest > 0 && waits(); rest -= POLL_MS) {
      await sleep(POLL_MS);
      current = (await this.uow.query<RefundRow>(GET_SQL, [row.id, null]))[0] ?? current;
    }
    return current;
  }
}

/** The states that the two filters leave; null for all. An unknown word is 400. */
function statesAsked(query: ListRefundsQuery): readonly RefundState[] | null {
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
