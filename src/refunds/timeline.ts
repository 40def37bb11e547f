import { Injectable } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import type { Language } from '../common/http/language.js';
import { publicId } from '../common/ids.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { explainCall, explainState } from './explain.js';
import { RefundReads } from './refund-reads.js';
import type { RefundState } from './states.js';
import { CALL_TITLES, NOTICE_RESULTS, STATE_WORDS, TITLES } from './timeline-texts.js';

export class TimelineEntry {
  /** RFC 3339. */
  at: string;
  kind: 'event' | 'call' | 'notification';
  title: string;
  detail: Record<string, unknown>;
  /** The gateway call's, notification's or webhook delivery's id, where there is one. */
  ref: string | null;
}

/** A refund's story, oldest first. */
export class TimelineView {
  data: TimelineEntry[];
}

interface EventRow {
  readonly at: Date;
  readonly from_state: RefundState | null;
  readonly to_state: RefundState;
  readonly cause: string;
  readonly actor: string | null;
  readonly incident: string | null;
  readonly detail: Record<string, unknown>;
  readonly source_id: string | null;
}

interface CallRow {
  readonly id: string;
  readonly kind: string;
  readonly api_version: 'v2' | 'v3';
  readonly intent_at: Date;
  readonly duration_ms: number | null;
  readonly outcome: string | null;
  readonly code: string | null;
  readonly message: string | null;
}

interface NoticeRow {
  readonly id: string;
  readonly received_at: Date;
  readonly deliveries: number;
  readonly version: string;
  readonly status: string;
  readonly result: string;
  readonly reason: string | null;
}

interface DeliveryRow {
  readonly at: Date;
  readonly delivery_id: string;
  readonly endpoint_id: string;
  readonly event_id: string;
  readonly type: string;
  readonly result: string;
  readonly latency: string;
}

const EVENTS_SQL = 'SELECT * FROM with_archive.refund_event WHERE refund_id = $1 ORDER BY seq';
const CALLS_SQL = `
  SELECT id, kind, api_version, intent_at, duration_ms, outcome, code, message FROM with_archive.gateway_call
  WHERE refund_id = $1 ORDER BY intent_at`;
const NOTICES_SQL = `
  SELECT id, received_at, deliveries, version, status, result, reason FROM with_archive.notification
  WHERE refund_id = $1 ORDER BY id`;
/** Every try to tell of the refund; $2 the caller's apps, who sees endpoints that are bound to none but these. */
const DELIVERIES_SQL = `
  SELECT a.at, a.result, a.latency, d.id AS delivery_id, d.endpoint_id, v.id AS event_id, v.type
  FROM with_archive.outgoing_event v JOIN with_archive.webhook_delivery d ON d.event_id = v.id
    JOIN webhook_endpoint e ON e.id = d.endpoint_id JOIN with_archive.webhook_attempt a ON a.delivery_id = d.id
  WHERE v.subject_id = $1 AND ($2::text[] IS NULL OR e.appids <@ $2) ORDER BY a.at`;

/**
 * Everything that happened to one refund, oldest first: who asked for it, our changes, our calls, WeChat's notices and what became of
 * them, and every try to tell of it. Titles, and what each means, come in the language of the caller.
 */
@Injectable()
export class Timeline {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly reads: RefundReads,
  ) {}

  /** AppError refund_not_found. */
  async of(caller: Caller, id: string, language: Language): Promise<TimelineEntry[]> {
    const { id: uuid } = await this.reads.get(caller, id);
    const [events, calls, notices, deliveries] = await Promise.all([
      this.uow.query<EventRow>(EVENTS_SQL, [uuid]),
      this.uow.query<CallRow>(CALLS_SQL, [uuid]),
      this.uow.query<NoticeRow>(NOTICES_SQL, [uuid]),
      this.uow.query<DeliveryRow>(DELIVERIES_SQL, [uuid, caller.appids]),
    ]);
    // A claim and the call it makes bear the same time: the claim comes first.
    const entries = [
      ...events.map((row) => eventEntry(row, language)),
      ...calls.map((row) => callEntry(row, language)),
      ...notices.map((row) => noticeEntry(row, language)),
      ...deliveries.map((row) => deliveryEntry(row, language)),
    ];
    return entries.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  }
}

function eventEntry(row: EventRow, language: Language): TimelineEntry {
  const moved = row.from_state === null ? firstTitle(row, language) : moveTitle(row.from_state, row.to_state, language);
  return {
    at: row.at.toISOString(),
    kind: 'event',
    title: row.incident === null ? moved : `${moved} (${TITLES.incident[language]}: ${row.incident})`,
    detail: {
      cause: row.cause,
      ...(row.actor !== null && { actor: row.actor }),
      ...row.detail,
      ...explainState(row.to_state, language),
    },
    ref: row.cause === 'notice' && row.source_id !== null ? publicId('notification', row.source_id) : row.source_id,
  };
}

function firstTitle({ actor, to_state: to }: EventRow, language: Language): string {
  if (actor === null) return `${TITLES.found[language]}: ${STATE_WORDS[to][language]}`;
  return `${TITLES.requested[language]} ${actor}: ${TITLES.reserved[language]}`;
}

function moveTitle(from: RefundState, to: RefundState, language: Language): string {
  const after = STATE_WORDS[to][language];
  return from === to ? `${TITLES.stays[language]} ${after}` : `${STATE_WORDS[from][language]} → ${after}`;
}

function callEntry(row: CallRow, language: Language): TimelineEntry {
  const { kind, api_version: version, code } = row;
  return {
    at: row.intent_at.toISOString(),
    kind: 'call',
    title: CALL_TITLES[kind]?.[language] ?? kind,
    detail: {
      api_version: version,
      outcome: row.outcome ?? TITLES.no_answer[language],
      duration_ms: row.duration_ms,
      code,
      message: row.message,
      ...explainCall({ kind, version, code }, language),
    },
    ref: row.id,
  };
}

function noticeEntry(row: NoticeRow, language: Language): TimelineEntry {
  const said = row.status in STATE_WORDS ? STATE_WORDS[row.status as RefundState][language] : row.status;
  return {
    at: row.received_at.toISOString(),
    kind: 'notification',
    title: `${TITLES.notice[language]}: ${said}, ${NOTICE_RESULTS[row.result]?.[language] ?? row.result}`,
    detail: { version: row.version, result: row.result, reason: row.reason, deliveries: row.deliveries },
    ref: publicId('notification', row.id),
  };
}

/** The receiver's address is not shown: it may hold a secret, and viewers do not see endpoints. */
function deliveryEntry(row: DeliveryRow, language: Language): TimelineEntry {
  const verdict = TITLES[row.result === '2xx' ? 'delivered' : 'not_delivered'][language];
  return {
    at: row.at.toISOString(),
    kind: 'event',
    title: `${TITLES.told[language]}: ${row.type}, ${verdict}`,
    detail: {
      endpoint: publicId('webhookEndpoint', row.endpoint_id),
      event: publicId('event', row.event_id),
      result: row.result,
      latency: row.latency,
    },
    ref: publicId('webhookDelivery', row.delivery_id),
  };
}
