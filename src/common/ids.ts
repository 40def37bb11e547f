import { v7 } from 'uuid';

/** What an id names; the prefix is part of the public id. */
export const ID_PREFIXES = {
  order: 'ord_',
  refund: 're_',
  notification: 'ntf_',
  event: 'evt_',
  apiKey: 'key_',
  webhookEndpoint: 'we_',
  webhookDelivery: 'wd_',
  auditLog: 'aud_',
} as const;

export type IdKind = keyof typeof ID_PREFIXES;

/** A fresh UUIDv7: sorts by time, 74 random bits. This is the form inside the database. */
export function newUuid(): string {
  return v7();
}

/** The public form of a database id: its prefix and 32 hex digits, which sort as the UUID does. */
export function publicId(kind: IdKind, uuid: string): string {
  return ID_PREFIXES[kind] + uuid.replaceAll('-', '');
}

/** The UUID behind a public id; null when the text is no id of this kind. */
export function uuidOf(kind: IdKind, id: string): string | null {
  const prefix = ID_PREFIXES[kind];
  const hex = id.startsWith(prefix) ? id.slice(prefix.length) : '';
  if (!/^[0-9a-f]{32}$/.test(hex)) return null;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
