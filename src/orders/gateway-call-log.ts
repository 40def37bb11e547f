import type { EntityManager } from 'typeorm';
import { fewRows } from '../database/filters.js';
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
  UPDATE gateway_call g SET done_at = (SELECT tuikuan_now()), duration_ms = v.duration_ms, outcome = v.outcome, code = v.code,
    message = v.message, answer = v.answer
  FROM jsonb_to_recordset($1::jsonb) AS v(id uuid, duration_ms integer, outcome text, code text, message text, answer jsonb)
  WHERE g.id = v.id AND g.done_at IS NULL AND ${fewRows('v.id')}`;

/** Writes the intent in `tx`; the caller commits before it calls. */
export async function beginCall(tx: EntityManager | UnitOfWork, call: CallIntent): Promise<void> {
  await tx.query(BEGIN_SQL, [call.callId, call.mchId, call.orderId ?? null, call.kind, call.apiVersion]);
}

/** Completes each call once; a second completion changes nothing. */
export async function finishCalls(
  tx: EntityManager | UnitOfWork,
  ends: readonly (CallEnd & { readonly callId: string })[],
): Promise<void> {
  const rows = ends.map(({ callId, outcome, code, message, fields, durationMs }) => ({
    ...{ id: callId, outcome, code, message, duration_ms: Math.round(durationMs) },
    // A JSON null is no SQL null.
    ...(fields !== null && { answer: fields }),
  }));
  await tx.query(FINISH_SQL, [JSON.stringify(rows)]);
}

/** Completes one call. */
export function finishCall(tx: EntityManager | UnitOfWork, callId: string, end: CallEnd): Promise<void> {
  return finishCalls(tx, [{ ...end, callId }]);
}
