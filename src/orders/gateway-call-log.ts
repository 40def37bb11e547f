import type { EntityManager } from 'typeorm';
import type { UnitOfWork } from '../database/unit-of-work.js';

export type CallKind = 'refund_query' | 'prepay' | 'order_query' | 'order_close';

/** The intent of a call, committed before its first byte. */
export interface CallIntent {
  readonly callId: string;
  readonly kind: CallKind;
  readonly mchId: string;
  readonly apiVersion: 'v2' | 'v3';
  readonly orderId?: string;
}

/** What a call came to, as the log keeps it. */
export interface CallEnd {
  readonly outcome: string;
  readonly code: string | null;
  readonly message: string | null;
  /** The parsed answer without sign. */
  readonly fields: Readonly<Record<string, string>> | null;
  readonly durationMs: number;
}

const BEGIN_SQL = `
  INSERT INTO gateway_call (id, mch_id, order_id, kind, api_version, intent_at)
  VALUES ($1, $2, $3, $4, $5, (SELECT tuikuan_now()))`;

const FINISH_SQL = `
  UPDATE gateway_call SET done_at = (SELECT tuikuan_now()), duration_ms = $2, outcome = $3, code = $4, message = $5, answer = $6
  WHERE id = $1 AND done_at IS NULL`;

/** Writes the intent in `tx`; the caller commits before it calls. */
export async function beginCall(tx: EntityManager | UnitOfWork, call: CallIntent): Promise<void> {
  await tx.query(BEGIN_SQL, [call.callId, call.mchId, call.orderId ?? null, call.kind, call.apiVersion]);
}

/** Completes a call once; a second completion changes nothing. */
export async function finishCall(tx: EntityManager | UnitOfWork, callId: string, end: CallEnd): Promise<void> {
  const answer = end.fields === null ? null : JSON.stringify(end.fields);
  await tx.query(FINISH_SQL, [callId, Math.round(end.durationMs), end.outcome, end.code, end.message, answer]);
}
