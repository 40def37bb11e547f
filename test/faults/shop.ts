import { setTimeout as sleep } from 'node:timers/promises';
import { endpointFor, Receiver } from '../e2e/support/receiver.js';
import { type Json, type Merchant, type Order, Stack, unique } from '../e2e/support/stack.js';
import { randomBytes } from 'node:crypto';
import type { Random } from './random.js';

/** Refunds one order may hold. */
const PER_ORDER_MAX = 50;
const ORDER_FEN = 1_000_000;
const key = (): string => randomBytes(32).toString('base64');

/** A call that got no answer: its caller repeats it until it gets one. */
interface Unanswered {
  readonly body: Json;
}

/** Companies with refunds of every kind, and their callers, who repeat what was not answered; a database and a simulator under them. */
export class Shop {
  readonly unanswered: Unanswered[] = [];
  /** Refunds by number, as their callers asked for them. */
  readonly asked = new Map<string, Json>();
  private readonly orders = new Map<string, { readonly order: Order; refunds: number }>();
  private aheadSeconds = 0;
  /** Points that lives in a row have ended at. */
  readonly pairs = new Set<string>();
  /** Endpoints that were gone, and known to be, before the service's present life began; and calls to them. */
  private gone: ReadonlySet<string> = new Set();
  readonly callsToGone: string[] = [];

  private constructor(
    readonly stack: Stack,
    readonly receiver: Receiver,
  ) {}

  merchants: readonly Merchant[] = [];
  /** Has one refund now and then, and keys of its own. */
  own: Merchant = { mchId: '', appid: '' };

  /** Without a service: the caller starts one, then calls {@link open}. */
  static async build(): Promise<Shop> {
    const env = {
      MASTER_KEYS: `a:${key()},b:${key()}`,
      MASTER_KEY_ACTIVE: 'a',
      WEBHOOK_ALLOW_LOOPBACK: 'true',
      // Every life opens its own, and the first statements on each take PostgreSQL longest.
      DATABASE_POOL_MAX: '4',
    };
    const shop = new Shop(await Stack.withoutService(env), await Receiver.start());
    shop.receiver.answer = (response, { path }) => {
      if (shop.gone.has(path)) shop.callsToGone.push(path);
      response.writeHead(path.startsWith('/gone') ? 410 : 200).end();
    };
    return shop;
  }

  /** V2 that confirms and V2 that applies, v3, and one that never hears a notice; every refund succeeds at WeChat at once. */
  async open(): Promise<void> {
    const simulator = { settle_after_ms: 0 };
    this.merchants = [
      await this.stack.merchant({ simulator }),
      await this.stack.merchant({ simulator, service: { refund_notify: 'apply' } }),
      await this.stack.merchant({ simulator, service: { api_version: 'v3' } }),
      await this.stack.merchant({ simulator: { ...simulator, mute_notices: true } }),
    ];
    this.own = await this.stack.merchant({ simulator });
    await endpointFor(this.stack, `${this.receiver.url}/events`);
  }

  /** To be called before each life of the service. */
  async nextLife(): Promise<void> {
    const { rows } = await this.stack.database.query<{ url: string }>(
      'SELECT url FROM webhook_endpoint WHERE NOT enabled',
    );
    this.gone = new Set(rows.map(({ url }) => new URL(url).pathname));
  }

  /** Orders with room for what comes, made while nothing is about to end. */
  async stock(): Promise<void> {
    for (const merchant of [...this.merchants, this.own]) {
      const known = this.orders.get(merchant.mchId);
      if (known && known.refunds < PER_ORDER_MAX / 2) continue;
      const order = await this.stack.paidOrder(merchant, ORDER_FEN);
      this.orders.set(merchant.mchId, { order, refunds: 0 });
    }
  }

  /** Asks for a partial refund; one that is not answered is repeated by {@link repeat}. Throws when it is refused. */
  async ask(random: Random, tag: string, merchant = random.pick(this.merchants)): Promise<void> {
    const place = this.orders.get(merchant.mchId);
    if (!place || place.refunds >= PER_ORDER_MAX) return;
    place.refunds += 1;
    const body = {
      order: place.order.id,
      out_refund_no: `${tag}-${unique()}`,
      amount: random.integer(1, ORDER_FEN / PER_ORDER_MAX),
    };
    this.asked.set(body.out_refund_no, body);
    await this.call({ body });
  }

  /** Repeats what was not answered, as its callers do. */
  async repeat(): Promise<void> {
    for (const call of this.unanswered.splice(0)) await this.call(call);
  }

  private async call({ body }: Unanswered): Promise<void> {
    const answer = await this.stack.api('POST', '/v1/refunds', body).catch(() => null);
    if (answer === null || answer.status >= 500) {
      this.unanswered.push({ body });
      return;
    }
    const { status, body: refund } = answer;
    const same = refund['out_refund_no'] === body['out_refund_no'] && refund['amount'] === body['amount'];
    if (![200, 201].includes(status) || !same)
      throw new Error(`${JSON.stringify(body)} was answered ${status} ${JSON.stringify(refund)}`);
  }

  /** Moves the clocks of the service and of WeChat on. */
  async forward(seconds: number): Promise<void> {
    this.aheadSeconds += seconds;
    await this.stack.shiftClock(`${this.aheadSeconds} seconds`);
    await this.stack.control('POST', '/clock', { advance_s: seconds, signatures: 'machine' });
  }

  /** Moves the clocks on until nothing is under way any more; false when that does not come. */
  async settles(rounds = 40): Promise<boolean> {
    for (let round = 0; round < rounds; round += 1) {
      await this.forward(61);
      for (let waitedMs = 0; waitedMs < 700; waitedMs += 50) {
        if (this.unanswered.length > 0) await this.repeat();
        if ((await this.underWay()) === 0) return true;
        await sleep(50);
      }
    }
    return false;
  }

  private async underWay(): Promise<number> {
    const { rows } = await this.stack.database.query<{ count: number }>(UNDER_WAY_SQL);
    return (rows[0]?.count ?? 0) + this.unanswered.length;
  }

  async close(): Promise<void> {
    await this.stack.close();
    this.receiver.close();
  }
}

const UNDER_WAY_SQL = `
  SELECT ((SELECT count(*) FROM refund WHERE state NOT IN ('succeeded', 'closed', 'canceled'))
    + (SELECT count(*) FROM notification WHERE result = 'waiting_for_query')
    + (SELECT count(*) FROM outgoing_event WHERE fanned_out_at IS NULL)
    + (SELECT count(*) FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint_id
       WHERE d.state = 'pending' AND e.enabled))::integer AS count`;
