import type { SignatureFault } from './v3/signature.js';

export type UnreadableReason =
  'malformed' | 'wrong_merchant' | 'no_key' | 'not_decryptable' | 'wrong_kind' | 'events_disagree' | SignatureFault;

/** A notice that is not to be believed. The reason is for our counters; WeChat and forgers get the same answer for all. */
export class NoticeUnreadable extends Error {
  override readonly name = 'NoticeUnreadable';

  constructor(
    readonly reason: UnreadableReason,
    options?: { readonly cause?: unknown },
  ) {
    super(`notice refused: ${reason}`, options);
  }
}
