import { Injectable } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import { publicId } from '../common/ids.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { RefundReads } from './refund-reads.js';

export class TimelineEntry {
  /** RFC 3339. */
  at: string;
  kind: 'event' | 'call' | 'notification';
  title: string;
  detail: Record<string, unknown>;
  /** The gateway call's or notification's id, where there is one. */
  ref: string | null;
}

interface EventRow {
  readonly at: Date;
  readonly from_state: string | null;
  readonly to_state: string;
  readonly cause: string;
  readonly actor: string | null;
  readonly incident: string | null;
  readonly detail: Record<string, unknown>;
  readonly source_id: string | null;
}

interface CallRow {
  readonly id: string;
  readonly kind: string;
  readonly api_version: string;
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

const EVENTS_SQL = 'SELECT * FROM refund_event WHERE refund_id = $1 ORDER BY seq';
const CALLS_SQL = 'SELECT * FROM gateway_call WHERE refund_id = $1 ORDER BY intent_at';
const NOTICES_SQL = `
  SELECT id, received_at, deliveries, version, status, result, reason FROM notification WHERE refund_id = $1 ORDER BY id`;

const CALL_TITLES: Readonly<Record<string, string>> = {
  refund: 'refund request sent to WeChat',
  refund_query: 'WeChat asked about the refund',
  abnormal_refund: 'repair asked of WeChat',
};

/** Everything that happened to one refund, oldest first: our changes, our calls, WeChat's notices. */
@Injectable()
export class Timeline {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly reads: RefundReads,
  ) {}

  /** AppError refund_not_found. */
  async of(caller: Caller, id: string): Promise<TimelineEntry[]> {
    const { id: uuid } = await this.reads.get(caller, id);
    const [events, calls, notices] = await Promise.all([
      this.uow.query<EventRow>(EVENTS_SQL, [uuid]),
      this.uow.query<CallRow>(CALLS_SQL, [uuid]),
      this.uow.query<NoticeRow>(NOTICES_SQL, [uuid]),
    ]);
    // A claim and the call it makes bear the same time: the claim comes first.
    const entries = [...events.map(eventEntry), ...calls.map(callEntry), ...notices.map(noticeEntry)];
    return entries.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  }
}

function eventEntry(row: EventRow): TimelineEntry {
  const moved =
    row.from_state === row.to_state ? `stays ${row.to_state}` : `${row.from_state ?? 'new'} → ${row.to_state}`;
  return {
    at: row.at.toISOString(),
    kind: 'event',
    title: row.incident === null ? moved : `${moved} (incident: ${row.incident})`,
    detail: { cause: row.cause, ...(row.actor !== null && { actor: row.actor }), ...row.detail },
    ref: row.cause === 'notice' && row.source_id !== null ? publicId('notification', row.source_id) : row.source_id,
  };
}

function callEntry(row: CallRow): TimelineEntry {
  return {
    at: row.intent_at.toISOString(),
    kind: 'call',
    title: CALL_TITLES[row.kind] ?? row.kind,
    detail: {
      api_version: row.api_version,
      outcome: row.outcome ?? 'no answer yet',
      duration_ms: row.duration_ms,
      code: row.code,
      message: row.message,
    },
    ref: row.id,
  };
}

function noticeEntry(row: NoticeRow): TimelineEntry {
  return {
    at: row.received_at.toISOString(),
    kind: 'notification',
    title: `WeChat's notice: ${row.status}`,
    detail: { version: row.version, result: row.result, reason: row.reason, deliveries: row.deliveries },
    ref: publicId('notification', row.id),
  };
}
