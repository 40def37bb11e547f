import { fewRows } from '../database/filters.js';
import type { OpenedNotice } from './notify.interceptor.js';

/**
 * What is known of each notice of a list ($1): its earlier delivery, and the refund of its number, else the order of that number, of
 * this merchant.
 */
export const FIND_SQL = `
  SELECT (SELECT tuikuan_now())::text AS now, d.id AS earlier, m.order_id, m.refund_id, m.source, m.api_version
  FROM jsonb_to_recordset($1::jsonb) AS a(place integer, mch_id text, kind text, dedupe_key text, out_refund_no text, out_trade_no text)
    LEFT JOIN LATERAL (
      SELECT id FROM with_archive.notification n WHERE n.mch_id = a.mch_id AND n.kind = a.kind AND n.dedupe_key = a.dedupe_key LIMIT 1) d ON true
    LEFT JOIN LATERAL (
      SELECT r.order_id, r.id AS refund_id, r.source, r.api_version FROM refund r
      WHERE r.mch_id = a.mch_id AND r.out_refund_no = a.out_refund_no
      UNION ALL
      SELECT o.id, NULL, NULL, NULL FROM payment_order o WHERE o.mch_id = a.mch_id AND o.out_trade_no = a.out_trade_no
      LIMIT 1) m ON true
  WHERE ${fewRows('a.place')}
  ORDER BY a.place`;

/** A row of {@link FIND_SQL}; `refund_id` null for a number that is not ours, `order_id` null for an order that is not either. */
export interface FoundRow {
  /** With all its microseconds. */
  readonly now: string;
  readonly earlier: string | null;
  readonly order_id: string | null;
  readonly refund_id: string | null;
  readonly source: 'api' | 'external' | null;
  readonly api_version: 'v2' | 'v3' | null;
}

/** Stores a list ($1); gives the ids of those no other session has stored meanwhile. */
export const INSERT_SQL = `
  INSERT INTO notification (id, mch_id, appid, kind, version, dedupe_key, received_at, last_received_at, status, result, reason,
    refund_id, order_id, next_query_at, kek_id, content)
  SELECT v.id, v.mch_id, v.appid, v.kind, v.version, v.dedupe_key, v.received_at, v.received_at, v.status, v.result, v.reason,
    v.refund_id, v.order_id, CASE WHEN v.look_up THEN v.received_at END, v.kek_id, decode(v.content, 'base64')
  FROM jsonb_to_recordset($1::jsonb) AS v(id uuid, mch_id text, appid text, kind text, version text, dedupe_key text,
    received_at timestamptz, status text, result text, reason text, refund_id uuid, order_id uuid, look_up boolean, kek_id text,
    content text)
  ORDER BY v.dedupe_key
  ON CONFLICT (mch_id, kind, dedupe_key) DO NOTHING RETURNING id`;

/** A notice as {@link INSERT_SQL} stores it. */
export interface NewNotification {
  readonly id: string;
  readonly mch_id: string;
  readonly appid: string | null;
  readonly kind: 'refund' | 'payment';
  readonly version: 'v2' | 'v3';
  readonly dedupe_key: string;
  readonly received_at: string;
  readonly status: string;
  readonly result: string;
  readonly reason: string | null;
  readonly refund_id: string | null;
  readonly order_id: string | null;
  readonly look_up: boolean;
  readonly kek_id: string;
  /** Base64. */
  readonly content: string;
}

/** Counts another delivery of notices ($1) that are stored, in the archive too. */
export const COUNT_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  archived AS (
    UPDATE archive.notification n SET deliveries = n.deliveries + 1, last_received_at = c.now FROM clock c WHERE n.id = ANY($1::uuid[]))
  UPDATE notification n SET deliveries = n.deliveries + 1, last_received_at = c.now FROM clock c WHERE n.id = ANY($1::uuid[])`;

/** A notice as {@link FIND_SQL} asks about it. */
export function askedOf(notice: OpenedNotice, place: number): Readonly<Record<string, unknown>> {
  const { account, kind, dedupeKey } = notice;
  const numbers =
    notice.kind === 'refund' ? { out_refund_no: notice.shown.outRefundNo, out_trade_no: notice.shown.outTradeNo } : {};
  return { place, mch_id: account.mchId, kind, dedupe_key: dedupeKey, ...numbers };
}
