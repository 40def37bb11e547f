import { setTimeout as sleep } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { newUuid } from '../common/ids.js';
import { WorkLoop } from '../common/work-loop.js';
import { Settings } from '../config/settings.js';
import { WorkerUnitOfWork } from '../database/unit-of-work.js';
import { beginCall, finishCall } from '../orders/gateway-call-log.js';
import type { Booked, ProofBooking } from './bookings.js';
import { takeInExternal } from './external-refunds.js';
import { claimQueries, RefundInquiry, takeQuerySlots } from './inquiry.js';
import { QUERY_GAPS_SECONDS } from './limits.js';
import { type ApiVersion, REFUND_GATEWAY, type RefundGateway, type ShownRefund } from './refund-gateway.port.js';
import { RefundLedger } from './refund-ledger.js';

const POLL_MS = 500;
const QUERIES_PER_CLAIM = 20;
const IN_FLIGHT_MAX = 60;

/** Merchants with due queries, the one that has waited longest first. */
const WORK_SQL = `
  SELECT m.mch_id FROM merchant m, LATERAL (
    SELECT r.next_query_at FROM refund r WHERE r.mch_id = m.mch_id AND r.next_query_at <= (SELECT tuikuan_now())
    ORDER BY r.next_query_at LIMIT 1) d
  ORDER BY d.next_query_at`;

/** Orders whose refunds are to be listed: WeChat showed trade_state REFUND, perhaps for refunds that are not ours. */
const LISTINGS_SQL = `
  UPDATE payment_order o SET refunds_query_at = (SELECT tuikuan_now()) + make_interval(secs => ${QUERY_GAPS_SECONDS[3]})
  FROM (SELECT id FROM payment_order WHERE refunds_query_at <= (SELECT tuikuan_now())
    ORDER BY refunds_query_at LIMIT 10 FOR NO KEY UPDATE SKIP LOCKED) d, merchant m
  WHERE o.id = d.id AND m.mch_id = o.mch_id
  RETURNING o.id, o.mch_id, o.appid, o.out_trade_no, m.api_version, o.refunds_query_at AS claim`;

/** An order whose refunds were asked for once more meanwhile stays due. */
const LISTED_SQL = 'UPDATE payment_order SET refunds_query_at = NULL WHERE id = $1 AND refunds_query_at = $2';

interface Listing {
  readonly id: string;
  readonly mch_id: string;
  readonly appid: string;
  readonly out_trade_no: string;
  readonly api_version: ApiVersion;
  readonly claim: Date;
}

/**
 * Asks WeChat for every refund whose outcome is open, by the rhythm of limits.ts, and lists the refunds of orders that may hold
 * some of the merchant platform. It promises that no open refund is ever forgotten; what an answer means is the ledger's.
 */
@Injectable()
export class Reconciler implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loop = new WorkLoop('reconciliation', POLL_MS, () => this.tick());

  constructor(
    private readonly uow: WorkerUnitOfWork,
    private readonly inquiry: RefundInquiry,
    private readonly ledger: RefundLedger,
    private readonly settings: Settings,
    @Inject(REFUND_GATEWAY) private readonly gateway: RefundGateway,
  ) {}

  onApplicationBootstrap(): void {
    if (this.settings.role !== 'api') this.loop.start();
  }

  /** Claims nothing more and waits for the questions under way. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.end();
    await this.loop.drained();
  }

  /** Looks for due queries now instead of at the next poll. */
  wake(): void {
    this.loop.wake();
  }

  private async tick(): Promise<void> {
    for (const listing of await this.uow.query<Listing>(LISTINGS_SQL, [])) this.loop.track(this.list(listing));
    for (const { mch_id: mchId } of await this.uow.query<{ mch_id: string }>(WORK_SQL, [])) {
      const count = Math.min(QUERIES_PER_CLAIM, IN_FLIGHT_MAX - this.loop.size);
      if (count <= 0) return;
      const queries = await this.uow.run((tx) => claimQueries(tx, mchId, { count, only: null }));
      for (const query of queries) this.loop.track(this.inquiry.ask(this.uow, query));
    }
  }

  /** Lists all refunds of an order and books each: ours as proof, others as external. */
  private async list(listing: Listing): Promise<void> {
    const callId = newUuid();
    const order = { mchId: listing.mch_id, appid: listing.appid };
    // Only V2 has a call that lists the refunds of an order.
    const call = {
      callId,
      kind: 'refund_query',
      orderId: listing.id,
      mchId: listing.mch_id,
      apiVersion: 'v2',
    } as const;
    const delayMs = await this.uow.run(async (tx) => {
      const slotMs = await takeQuerySlots(tx, listing.mch_id, 1);
      await beginCall(tx, call);
      return slotMs;
    });
    await sleep(delayMs);
    const answer = await this.gateway.list({ callId, outTradeNo: listing.out_trade_no, ...order });
    for (const shown of answer.refunds) await this.bookListed(shown, callId, listing);
    await this.uow.run(async (tx) => {
      await finishCall(tx, callId, answer);
      if (answer.complete) {
        await tx.query(LISTED_SQL, [listing.id, listing.claim]);
      }
    });
  }

  private async bookListed(shown: ShownRefund, callId: string, listing: Listing): Promise<void> {
    const booked = await this.uow.run(async (tx): Promise<Booked[]> => {
      const taken = await takeInExternal(tx, shown, { callId, apiVersion: listing.api_version });
      if (taken.result !== 'known') return 'incidents' in taken ? [taken] : [];
      return this.ledger.book(tx, await proofsOf(tx, shown, callId));
    });
    this.ledger.report(booked);
  }
}

async function proofsOf(tx: EntityManager, shown: ShownRefund, callId: string): Promise<ProofBooking[]> {
  const rows = await tx.query<{ id: string; order_id: string }[]>(
    'SELECT id, order_id FROM refund WHERE mch_id = $1 AND out_refund_no = $2',
    [shown.mchId, shown.outRefundNo],
  );
  return rows.map((row) => ({
    kind: 'proof',
    refundId: row.id,
    orderId: row.order_id,
    cause: 'query',
    sourceId: callId,
    shown,
    askedAt: null,
  }));
}
