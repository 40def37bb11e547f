import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { publicId } from '../common/ids.js';
import { WorkLoop } from '../common/work-loop.js';
import { Settings } from '../config/settings.js';
import { WorkerUnitOfWork } from '../database/unit-of-work.js';
import { MerchantDirectory } from '../merchants/merchant-account.js';
import { RefundInquiry } from '../refunds/inquiry.js';
import { QUERY_GAPS_SECONDS } from '../refunds/limits.js';
import { Inbox, type NotificationRow } from './inbox.js';

const POLL_MS = 500;
const QUERIES_AT_ONCE_MAX = 10;
/** Questions, by the rhythm of refunds, until WeChat's "not found" is believed: about three days. */
const STEPS_MAX = 18;

const CLAIM_SQL = `
  UPDATE notification n SET query_step = n.query_step + 1,
    next_query_at = c.now + make_interval(secs => ($1::integer[])[least(n.query_step + 1, array_length($1::integer[], 1))])
  FROM (SELECT tuikuan_now() AS now) c, (
    SELECT id FROM notification WHERE next_query_at <= (SELECT tuikuan_now())
    ORDER BY next_query_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED) d
  WHERE n.id = d.id
  RETURNING n.id, n.mch_id, coalesce((SELECT o.appid FROM payment_order o WHERE o.id = n.order_id), n.appid) AS appid, n.kind, n.version,
    n.received_at, n.deliveries, n.result, n.reason, n.refund_id, n.order_id, n.kek_id, n.content, n.query_step`;

// Not result = …: PostgreSQL would read the index of all that wait.
const SETTLE_SQL = `
  UPDATE notification SET result = $2, reason = $3, refund_id = coalesce($4, refund_id), next_query_at = NULL
  WHERE id = $1 AND coalesce(result, '') = 'waiting_for_query'`;

/** Asks WeChat about numbers that notices named and we do not know: refunds made in the merchant platform. Only its signed answer books. */
@Injectable()
export class NoticeConfirmer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loop = new WorkLoop('confirming notices', POLL_MS, () => this.tick());

  constructor(
    private readonly uow: WorkerUnitOfWork,
    private readonly inbox: Inbox,
    private readonly inquiry: RefundInquiry,
    private readonly merchants: MerchantDirectory,
    private readonly settings: Settings,
  ) {}

  onApplicationBootstrap(): void {
    if (this.settings.role !== 'api') this.loop.start();
  }

  /** Claims nothing more and waits for the questions under way. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.end();
    await this.loop.drained();
  }

  private async tick(): Promise<void> {
    const room = QUERIES_AT_ONCE_MAX - this.loop.size;
    if (room <= 0) return;
    const rows = await this.uow.query<NotificationRow & { query_step: number }>(CLAIM_SQL, [
      [...QUERY_GAPS_SECONDS],
      room,
    ]);
    for (const row of rows) this.loop.track(this.confirm(row, row.query_step));
  }

  private async confirm(row: NotificationRow, step: number): Promise<void> {
    const { outRefundNo } = this.inbox.contentOf(row).refund();
    const apiVersion = (await this.merchants.byMchId(row.mch_id))?.apiVersion ?? 'v2';
    const { answer, taken } = await this.inquiry.lookUp(this.uow, {
      mchId: row.mch_id,
      appid: row.appid ?? '',
      apiVersion,
      outRefundNo,
    });
    if (taken === null) {
      if (answer.outcome !== 'not_found' || step < STEPS_MAX) return;
      await this.uow.query(SETTLE_SQL, [row.id, 'refused', 'WeChat does not know this refund', null]);
    } else if (taken.result === 'unmatched') {
      await this.uow.query(SETTLE_SQL, [row.id, 'unmatched', taken.reason, null]);
    } else if (taken.result === 'known') {
      await this.inbox.reprocess(null, publicId('notification', row.id));
    } else {
      await this.uow.query(SETTLE_SQL, [row.id, 'applied', null, taken.refundId]);
    }
  }
}
