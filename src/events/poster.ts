import { isIP } from 'node:net';
import { Agent, buildConnector, request } from 'undici';
import { assert } from '../common/assert.js';
import type { Clock } from '../common/clock.js';
import { within } from '../common/within.js';
import { assertOutsideTransaction } from '../database/unit-of-work.js';
import type { TryResult } from './schedule.js';
import { AddressRefused, type WebhookTargets } from './webhook-url.js';

const CONNECT_TIMEOUT_MS = 5000;
const CALL_TIMEOUT_MS = 15_000;
const ANSWER_BYTES_MAX = 16 * 1024;
const IDLE_MS = 10_000;
const CLOSE_MS = 1000;
const USER_AGENT = 'Tuikuan-Webhooks/1';

/** What came of one POST; nothing of the answer but its class and what it asks for. */
export interface Posted {
  readonly result: TryResult;
  readonly gone: boolean;
  /** Seconds the receiver asks us to wait; null when it does not. */
  readonly retryAfterSeconds: number | null;
  readonly durationMs: number;
}

/**
 * Posts messages to receivers: 15 s for all of it, at most 16 KiB of an answer are read and thrown away, no redirect is followed, and
 * every address is judged when it is dialled, not only when its URL was saved. Connections are kept and shared by origin only.
 */
export class WebhookPoster {
  private readonly agent: Agent;
  private readonly underWay = new Set<AbortController>();
  private isCutOff = false;
  private readonly connect: buildConnector.connector;

  constructor(
    private readonly targets: WebhookTargets,
    private readonly clock: Clock,
  ) {
    this.connect = buildConnector({
      timeout: CONNECT_TIMEOUT_MS,
      // The same answer is judged and dialled, so a name that resolves to something else later finds no gap (S17).
      lookup: (hostname, options, callback) => {
        targets.addressesOf(hostname).then(
          (addresses) => {
            const [first] = addresses;
            assert(first, 'a host has an address');
            if (options.all) callback(null, [...addresses]);
            else callback(null, first.address, first.family);
          },
          (error: unknown) => callback(error as NodeJS.ErrnoException, ''),
        );
      },
    });
    this.agent = new Agent({
      connect: (options, callback) => this.dial(options, callback),
      pipelining: 1,
      keepAliveTimeout: IDLE_MS,
      headersTimeout: CALL_TIMEOUT_MS,
      bodyTimeout: CALL_TIMEOUT_MS,
    });
  }

  /** Never throws. Null when `cutOff` ended it: nobody knows what the receiver made of it. */
  async post(url: string, headers: Readonly<Record<string, string>>, body: string): Promise<Posted | null> {
    assertOutsideTransaction();
    if (this.isCutOff) return null;
    const startMs = this.clock.monotonicMs();
    // No AbortSignal.any or timeout: Node 20 may collect one that nobody else holds, and its deadline never comes.
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), CALL_TIMEOUT_MS);
    this.underWay.add(deadline);
    try {
      const heard = await this.exchange(url, headers, body, deadline.signal);
      return { ...heard, durationMs: this.clock.monotonicMs() - startMs };
    } catch (error) {
      if (this.isCutOff) return null;
      const refused = [error, (error as { cause?: unknown }).cause].some((cause) => cause instanceof AddressRefused);
      const durationMs = this.clock.monotonicMs() - startMs;
      return { result: refused ? 'address_refused' : 'no_answer', gone: false, retryAfterSeconds: null, durationMs };
    } finally {
      clearTimeout(timer);
      this.underWay.delete(deadline);
    }
  }

  /** Ends every post that is under way, and every later one. */
  cutOff(): void {
    this.isCutOff = true;
    for (const deadline of this.underWay) deadline.abort();
  }

  private async exchange(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    signal: AbortSignal,
  ): Promise<Omit<Posted, 'durationMs'>> {
    const answer = await request(url, {
      method: 'POST',
      dispatcher: this.agent,
      headers: { 'content-type': 'application/json', 'user-agent': USER_AGENT, ...headers },
      body,
      signal,
    });
    // The status has decided; the rest is drained so that the connection can be used again, or cut at its limits.
    await answer.body.dump({ limit: ANSWER_BYTES_MAX, signal }).catch(() => undefined);
    return {
      result: classOf(answer.statusCode),
      gone: answer.statusCode === 410,
      retryAfterSeconds: this.waitOf(answer.headers['retry-after']),
    };
  }

  /** Closes every connection, within a second. */
  async close(): Promise<void> {
    await within(CLOSE_MS, this.agent.destroy());
  }

  /** An address written in the URL is never looked up, so it is judged here; and so is what the socket is connected to. */
  private dial(options: buildConnector.Options, callback: buildConnector.Callback): void {
    try {
      if (isIP(options.hostname) !== 0) this.targets.assertAllowed(options.hostname);
    } catch (refused) {
      return callback(refused as Error, null);
    }
    this.connect(options, (error, socket) => {
      if (error) return callback(error, null);
      try {
        this.targets.assertAllowed(socket.remoteAddress ?? '');
      } catch (refused) {
        socket.destroy();
        return callback(refused as Error, null);
      }
      callback(null, socket);
    });
  }

  /** Retry-After in seconds, from a number or a date. */
  private waitOf(header: string | string[] | undefined): number | null {
    if (typeof header !== 'string') return null;
    if (/^[0-9]{1,9}$/.test(header)) return Number(header);
    const at = header.endsWith(' GMT') ? Date.parse(header) : NaN;
    return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - this.clock.wallMs()) / 1000));
  }
}

function classOf(status: number): TryResult {
  if (status < 300) return '2xx';
  if (status < 400) return '3xx';
  return status < 500 ? '4xx' : '5xx';
}
