/** A notice as operators see it; `content` are the fields that were inside, without sign. */
export class NotificationView {
  object: 'notification';
  id: string;
  mch_id: string;
  kind: 'refund' | 'payment';
  version: 'v2' | 'v3';
  received_at: string;
  deliveries: number;
  result: string;
  reason?: string;
  refund?: string;
  order?: string;
  content: Record<string, unknown>;
}
