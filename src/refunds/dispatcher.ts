import { setTimeout as sleep } from 'node:timers/promises';
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { CLOCK, type Clock } from '../common/clock.js';
import { refundSlots } from '../common/instruments.js';
import { incident, log } from '../common/log.js';
import { WorkLoop } from '../common/work-loop.js';
import { Settings } from '../config/settings.js';
import { Batches } from '../database/batches.js';
import { WorkerUnitOfWork } from '../database/unit-of-work.js';
import { finishCalls } from '../orders/gateway-call-log.js';
import type { AnyBooking } from './bookings.js';
import { type Claim, type Claimed, claimSends } from './claim.js';
import {
  awaitsProbe,
  endedWaits,
  type MerchantWork,
  permissionOf,
  type Probe,
  releases,
  runOutLeases,
  WORK_SQL,
} from './dispatch-plan.js';
import { SLOT_MISSED, SLOT_TOLERANCE_MS, SLOTS_PER_CLAIM_MAX } from './limits.js';
import { giveProbeBack, lockRate, noteAnswers, type PauseChange } from './merchant-rate.js';
import { REFUND_GATEWAY, type RefundGateway, type SendAnswer } from './refund-gateway.port.js';
import { RefundLedger } from './refund-ledger.js';

const POLL_MS = 250;
/** Refunds of one instance that may be on the wire or waiting for their slot. */
const IN_FLIGHT_MAX = 120;
/** The next claim starts this long before the last slot of the one before, so that no slot is lost between claims. */
const CLAIM_AHEAD_MS = 70;
/** Answers that came within this time are booked in one transaction. */
const ANSWERS_PACE_MS = 25;

const NOT_SENT = {
  outcome: 'not_sent',
  written: false,
  shown: null,
  pauseSeconds: 0,
  fields: null,
  durationMs: 0,
} as const;

/** A refund's send and what it came to. */
interface Sent {
  readonly claim: Claim;
  readonly refund: Claimed;
  readonly answer: SendAnswer;
}

/**
 * Sends due refunds: claim under a lease (commit) → write at the slot (no transaction open) → book the answer (commit).
 * It promises that the intent is committed before the first byte, that a lost answer is unknown, and that nothing is written
 * outside its slot. It leaves judging to the gateway and the state to the ledger.
 */
@Injectable()
export class Dispatcher implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loop = new WorkLoop('dispatch', POLL_MS, () => this.tick());
  private readonly leases = new WorkLoop('leases', POLL_MS, () => this.bookRunOutLeases());
  /** Merchants whose refunds are being claimed. */
  private readonly busy = new Set<string>();
  private readonly answers = new Batches<Sent, PauseChange>(
    IN_FLIGHT_MAX,
    null,
    (sent) => this.bookAnswers(sent),
    ANSWERS_PACE_MS,
  );

  constructor(
    private readonly uow: WorkerUnitOfWork,
    private readonly ledger: RefundLedger,
    private readonly settings: Settings,
    @Inject(REFUND_GATEWAY) private readonly gateway: RefundGateway,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    if (this.settings.role === 'api') return;
    this.loop.start();
    this.leases.start();
  }

  /** Claims nothing more and waits for what is on the wire. */
  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([this.loop.end(), this.leases.end()]);
    await this.loop.drained();
  }

  /** Looks for due refunds now instead of at the next poll. */
  wake(): void {
    this.loop.wake();
  }

  private async tick(): Promise<void> {
    for (const { mch_id: mchId, due } of await this.uow.query<MerchantWork>(WORK_SQL, [])) {
      if (this.busy.has(mchId)) continue;
      this.busy.add(mchId);
      this.loop.track(this.serve(mchId, due).finally(() => this.busy.delete(mchId)));
    }
  }

  private async bookRunOutLeases(): Promise<void> {
    const moves = await runOutLeases(this.uow);
    if (moves.length > 0) await this.ledger.bookEach(this.uow, moves);
  }

  /** Claims one batch after the other while the merchant has due refunds. */
  private async serve(mchId: string, due: number): Promise<void> {
    let want = Math.max(1, due);
    while (!this.loop.isEnding && want > 0) {
      const room = IN_FLIGHT_MAX - this.loop.size;
      if (room <= 0) return;
      const open = await this.gateway.warm(mchId, Math.min(want, room));
      const claim = await this.claim(mchId, Math.min(room, Math.max(1, open)));
      if (!claim) return;
      for (const refund of claim.refunds) this.loop.track(this.send(claim, refund));
      const lastSlotMs = claim.refunds.at(-1)?.slotMs ?? 0;
      await sleep(Math.max(0, lastSlotMs - this.databaseMs(claim).latest - CLAIM_AHEAD_MS));
      // As many came meanwhile, or more: connections are opened for what is likely there, not for a whole claim.
      want = claim.refunds.length < want ? 0 : Math.min(SLOTS_PER_CLAIM_MAX, 2 * want);
    }
  }

  private async claim(mchId: string, count: number): Promise<Claim | null> {
    const { claim, booked } = await this.uow.run(async (tx) => {
      const rate = await lockRate(tx, mchId);
      const moves = await endedWaits(tx, mchId, rate);
      const permission = permissionOf(rate);
      const take = (most: number, probe: Probe | null): Promise<Claim | null> =>
        claimSends(tx, mchId, { count: most, probe }, { settings: this.settings, clock: this.clock, rate });
      const booked = await this.ledger.book(tx, moves);
      if (permission.kind === 'none') return { claim: null, booked };
      if (permission.kind === 'free') return { claim: await take(count, null), booked };
      const probe = await take(1, permission);
      if (probe || (await awaitsProbe(tx, mchId, permission.only, this.settings.refundSpacingSeconds)))
        return { claim: probe, booked };
      booked.push(...(await this.ledger.book(tx, await releases(tx, mchId, 1))));
      return { claim: await take(1, { ...permission, only: null }), booked };
    });
    this.ledger.report(booked);
    return claim;
  }

  private async send(claim: Claim, refund: Claimed): Promise<void> {
    const prepared = await this.gateway.prepare({ ...refund, mchId: claim.mchId }).catch((error: unknown) => {
      log.warn('a send could not be prepared', { refundId: refund.refundId, cause: error });
      return null;
    });
    if (!prepared) return this.book(claim, refund, { ...NOT_SENT, code: 'not_prepared', message: 'see the log' });
    if (prepared.obstacle) return this.book(claim, refund, prepared.obstacle);
    await this.reachSlot(claim, refund.slotMs);
    const answer = await prepared.send(() => !this.hasPassed(claim, refund.slotMs));
    return this.book(
      claim,
      refund,
      answer ?? { ...NOT_SENT, code: SLOT_MISSED, message: 'its time on the wire had passed' },
    );
  }

  /** The earliest and the latest the database clock can show now. */
  private databaseMs(claim: Claim): { earliest: number; latest: number } {
    const nowMs = this.clock.monotonicMs();
    return { earliest: claim.dbMs + nowMs - claim.m1Ms, latest: claim.dbMs + nowMs - claim.m0Ms };
  }

  /** True when the slot cannot be met for certain: then nothing may be written. */
  private hasPassed(claim: Claim, slotMs: number): boolean {
    return this.databaseMs(claim).latest > slotMs + SLOT_TOLERANCE_MS;
  }

  /** Waits until the slot has come for certain, or has passed. */
  private async reachSlot(claim: Claim, slotMs: number): Promise<void> {
    for (;;) {
      const { earliest } = this.databaseMs(claim);
      if (earliest >= slotMs || this.hasPassed(claim, slotMs)) return;
      await sleep(slotMs - earliest);
    }
  }

  private async book(claim: Claim, refund: Claimed, answer: SendAnswer): Promise<void> {
    refundSlots.inc({ mch_id: claim.mchId, use: answer.written ? 'written' : 'lost' });
    const pause = await this.answers.ask({ claim, refund, answer });
    const { outcome, code, message } = answer;
    if (outcome !== 'shown')
      log.warn('refund not accepted', { refundId: refund.refundId, outcome, code, reason: message });
    if (pause === 'ended') log.info('merchant resumed', { mchId: claim.mchId });
    else if (pause !== null) incident('merchant_paused', { mchId: claim.mchId, reason: pause, code });
  }

  private async bookAnswers(sent: readonly Sent[]): Promise<PauseChange[]> {
    const { pauses, booked } = await this.uow.run(
      async (tx) => {
        const pauses = await this.note(tx, sent);
        const ends = sent.map(({ refund, answer }) => ({ ...answer, callId: refund.callId }));
        return { pauses, booked: await this.ledger.book(tx, sent.map(bookingOf), () => finishCalls(tx, ends)) };
      },
      { locksOnce: sent.length > 1 },
    );
    this.ledger.report(booked);
    return pauses;
  }

  /** The rate rows of all merchants among them, each once and in order. */
  private async note(tx: EntityManager, sent: readonly Sent[]): Promise<PauseChange[]> {
    const changes = new Map<Sent, PauseChange>();
    for (const mchId of [...new Set(sent.map(({ claim }) => claim.mchId))].sort()) {
      const theirs = sent.filter(({ claim }) => claim.mchId === mchId);
      for (const { claim, answer } of theirs)
        if (claim.probe && answer.code === SLOT_MISSED) await giveProbeBack(tx, mchId, claim.probe.only);
      const answers = theirs.map(({ claim, answer }) => ({ ...answer, claimedAt: claim.claimedAt }));
      const pauses = await noteAnswers(tx, mchId, answers, this.settings);
      theirs.forEach((one, place) => changes.set(one, pauses[place] ?? null));
    }
    return sent.map((one) => changes.get(one) ?? null);
  }
}

function bookingOf({ claim, refund, answer }: Sent): AnyBooking {
  const { orderId, refundId, callId, inDoubtBefore, firstSend, dueAt } = refund;
  const booking = { orderId, refundId, cause: 'answer', sourceId: callId } as const;
  if (answer.shown) return { ...booking, kind: 'proof', shown: answer.shown, askedAt: claim.claimedAt };
  const outcome = answer.outcome === 'shown' ? 'unknown' : answer.outcome;
  const { code, message, written } = answer;
  const sent = { code, message, written, leaseToken: callId, inDoubtBefore, firstSend, dueAt };
  return { ...booking, kind: 'send', outcome, ...sent };
}
