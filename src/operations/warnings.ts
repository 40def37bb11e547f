import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../common/clock.js';
import { publicId } from '../common/ids.js';
import { UnitOfWork } from '../database/unit-of-work.js';

/** Readings within this time are one. */
const CACHE_MS = 5000;
/** Days before an end at which somebody should hear of it, the nearest first, and how codes name them. */
const THRESHOLDS = [
  { days: 0, suffix: 'ended' },
  { days: 1, suffix: 'ends_in_1_day' },
  { days: 7, suffix: 'ends_in_7_days' },
  { days: 30, suffix: 'ends_in_30_days' },
] as const;

type Suffix = (typeof THRESHOLDS)[number]['suffix'];

/** Something that will stop work unless a person acts. */
export interface Warning {
  readonly code: `certificate_${Suffix}` | `api_key_${Suffix}` | 'merchant_paused';
  /** Null for an API key. */
  readonly mchId: string | null;
  /** What it is about, for the log: never part of an open answer. */
  readonly subject: string;
  /** Null for a pause. */
  readonly endsAt: Date | null;
  /** True once it has stood long enough to be told a second time: the beginning of a pause is an incident by itself. */
  readonly isDue: boolean;
}

interface Ending {
  readonly what: 'certificate' | 'api_key' | 'merchant_paused';
  readonly mch_id: string | null;
  readonly subject: string;
  readonly ends_at: Date | null;
  readonly days_left: number;
  /** How long it was to live in all; an API key made for a week is not warned of from its first day. */
  readonly days_given: number | null;
  readonly is_due: boolean;
}

/** Tables of configuration only. Credentials of disabled merchants and keys that are dead already are nobody's work. */
const STANDING_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now)
  SELECT 'certificate' AS what, k.mch_id, k.kind AS subject, k.valid_until AS ends_at,
    (extract(epoch FROM k.valid_until - c.now) / 86400)::float8 AS days_left, NULL::float8 AS days_given, true AS is_due
  FROM credential k JOIN merchant m ON m.mch_id = k.mch_id AND m.enabled, clock c
  WHERE k.replaced_at IS NULL AND k.valid_until <= c.now + interval '30 days'
  UNION ALL
  SELECT 'api_key', NULL, a.id::text, a.expires_at, extract(epoch FROM a.expires_at - c.now) / 86400,
    extract(epoch FROM a.expires_at - a.created_at) / 86400, true
  FROM api_key a, clock c
  WHERE a.revoked_at IS NULL AND a.expires_at > c.now AND a.expires_at <= c.now + interval '30 days'
  UNION ALL
  SELECT 'merchant_paused', q.mch_id, q.pause_reason, NULL, 0, NULL, q.paused_at <= c.now - interval '1 day'
  FROM merchant_rate q JOIN merchant m ON m.mch_id = q.mch_id AND m.enabled, clock c
  WHERE q.pause_reason IS NOT NULL AND (q.paused_until IS NULL OR q.paused_until > c.now)
  ORDER BY 1, 2, 3`;

/** What warns now: credentials and API keys that end within 30, 7 or 1 days or have ended, and paused merchants. */
@Injectable()
export class Warnings {
  private last: { readonly warnings: Promise<readonly Warning[]>; readonly atMs: number } | null = null;

  constructor(
    private readonly uow: UnitOfWork,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** At most 5 s old. Errors as of {@link UnitOfWork}; an error is not kept. */
  standing(): Promise<readonly Warning[]> {
    const nowMs = this.clock.monotonicMs();
    if (this.last && nowMs - this.last.atMs < CACHE_MS) return this.last.warnings;
    const warnings = this.uow.query<Ending>(STANDING_SQL, []).then((rows) => rows.flatMap(warningsOf));
    this.last = { warnings, atMs: nowMs };
    warnings.catch(() => (this.last = null));
    return warnings;
  }
}

/** The one warning of an ending: that of the nearest threshold it has reached; none where its whole life is shorter than that. */
export function warningsOf(ending: Ending): Warning[] {
  const { what, mch_id: mchId, ends_at: endsAt, is_due: isDue } = ending;
  if (what === 'merchant_paused') return [{ code: what, mchId, subject: ending.subject, endsAt, isDue }];
  const reached = THRESHOLDS.find(({ days }) => ending.days_left <= days);
  if (!reached || (ending.days_given !== null && ending.days_given <= reached.days)) return [];
  const subject = what === 'api_key' ? publicId('apiKey', ending.subject) : ending.subject;
  return [{ code: `${what}_${reached.suffix}`, mchId, subject, endsAt, isDue }];
}
