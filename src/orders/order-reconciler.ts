import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { WorkLoop } from '../common/work-loop.js';
import { Settings } from '../config/settings.js';
import { WorkerUnitOfWork } from '../database/unit-of-work.js';
import { OrderInquiry } from './order-inquiry.js';
import { bookClosed } from './payment-booking.js';

const POLL_MS = 1000;
const QUERIES_AT_ONCE_MAX = 20;
/** Gaps between the questions about an order that is not paid: at 1 m, 5 m, 15 m, 1 h after it was made, then every 6 h. */
const GAPS_SECONDS = [60, 240, 600, 2700, 21_600] as const;
/** WeChat closes unpaid orders after 7 days; by then it has been asked often enough. */
const ASKED_FOR_DAYS = 7;

const CLAIM_SQL = `
  UPDATE payment_order o SET query_step = o.query_step + 1,
    next_query_at = CASE WHEN o.created_at > c.now - interval '${ASKED_FOR_DAYS} days'
      THEN c.now + make_interval(secs => ($1::integer[])[least(o.query_step + 2, array_length($1::integer[], 1))]) END
  FROM (SELECT tuikuan_now() AS now) c, (
    SELECT id FROM payment_order WHERE next_query_at <= (SELECT tuikuan_now()) AND status = 'created'
    ORDER BY next_query_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED) d
  WHERE o.id = d.id
  RETURNING o.id, o.mch_id, o.appid, o.out_trade_no, o.next_query_at IS NULL AS last`;

interface ClaimedOrder {
  readonly id: string;
  readonly mch_id: string;
  readonly appid: string;
  readonly out_trade_no: string;
  readonly last: boolean;
}

/** Asks WeChat about orders that are not paid, so that a lost payment notice is found. */
@Injectable()
export class OrderReconciler implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loop = new WorkLoop('order queries', POLL_MS, () => this.tick());

  constructor(
    private readonly uow: WorkerUnitOfWork,
    private readonly inquiry: OrderInquiry,
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
    const claimed = await this.uow.query<ClaimedOrder>(CLAIM_SQL, [[...GAPS_SECONDS], room]);
    for (const order of claimed) this.loop.track(this.ask(order));
  }

  /** An order WeChat no longer knows after seven days is closed: it can never be paid. */
  private async ask(order: ClaimedOrder): Promise<void> {
    const { answer } = await this.inquiry.refresh(order, this.uow);
    if (!order.last || answer.outcome !== 'not_found') return;
    await bookClosed(this.uow, order.id);
  }
}
