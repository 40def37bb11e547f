import type { ShownPayment } from '../orders/order-gateway.port.js';
import type { ShownRefund } from '../refunds/refund-gateway.port.js';
import { shownByNotice, shownPayment } from './v2/notices.js';
import { readXml } from './v2/xml.js';
import { shownByV3Notice, shownByV3Payment } from './v3/notices.js';

/** The content of a stored notice, read again. Both readings throw NoticeUnreadable for content of the other kind. */
export interface NoticeContent {
  /** As people see it: without sign and nonce. */
  readonly fields: Record<string, unknown>;
  refund(): ShownRefund;
  payment(): ShownPayment;
}

interface Stored {
  readonly version: 'v2' | 'v3';
  readonly kind: 'refund' | 'payment';
  readonly mch_id: string;
  readonly appid: string | null;
}

/** Reads the text of a stored notice by the protocol it came in. */
export function contentOf(text: string, stored: Stored): NoticeContent {
  if (stored.version === 'v3') {
    const content = JSON.parse(text) as Record<string, unknown>;
    return {
      fields: content,
      refund: () => shownByV3Notice(content, stored.mch_id),
      payment: () => shownByV3Payment(content),
    };
  }
  const fields = readXml(Buffer.from(text), { root: stored.kind === 'refund' ? 'root' : 'xml' });
  const shown = [...fields].filter(([name]) => name !== 'sign' && name !== 'nonce_str');
  return {
    fields: Object.fromEntries(shown),
    refund: () => shownByNotice(fields, stored.mch_id, stored.appid),
    payment: () => shownPayment(fields, 'paid', false, 'SUCCESS'),
  };
}
