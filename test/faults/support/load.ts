import { setTimeout as sleep } from 'node:timers/promises';
import { type Order, type Stack, unique } from '../../e2e/support/stack.js';

/** One request for a refund and what came of it. */
export interface Asked {
  readonly number: string;
  readonly order: string;
  readonly amountFen: number;
  /** 0 while and where there is no answer. */
  status: number;
  /** What the answer or the lack of one says. */
  says: string;
  /** A 503 that keeps its promises: a problem, with a time to come again. */
  promised: boolean;
  answeredMs: number;
}

const TICK_MS = 20;
const TICK_MS_MAX = 100;
/** WeChat’s limit of refunds to an order. */
const PER_ORDER_MAX = 50;

/**
 * Callers who ask for refunds at an even rate, whatever becomes of them, each under a number of its own, while the orders take more. Where
 * this process has no time to keep the rate it stays behind: to catch up it would open more connections than it could use in time.
 */
export class Load {
  readonly asked: Asked[] = [];
  private readonly underWay = new Set<Promise<void>>();
  private stopping = false;
  private readonly asking: Promise<void>;

  constructor(
    private readonly stack: Stack,
    readonly orders: readonly Order[],
    perSecond: number,
    private readonly headers: Readonly<Record<string, string>> = {},
  ) {
    this.asking = this.ask(perSecond);
  }

  /** Waits until so many were answered with 201. */
  async untilTaken(count: number): Promise<void> {
    for (let waitedMs = 0; this.taken.length < count; waitedMs += 10) {
      if (waitedMs > 20_000) throw new Error(`${this.taken.length} of ${count} refunds were taken`);
      await sleep(10);
    }
  }

  /** Waits until so many were told 503. */
  async untilRefused(count: number): Promise<void> {
    for (let waitedMs = 0; this.refused.length < count; waitedMs += 10) {
      if (waitedMs > 20_000) throw new Error(`${this.refused.length} of ${count} callers were told 503`);
      await sleep(10);
    }
  }

  /** Asks no more; resolves when all who asked know. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.asking;
    await Promise.all(this.underWay);
  }

  get taken(): Asked[] {
    return this.asked.filter(({ status }) => status === 201 || status === 200);
  }

  get refused(): Asked[] {
    return this.asked.filter(({ status }) => status === 503);
  }

  /** Answers that nobody should have had: any but taken and a good 503. */
  get strange(): Asked[] {
    return this.asked.filter((one) => ![200, 201].includes(one.status) && !(one.status === 503 && one.promised));
  }

  /** Asks once more, under the same numbers, for all that were not taken: as a careful caller does. */
  async askAgain(): Promise<void> {
    const again = this.asked.filter((one) => !this.taken.includes(one));
    for (let from = 0; from < again.length; from += 20)
      await Promise.all(again.slice(from, from + 20).map((one) => this.send(one)));
  }

  /** Asks at once for one more, under a number of the caller's choice. */
  askFor(order: Order, number: string): void {
    const one: Asked = {
      number,
      order: order.id,
      amountFen: 1 + (this.asked.length % 7),
      status: 0,
      says: '',
      promised: false,
      answeredMs: 0,
    };
    this.asked.push(one);
    const work = this.send(one).finally(() => this.underWay.delete(work));
    this.underWay.add(work);
  }

  private async ask(perSecond: number): Promise<void> {
    const room = this.orders.length * PER_ORDER_MAX;
    let due = 0;
    for (let lastMs = performance.now(); !this.stopping; await sleep(TICK_MS)) {
      const nowMs = performance.now();
      due += (Math.min(nowMs - lastMs, TICK_MS_MAX) / 1000) * perSecond;
      lastMs = nowMs;
      while (this.asked.length < Math.min(room, Math.floor(due))) this.askOne();
    }
  }

  private askOne(): void {
    const order = this.orders[this.asked.length % this.orders.length];
    if (order) this.askFor(order, `L${unique()}`);
  }

  private async send(one: Asked): Promise<void> {
    const body = { order: one.order, amount: one.amountFen, out_refund_no: one.number };
    try {
      const answer = await this.stack.api('POST', '/v1/refunds', body, this.headers);
      one.status = answer.status;
      one.says = String(answer.body['code'] ?? answer.body['state']);
      one.promised =
        answer.headers.get('content-type')?.startsWith('application/problem+json') === true &&
        answer.headers.has('retry-after');
    } catch (error) {
      one.status = 0;
      one.says = String((error as { cause?: { code?: string } }).cause?.code ?? error);
    }
    one.answeredMs = performance.now();
  }
}
