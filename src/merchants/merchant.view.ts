import type { CredentialKind } from './merchant-account.js';

/** What the view of a merchant is made of; one round trip, no secret in it. */
export const MERCHANT_COLUMNS = `
  SELECT m.mch_id, m.name, m.enabled, m.api_version, m.sign_type, m.refund_notify, m.notify_token, m.created_at,
    CASE WHEN q.paused_until <= (SELECT tuikuan_now()) THEN NULL ELSE q.pause_reason END AS pause_reason,
    CASE q.pause_reason WHEN 'configuration' THEN q.next_probe_at ELSE q.paused_until END AS paused_until,
    coalesce((
      SELECT jsonb_agg(jsonb_build_object('kind', c.kind, 'fingerprint', c.fingerprint, 'serial', c.serial,
        'valid_until', c.valid_until, 'updated_at', c.created_at, 'previous_until', (
          SELECT max(p.usable_until) FROM credential p
          WHERE p.mch_id = c.mch_id AND p.kind = c.kind AND p.usable_until > (SELECT tuikuan_now()))) ORDER BY c.kind)
      FROM credential c WHERE c.mch_id = m.mch_id AND c.replaced_at IS NULL), '[]') AS credentials
  FROM merchant m JOIN merchant_rate q ON q.mch_id = m.mch_id`;

interface CredentialRow {
  readonly kind: CredentialKind;
  readonly fingerprint: string;
  readonly serial: string | null;
  readonly valid_until: string | null;
  readonly updated_at: string;
  readonly previous_until: string | null;
}

/** A row of {@link MERCHANT_COLUMNS}. */
export interface MerchantRow {
  readonly mch_id: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly api_version: 'v2' | 'v3';
  readonly sign_type: 'HMAC-SHA256' | 'MD5';
  readonly refund_notify: 'confirm' | 'apply';
  readonly notify_token: string;
  readonly created_at: Date;
  readonly pause_reason: 'configuration' | 'too_many_requests' | null;
  readonly paused_until: Date | null;
  readonly credentials: readonly CredentialRow[];
}

/** A credential as anybody may see it: what it is and until when, never what it holds. */
export class CredentialView {
  kind: CredentialKind;
  fingerprint: string;
  serial?: string;
  valid_until?: string;
  updated_at: string;
  previous_until?: string;
}

export class PausedView {
  reason: 'configuration' | 'too_many_requests';
  /** The next try. */
  until: string | null;
}

export class NotifyUrlsView {
  refund: string;
  payment: string;
}

/** A merchant (design.md 8). */
export class MerchantView {
  object: 'merchant';
  mch_id: string;
  name: string;
  enabled: boolean;
  api_version: 'v2' | 'v3';
  sign_type: 'HMAC-SHA256' | 'MD5';
  refund_notify: 'confirm' | 'apply';
  paused?: PausedView;
  notify_urls: NotifyUrlsView;
  credentials: CredentialView[];
  created_at: string;
}

/** The view of a row; WeChat calls `publicUrl`. */
export function merchantView(row: MerchantRow, publicUrl: string): MerchantView {
  const notifyUrl = `${publicUrl}/notify/wechat/${row.notify_token}`;
  return {
    object: 'merchant',
    mch_id: row.mch_id,
    name: row.name,
    enabled: row.enabled,
    api_version: row.api_version,
    sign_type: row.sign_type,
    refund_notify: row.refund_notify,
    ...(row.pause_reason !== null && {
      paused: { reason: row.pause_reason, until: row.paused_until?.toISOString() ?? null },
    }),
    notify_urls: { refund: `${notifyUrl}/refund`, payment: `${notifyUrl}/payment` },
    credentials: row.credentials.map(credentialView),
    created_at: row.created_at.toISOString(),
  };
}

function credentialView(row: CredentialRow): CredentialView {
  const time = (text: string): string => new Date(text).toISOString();
  return {
    kind: row.kind,
    fingerprint: row.fingerprint,
    ...(row.serial !== null && { serial: row.serial }),
    ...(row.valid_until !== null && { valid_until: time(row.valid_until) }),
    updated_at: time(row.updated_at),
    ...(row.previous_until !== null && { previous_until: time(row.previous_until) }),
  };
}
