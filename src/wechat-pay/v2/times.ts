import { isTime } from '../../common/http/validators.js';

/** WeChat's V2 times are Beijing time without a zone, `yyyy-MM-dd HH:mm:ss` or `yyyyMMddHHmmss`; RFC 3339 out, null for anything else. */
export function fromBeijing(text: string | undefined): string | null {
  const match = /^(\d{4})-?(\d{2})-?(\d{2})[ T]?(\d{2}):?(\d{2}):?(\d{2})$/.exec(text ?? '');
  if (!match) return null;
  const [, year, month, day, hour, minute, second] = match;
  const time = `${year}-${month}-${day}T${hour}:${minute}:${second}+08:00`;
  return isTime(time) ? time : null;
}

const BEIJING_OFFSET_MS = 8 * 3_600_000;

/** `yyyyMMddHHmmss` in Beijing time. */
export function toBeijing(time: Date): string {
  return new Date(time.getTime() + BEIJING_OFFSET_MS).toISOString().slice(0, 19).replace(/\D/g, '');
}
