import { setTimeout as sleep } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { CLOCK, type Clock } from '../common/clock.js';
import { incident, log } from '../common/log.js';
import { Settings } from '../config/settings.js';
import { WorkerUnitOfWork } from '../database/unit-of-work.js';
import { finishCall } from '../orders/gateway-call-log.js';
import type { AnyBooking } from './bookings.js';
import { type Claim, type Claimed, claimSends } from './claim.js';
import { type MerchantWork, noteRelease, permissionOf, releases, runOutLeases, WORK_SQL } from './dispatch-plan.js';
import { SLOT_MISSED, SLOT_TOLERANCE_MS, SLOTS_PER_CLAIM_MAX } from './limits.js';
import { lockRate, noteAnswer } from './merchant-rate.js';
import { REFUND_GATEWAY, type RefundGateway, type SendAnswer } from './refund-gateway.port.js';
import { RefundLedger } from './refund-ledger.js';

const POLL_MS = 250;
/** Refunds of one instance that may be on the wire or waiting for their slot. */
const IN_FLIGHT_MAX = 120;
/** The next claim starts this long before the last slot of the one before, so that no slot is lost between claims. */
const CLAIM_AHEAD_MS = 70;
const RELEASE_BATCH = 100;

const NOT_SENT = { outcome: 'not_sent', shown: null, pauseSeconds: 0, fields: null, durationMs: 0 } as const;

/**
 * Sends due refunds: claim under a lease (commit) → write at the slot (no transaction open) → book the answer (commit).
 * It promises that the intent is committed before the first byte, that a lost answer is unknown, and that nothing is written
 * outside its slot. It leaves judging to the gateway and the state to the ledger.
 */
@Injectable()
export class Dispatcher implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly inFlight = new Set<Promise<void>>();
  private readonly busy = new Set<string>();
  private stopping = false;
  private wakeUp: () => void = () => undefined;
  private loop: Promise<void> = Promise.resolve();

  constructor(
    private readonly uow: WorkerUnitOfWork,
    private readonly ledger: RefundLedger,
    private readonly settings: Settings,
    @Inject(REFUND_GATEWAY) private readonly gateway: RefundGateway,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    if (this.settings.role !== 'api') this.loop = this.run();
  }

  /** Claims nothing more and waits for what is on the wire. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping = true;
    this.wakeUp();
    await this.loop;
    await Promise.all(this.inFlight);
  }

  /** Looks for due refunds now instead of at the next poll. */
  wake(): void {
    this.wakeUp();
  }

  private async run(): Promise<void> {
    while (!this.stopping) {
      try {
        await this.tick();
      } catch (error) {
        log.error('dispatch stopped for a moment', { cause: error });
      }
      await Promise.race([sleep(POLL_MS), new Promise<void>((resolve) => (this.wakeUp = resolve))]);
    }
  }

  private async tick(): Promise<void> {
    await this.bookRunOutLeases();
    const work = await this.uow.query<MerchantWork>(WORK_SQL, []);
    for (const merchant of work) {
      if (this.busy.has(merchant.mch_id)) continue;
      this.busy.add(merchant.mch_id);
      this.track(this.serve(merchant).finally(() => this.busy.delete(merchant.mch_id)));
    }
  }

  private track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => log.error('a send could not be booked; its lease will run out', { cause: error }))
      .finally(() => this.inFlight.delete(tracked));
    this.inFlight.add(tracked);
  }

  private async bookRunOutLeases(): Promise<void> {
    const booked = await this.uow.run(async (tx) => this.ledger.book(tx, await runOutLeases(tx)));
    this.ledger.report(booked);
  }

  /** Claims one batch after the other while the merchant has due refunds. */
  private async serve(merchant: MerchantWork): Promise<void> {
    let want = Math.max(1, merchant.due);
    while (!this.stopping && want > 0) {
      const room = IN_FLIGHT_MAX - this.inFlight.size;
      if (room <= 0) return;
      const open = await this.gateway.warm(merchant.mch_id, Math.min(want, room));
      const claim = await this.claim(merchant, Math.min(room, Math.max(1, open)));
      if (!claim) return;
      for (const refund of claim.refunds) this.track(this.send(claim, refund));
      const lastSlotMs = claim.refunds.at(-1)?.slotMs ?? 0;
      await sleep(Math.max(0, lastSlotMs - this.databaseMs(claim).latest - CLAIM_AHEAD_MS));
      want = claim.refunds.length < want ? 0 : SLOTS_PER_CLAIM_MAX;
    }
  }

  private async claim(merchant: MerchantWork, count: number): Promise<Claim | null> {
    return this.uow.run(async (tx) => {
      const rate = await lockRate(tx, merchant.mch_id);
      const permission = permissionOf(rate);
      const context = { settings: this.settings, clock: this.clock, rate };
      const account = { mchId: merchant.mch_id, apiVersion: merchant.api_version };
      if (rate.releaseBlocked || rate.pauseReason === 'too_many_requests') {
        const moves = rate.releaseBlocked ? await releases(tx, merchant.mch_id, RELEASE_BATCH) : [];
        await noteRelease(tx, merchant.mch_id, moves.length === RELEASE_BATCH);
        await this.ledger.book(tx, moves);
      }
      if (permission.kind === 'none') return null;
      if (permission.kind === 'free') return claimSends(tx, account, { count, probe: null }, context);
      const claim = await claimSends(tx, account, { count: 1, probe: permission }, context);
      if (claim) return claim;
      await this.ledger.book(tx, await releases(tx, merchant.mch_id, 1));
      return claimSends(tx, account, { count: 1, probe: { ...permission, only: null } }, context);
    });
  }

  private async send(claim: Claim, refund: Claimed): Promise<void> {
    const prepared = await this.gateway.prepare({ ...refund, mchId: claim.mchId });
    const { obstacle } = prepared;
    if (obstacle) {
      prepared.release();
      return this.book(claim, refund, { ...NOT_SENT, ...obstacle });
    }
    if (!(await this.reachSlot(claim, refund.slotMs))) {
      prepared.release();
      return this.book(claim, refund, { ...NOT_SENT, code: SLOT_MISSED, message: 'its time on the wire had passed' });
    }
    return this.book(claim, refund, await prepared.send());
  }

  /** The earliest and the latest the database clock can show now. */
  private databaseMs(claim: Claim): { earliest: number; latest: number } {
    const nowMs = this.clock.monotonicMs();
    return { earliest: claim.dbMs + nowMs - claim.m1Ms, latest: claim.dbMs + nowMs - claim.m0Ms };
  }

  /** Waits for the slot; false when it cannot be met for certain, and then nothing may be written. */
  private async reachSlot(claim: Claim, slotMs: number): Promise<boolean> {
    for (;;) {
      const now = this.databaseMs(claim);
      if (now.latest > slotMs + SLOT_TOLERANCE_MS) return false;
      if (now.earliest >= slotMs) return true;
      await sleep(Math.max(0, slotMs - now.earliest));
    }
  }

  private async book(claim: Claim, refund: Claimed, answer: SendAnswer): Promise<void> {
    const { pause, booked } = await this.uow.run(async (tx) => {
      const pause = await noteAnswer(tx, claim.mchId, answer, { ...claim, limits: this.settings });
      await finishCall(tx, refund.callId, answer);
      return { pause, booked: await this.ledger.book(tx, [bookingOf(claim, refund, answer)]) };
    });
    this.ledger.report(booked);
    if (pause === 'ended') log.info('merchant resumed', { mchId: claim.mchId });
    else if (pause !== null) incident('merchant_paused', { mchId: claim.mchId, reason: pause, code: answer.code });
  }
}

function bookingOf(claim: Claim, refund: Claimed, answer: SendAnswer): AnyBooking {
  const { orderId, refundId, callId, inDoubtBefore, firstSend } = refund;
  const booking = { orderId, refundId, cause: 'answer', sourceId: callId } as const;
  if (answer.shown) return { ...booking, kind: 'proof', shown: answer.shown, askedAt: claim.claimedAt };
  const outcome = answer.outcome === 'shown' ? 'unknown' : answer.outcome;
  const { code, message } = answer;
  return { ...booking, kind: 'send', outcome, code, message, leaseToken: callId, inDoubtBefore, firstSend };
}
