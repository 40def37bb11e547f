import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { CLOCK, type Clock } from '../common/clock.js';
import { publicId } from '../common/ids.js';
import { log } from '../common/log.js';
import { within } from '../common/within.js';
import { WorkLoop } from '../common/work-loop.js';
import { Settings } from '../config/settings.js';
import { WorkerUnitOfWork } from '../database/unit-of-work.js';
import { bookTries, type EndedTry } from './delivery-booking.js';
import { claimDeliveries, type ClaimedDelivery } from './delivery-claim.js';
import { fanOut } from './fan-out.js';
import { payloadOf } from './payload.js';
import { type Posted, WebhookPoster } from './poster.js';
import { latencyOf, verdictOf } from './schedule.js';
import { signedHeaders } from './signature.js';
import { SigningSecrets } from './signing-secrets.js';
import { WebhookTargets } from './webhook-url.js';

const POLL_MS = 250;
const IN_FLIGHT_MAX = 512;
/** At a shutdown receivers have this long to answer; then the rest is given back and another instance sends it again. */
const DRAIN_MS = 3000;

/**
 * Sends events: fan out (commit) → claim under a lease (commit) → POST (no transaction open) → book (commit). It promises that an
 * event reaches every endpoint that asked for it at least once, under one webhook-id, and that no later event of its refund or order
 * goes before it; a receiver that hangs holds up nobody else. What happened is decided elsewhere: the events are there already.
 */
@Injectable()
export class Deliverer implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly poster: WebhookPoster;
  private readonly loop = new WorkLoop('event delivery', POLL_MS, () => this.tick());
  private readonly ended: EndedTry[] = [];

  constructor(
    private readonly uow: WorkerUnitOfWork,
    private readonly secrets: SigningSecrets,
    private readonly settings: Settings,
    targets: WebhookTargets,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.poster = new WebhookPoster(targets, clock);
  }

  onApplicationBootstrap(): void {
    if (this.settings.role !== 'api') this.loop.start();
  }

  /** Claims nothing more, waits a moment for receivers, and gives back what they have not answered. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.end();
    await within(DRAIN_MS, this.loop.drained());
    this.poster.cutOff();
    await this.loop.drained();
    await this.book().catch((error: unknown) => log.error('tries could not be booked at the end', { cause: error }));
    await this.poster.close();
  }

  /** True when more events wait to be fanned out. */
  private async tick(): Promise<boolean> {
    await this.book();
    const more = await fanOut(this.uow);
    const room = IN_FLIGHT_MAX - this.loop.size;
    const claimed = room > 0 ? await claimDeliveries(this.uow, room) : [];
    for (const delivery of claimed) this.loop.track(this.deliver(delivery).finally(() => this.loop.wake()));
    return more;
  }

  private async deliver(delivery: ClaimedDelivery): Promise<void> {
    const body = JSON.stringify(payloadOf(delivery, this.settings));
    const message = {
      id: publicId('event', delivery.event_id),
      timestampSeconds: Math.floor(this.clock.wallMs() / 1000),
      body,
    };
    const headers = signedHeaders(message, this.secrets.open(delivery.endpoint_id, delivery.secrets));
    const posted = await this.poster.post(delivery.url, headers, body);
    this.ended.push(endedTry(delivery, posted));
  }

  /** Writes what has ended since the last time; on an error it stays for the next. */
  private async book(): Promise<void> {
    const batch = [...this.ended];
    await bookTries(this.uow, batch);
    this.ended.splice(0, batch.length);
  }
}

function endedTry(delivery: ClaimedDelivery, posted: Posted | null): EndedTry {
  const { delivery_id, endpoint_id, lease_token, claimed_at: at, tries } = delivery;
  const claimed = { delivery_id, endpoint_id, lease_token, at };
  if (posted === null) {
    return { ...claimed, verdict: 'released', wait_seconds: null, hold_seconds: 0, result: null, latency: null };
  }
  const { verdict, waitSeconds, holdSeconds } = verdictOf(posted, tries, Math.random());
  return {
    ...claimed,
    verdict,
    wait_seconds: waitSeconds,
    hold_seconds: holdSeconds,
    result: posted.result,
    latency: latencyOf(posted.durationMs),
  };
}
