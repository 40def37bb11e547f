import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type AuditAction, type Change, record } from '../access/audit-log.js';
import type { Caller } from '../access/caller.js';
import { assert } from '../common/assert.js';
import type { Fen } from '../common/fen.js';
import { newUuid, publicId } from '../common/ids.js';
import { AppError, type ProblemCode } from '../common/problem.js';
import { Settings } from '../config/settings.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { Booked, MoveBooking } from './bookings.js';
import { Dispatcher } from './dispatcher.js';
import { claimQueries, type ClaimedQuery, type Inquired, RefundInquiry } from './inquiry.js';
import { INTAKE_SQL, type IntakeRow } from './intake.js';
import { SYNC_WAIT_SECONDS } from './limits.js';
import type { QueryAnswer } from './refund-gateway.port.js';
import { RefundLedger } from './refund-ledger.js';
import { RefundReads } from './refund-reads.js';
import { RefundTargets } from './refund-targets.js';
import type { RefundRow } from './refund.view.js';
import type { RefundState } from './states.js';

const POLL_MS = 200;

/** Why the door refused a caller's move, as an answer. */
const REFUSALS: Readonly<Record<string, { code: ProblemCode; detail: string }>> = {
  invalid_state: { code: 'invalid_state', detail: 'The refund is in a state that does not allow this.' },
  send_in_doubt: {
    code: 'send_in_doubt',
    detail: 'A request for this refund may have reached WeChat; it is being asked.',
  },
  amount_exceeds_refundable: { code: 'amount_exceeds_refundable', detail: 'The order has less left than this refund.' },
  refund_count_exceeded: { code: 'refund_count_exceeded', detail: 'The order has as many refunds as WeChat allows.' },
};

type Move = Pick<MoveBooking, 'to' | 'from' | 'detail' | 'outsideFen'> & { readonly action: AuditAction };

const RETRY = { action: 'refund.retry', to: 'queued' } as const;
const RETRY_FROM: readonly RefundState[] = ['queued', 'insufficient_balance', 'blocked'];

/**
 * What callers do with a refund: cancel, retry, sync, resolve. Each passes the ledger's door; none of them decides a state
 * by itself. WeChat is asked outside any transaction.
 */
@Injectable()
export class RefundActions {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly settings: Settings,
    private readonly ledger: RefundLedger,
    private readonly reads: RefundReads,
    private readonly targets: RefundTargets,
    private readonly inquiry: RefundInquiry,
    private readonly dispatcher: Dispatcher,
  ) {}

  /** Withdraws a refund that WeChat cannot hold. 409 invalid_state, send_in_doubt. */
  async cancel(caller: Caller, id: string, reason: string | undefined): Promise<RefundRow> {
    const row = await this.reads.get(caller, id);
    const from: RefundState[] = ['queued', 'insufficient_balance', 'blocked'];
    await this.move(caller, row, {
      action: 'refund.cancel',
      to: 'canceled',
      from,
      detail: reason === undefined ? {} : { reason },
    });
    return this.reads.get(caller, id);
  }

  /** The refund after WeChat's answer; one never sent is left alone. 503 when WeChat does not answer or a lease lives on. */
  async sync(caller: Caller, id: string): Promise<RefundRow> {
    const row = await this.reads.get(caller, id);
    if (await this.neverSent(row)) return row;
    await this.askedFor(caller, 'refund.sync', row);
    await this.ask(row);
    return this.reads.get(caller, id);
  }

  /**
   * Sends again as the state allows: waiting ones now, a rejected one again with its number; a closed one asks WeChat first and
   * is replaced by a new refund with a new number, once (`created`).
   */
  async retry(caller: Caller, id: string): Promise<{ readonly refund: RefundRow; readonly created: boolean }> {
    const row = await this.reads.get(caller, id);
    if (row.state === 'closed') return this.replaceClosed(caller, row);
    if (RETRY_FROM.includes(row.state)) await this.hurry(caller, row);
    else if (row.state === 'rejected' && row.source === 'api') await this.queueAgain(caller, row);
    else throw refusal('invalid_state');
    this.dispatcher.wake();
    return { refund: await this.reads.get(caller, id), created: false };
  }

  /** A person decides a mismatch, after WeChat was asked once more; its answer wins where it agrees with our row. */
  async resolve(
    caller: Caller,
    id: string,
    outcome: 'succeeded' | 'closed' | 'rejected',
    reason: string,
  ): Promise<RefundRow> {
    const row = await this.reads.get(caller, id);
    if (row.state !== 'mismatch') throw refusal('invalid_state');
    const { answer } = await this.ask(row);
    // What is said of another refund is no answer: WeChat may hold this one as it should be.
    if (answer.shown && answer.shown.outRefundNo !== row.out_refund_no)
      throw new AppError('wechat_unavailable', 'WeChat answered about another refund.');
    const other = otherAmount(row, answer);
    const current = await this.reads.get(caller, id);
    if (current.state !== 'mismatch') return current;
    const counted = outcome === 'succeeded' ? Number(row.amount_fen) : 0;
    await this.move(caller, current, {
      action: 'refund.resolve',
      to: outcome,
      from: ['mismatch'],
      detail: { reason, ...(other && { shown_fen: other.shownFen }) },
      outsideFen: Math.max(0, (other?.movedFen ?? 0) - counted),
    });
    return this.reads.get(caller, id);
  }

  private async neverSent(row: RefundRow): Promise<boolean> {
    const [sent] = await this.uow.query<{ never: boolean }>(
      `SELECT first_sent_at IS NULL AND source = 'api' AND next_query_at IS NULL AS never FROM refund WHERE id = $1`,
      [row.id],
    );
    return sent?.never ?? true;
  }

  /** Asks WeChat about one refund, after waiting for its lease and for the spacing of queries. */
  private async ask(row: RefundRow): Promise<Inquired> {
    const inquired = await this.inquiry.ask(this.uow, await this.lease(row));
    const { outcome, code, message } = inquired.answer;
    if (outcome === 'shown' || outcome === 'not_found') return inquired;
    if (code === 'credentials_missing') throw new AppError(code, `${message ?? ''}.`);
    throw new AppError('wechat_unavailable', `WeChat gave no usable answer${code === null ? '' : ` (${code})`}.`);
  }

  private async lease(row: RefundRow): Promise<ClaimedQuery> {
    for (let waitedMs = 0; waitedMs <= SYNC_WAIT_SECONDS * 1000; waitedMs += POLL_MS) {
      const [query] = await this.uow.run((tx) => claimQueries(tx, row.mch_id, { count: 1, only: row.id }));
      if (query) return query;
      await sleep(POLL_MS);
    }
    throw new AppError('temporarily_unavailable', 'The refund is being worked on; its turn did not come in time.');
  }

  /** Makes a waiting refund due now; of a paused merchant it becomes the next probe, and no other goes out in its place. */
  private async hurry(caller: Caller, row: RefundRow): Promise<void> {
    const booked = await this.uow.run(async (tx) => {
      await tx.query(NEXT_PROBE_SQL, [row.mch_id, row.id]);
      if (row.state === 'blocked') return this.moveIn(tx, caller, row, { ...RETRY, from: ['blocked'] });
      await tx.query(DUE_NOW_SQL, [row.id]);
      await record(tx, caller, changeOf(row, 'refund.retry', { attempts: row.attempts }, { attempts: 0 }));
      return [];
    });
    this.ledger.report(booked);
  }

  private async queueAgain(caller: Caller, row: RefundRow): Promise<void> {
    const expired = await this.targets.refusal(row.order_id, Number(row.amount_fen));
    if (expired) throw expired;
    await this.move(caller, row, { ...RETRY, from: ['rejected'] });
  }

  private async move(caller: Caller, row: RefundRow, move: Move): Promise<void> {
    this.ledger.report(await this.uow.run((tx) => this.moveIn(tx, caller, row, move)));
  }

  private async moveIn(
    tx: EntityManager,
    caller: Caller,
    row: RefundRow,
    { action, ...move }: Move,
  ): Promise<Booked[]> {
    const booking = {
      kind: 'move',
      refundId: row.id,
      orderId: row.order_id,
      cause: 'operator',
      sourceId: null,
    } as const;
    const booked = await this.ledger.book(tx, [{ ...booking, actor: caller.id, ...move }]);
    if (booked[0]?.result === 'refused') throw refusal(booked[0].reason ?? 'invalid_state');
    await record(tx, caller, changeOf(row, action, { state: row.state }, { state: move.to, ...move.detail }));
    return booked;
  }

  /** WeChat's answer decides what becomes of it. */
  private async askedFor(caller: Caller, action: AuditAction, row: RefundRow): Promise<void> {
    await this.uow.run((tx) => record(tx, caller, changeOf(row, action, { state: row.state }, null)));
  }

  private async replaceClosed(
    caller: Caller,
    closed: RefundRow,
  ): Promise<{ readonly refund: RefundRow; readonly created: boolean }> {
    if (closed.source !== 'api') throw refusal('invalid_state');
    if (closed.replaced_by !== null) return { refund: await this.replacementOf(caller, closed), created: false };
    if (!isProvenClosed(await this.ask(closed))) {
      throw new AppError('invalid_state', 'WeChat does not show this refund as closed.');
    }
    const refused = await this.targets.refusal(closed.order_id, Number(closed.amount_fen));
    const made = refused ? null : await this.uow.run((tx) => this.insertReplacement(tx, caller, closed));
    if (made) {
      this.dispatcher.wake();
      return { refund: made, created: true };
    }
    const now = await this.reads.get(caller, publicId('refund', closed.id));
    if (now.replaced_by !== null) return { refund: await this.replacementOf(caller, now), created: false };
    throw refused ?? refusal('amount_exceeds_refundable');
  }

  private replacementOf(caller: Caller, closed: RefundRow): Promise<RefundRow> {
    assert(closed.replaced_by, 'a replaced refund names its replacement');
    return this.reads.get(caller, publicId('refund', closed.replaced_by));
  }

  /** Reserves a refund of the same amount under a new number and links the two; null when another request was first. */
  private async insertReplacement(tx: EntityManager, caller: Caller, closed: RefundRow): Promise<RefundRow | null> {
    const linked = await tx.query<{ id: string }[]>(LOCK_UNREPLACED_SQL, [closed.id, closed.order_id]);
    if (linked.length === 0) return null;
    const id = newUuid();
    const row: IntakeRow = {
      id,
      order_id: closed.order_id,
      appids: null,
      out_refund_no: publicId('refund', id),
      amount_fen: Number(closed.amount_fen),
      idempotency_key: null,
      request_digest: closed.request_digest?.toString('hex') ?? '',
      reason: closed.reason,
      items: closed.items,
      funds_account: closed.funds_account,
      note: closed.note,
      metadata: closed.metadata,
      created_by: caller.id,
      replaces: closed.id,
      action: 'refund.retry',
      address: caller.address,
      request_id: caller.requestId,
    };
    const { refundsPerOrderMax, refundWindowDays } = this.settings;
    const [made] = await tx.query<RefundRow[]>(INTAKE_SQL, [
      JSON.stringify([row]),
      refundsPerOrderMax,
      refundWindowDays,
    ]);
    if (made) await tx.query('UPDATE refund SET replaced_by = $2 WHERE id = $1', [closed.id, made.id]);
    return made ?? null;
  }
}

function changeOf(row: RefundRow, action: AuditAction, before: object, after: object | null): Change {
  return { action, object: publicId('refund', row.id), before, after };
}

/** WeChat's signed word, equal to our row in every id and amount, that this refund is closed. */
function isProvenClosed({ answer, booked }: Inquired): boolean {
  return answer.shown?.status === 'closed' && booked?.to === 'closed' && booked.result !== 'refused';
}

/** What WeChat shows under this number with another amount than ours, and how much of it has moved; null when it does not. */
function otherAmount(row: RefundRow, { shown }: QueryAnswer): { shownFen: Fen; movedFen: Fen } | null {
  if (shown?.outRefundNo !== row.out_refund_no || shown.refundFen === Number(row.amount_fen)) return null;
  return { shownFen: shown.refundFen, movedFen: shown.status === 'closed' ? 0 : shown.refundFen };
}

function refusal(reason: string): AppError {
  const known = REFUSALS[reason];
  assert(known, `the refusal ${reason} has an answer`);
  return new AppError(known.code, known.detail);
}

/** Lock order: order, then refund. */
const LOCK_UNREPLACED_SQL = `
  WITH o AS MATERIALIZED (SELECT id FROM payment_order WHERE id = $2 FOR NO KEY UPDATE)
  SELECT r.id FROM o JOIN refund r ON r.order_id = o.id
  WHERE r.id = $1 AND r.state = 'closed' AND r.replaced_by IS NULL FOR NO KEY UPDATE OF r`;

const NEXT_PROBE_SQL = `
  UPDATE merchant_rate SET probe_refund_id = $2, next_probe_at = (SELECT tuikuan_now())
  WHERE mch_id = $1 AND pause_reason = 'configuration'`;

const DUE_NOW_SQL = `
  UPDATE refund SET next_attempt_at = (SELECT tuikuan_now()), attempts = 0, not_sent_count = 0
  WHERE id = $1 AND state IN ('queued', 'insufficient_balance')`;
