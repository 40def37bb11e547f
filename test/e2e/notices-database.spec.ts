import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/database/embedded-postgres.js';
import { migrateUp, setRoleSettingsOf } from '../../src/database/migrations.js';
import { type Json, Stack } from './support/stack.js';
import {
  ACKNOWLEDGED,
  deliver,
  doorOf,
  type KeyedMerchant,
  keyedMerchant,
  paymentNotice,
  refundFields,
  refundNotice,
  REFUSED,
  stored,
} from './support/v2-notices.js';

/** Notices while their rows are held or the database is away: a PostgreSQL of this file's own, with the timeouts of production. */
let directory: string;
let server: EmbeddedPostgres;
let relay: Relay;
let stack: Stack;
let merchant: KeyedMerchant;

/** A fixed address in front of a server that comes back on another port. */
class Relay {
  readonly listener: Server;
  private readonly sockets = new Set<Socket>();
  target: URL;

  constructor(url: string) {
    this.target = new URL(url);
    this.listener = createServer((from) => {
      const to = connect(Number(this.target.port), '127.0.0.1');
      for (const [socket, other] of [
        [from, to],
        [to, from],
      ] as const) {
        this.sockets.add(socket);
        socket
          .on('error', () => undefined)
          .on('close', () => {
            this.sockets.delete(socket);
            other.destroy();
          });
      }
      from.pipe(to).pipe(from);
    });
  }

  /** The server's address, by way of here. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.listener.listen(0, '127.0.0.1', resolve));
    const address = this.listener.address();
    const url = new URL(this.target);
    url.port = String(typeof address === 'object' && address ? address.port : 0);
    return url.href;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.listener.close();
  }
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tuikuan-notices-'));
  await chmod(directory, 0o755);
  server = await startEmbeddedPostgres(directory);
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  await admin.query('CREATE DATABASE template_tuikuan');
  await admin.end();
  await migrateUp(server.url.replace(/[^/]+$/, 'template_tuikuan'));
  relay = new Relay(server.url);
  // Only in this file: jest gives each its own environment.
  process.env['TEST_POSTGRES_URL'] = await relay.listen();
  stack = await Stack.start();
  await setRoleSettingsOf(stack.databaseUrl);
  await stack.instances[0]?.kill();
  await stack.addInstance();
  merchant = await keyedMerchant(stack, { simulator: { mute_notices: true }, service: { refund_notify: 'apply' } });
});
afterAll(async () => {
  await stack.close();
  relay.close();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const made = (): Promise<Json> =>
  stack.ok('POST', '/v1/orders', { appid: merchant.appid, amount: 700, description: 'x', openid: 'o' });
const now = (order: Json): Promise<Json> => stack.ok('GET', `/v1/orders/${String(order['id'])}`);
const received = { status: 200, body: ACKNOWLEDGED };
const notNow = { status: 503, body: REFUSED };

/** A payment notice of an order, to be delivered over and over as one message. */
const paymentOf = (order: Json): string =>
  paymentNotice(merchant, { out_trade_no: String(order['out_trade_no']), total_fee: '700' });

/** Another session that holds the row of an order. */
async function holding(order: Json): Promise<{ readonly release: () => Promise<void> }> {
  const session = new pg.Client({ connectionString: stack.databaseUrl });
  await session.connect();
  await session.query('SET idle_in_transaction_session_timeout = 0');
  await session.query('BEGIN');
  await session.query('SELECT 1 FROM payment_order WHERE out_trade_no = $1 FOR UPDATE', [order['out_trade_no']]);
  return { release: () => session.query('COMMIT').then(() => session.end()) };
}

describe('a notice whose row another session holds', () => {
  it('of a payment is answered 503 after 3 seconds, and taken once, now or at its next delivery', async () => {
    const order = await made();
    const notice = paymentOf(order);
    const door = await doorOf(stack, merchant.mchId, 'payment');
    const { release } = await holding(order);
    const began = performance.now();
    expect(await deliver(stack, door, notice)).toEqual(notNow);
    const seconds = (performance.now() - began) / 1000;
    expect(seconds).toBeGreaterThan(2.5);
    expect(seconds).toBeLessThan(4.5);
    expect(await now(order)).toMatchObject({ status: 'created' });
    await release();
    expect(await deliver(stack, door, notice)).toEqual(received);
    expect(await now(order)).toMatchObject({ status: 'paid', amount_paid: 700 });
    expect(await deliver(stack, door, notice)).toEqual(received);
    const rows = (await stored(stack, merchant.mchId, 'payment')).filter((row) => row['order'] === order['id']);
    expect(rows).toEqual([expect.objectContaining({ result: 'applied' })]);
    expect(stack.instances[1]?.log).toContain('"notice_not_committed"');
  });

  it('is committed by itself when the lock goes soon after the 503, and its next delivery is a duplicate', async () => {
    const order = await made();
    const notice = paymentOf(order);
    const door = await doorOf(stack, merchant.mchId, 'payment');
    const { release } = await holding(order);
    expect(await deliver(stack, door, notice)).toEqual(notNow);
    await release();
    const paid = await stack.eventually(
      () => now(order),
      ({ status }) => status === 'paid',
      3,
    );
    expect(paid).toMatchObject({ status: 'paid' });
    expect(await deliver(stack, door, notice)).toEqual(received);
    const rows = (await stored(stack, merchant.mchId, 'payment')).filter((row) => row['order'] === order['id']);
    expect(rows).toEqual([expect.objectContaining({ result: 'applied', deliveries: 2 })]);
  });

  it('of a refund is answered 503 and then moves the money once', async () => {
    const paid = await stack.paidOrder(merchant, 1000);
    const refund = await stack.until((await stack.refund(paid, { amount: 300 })).id, 'accepted');
    const order = await stack.order(paid);
    const notice = refundNotice(merchant, refundFields(refund, order));
    const door = await doorOf(stack, merchant.mchId, 'refund');
    const { release } = await holding(order);
    expect(await deliver(stack, door, notice)).toEqual(notNow);
    await release();
    expect(await deliver(stack, door, notice)).toEqual(received);
    expect(await stack.read(refund.id)).toMatchObject({ state: 'succeeded' });
    expect(await stack.order(paid)).toMatchObject({ amount_refunded: 300, amount_reserved: 0 });
    const moves = (await stack.timeline(refund.id)).filter(({ title }) => title === 'accepted → succeeded');
    expect(moves).toHaveLength(1);
  });
});

describe('a notice while the database is down', () => {
  it('is answered 503 and never SUCCESS, and is taken once the database is back', async () => {
    const order = await made();
    const notice = paymentOf(order);
    const door = await doorOf(stack, merchant.mchId, 'payment');
    await server.stop();
    try {
      // Longer than anything is remembered.
      for (let tries = 0; tries < 8; tries += 1) {
        expect(await deliver(stack, door, notice)).toEqual(notNow);
        await sleep(500);
      }
      const forged = await deliver(stack, door.replace(/[0-9a-f]{32}/, '0'.repeat(32)), notice);
      expect(forged).toEqual(notNow);
      expect((await fetch(`${stack.url}/health/ready`)).status).toBe(503);
    } finally {
      server = await startEmbeddedPostgres(directory);
      relay.target = new URL(server.url);
    }
    const answer = await stack.eventually(
      () => deliver(stack, door, notice),
      ({ status }) => status === 200,
    );
    expect(answer).toEqual(received);
    expect(await now(order)).toMatchObject({ status: 'paid', amount_paid: 700 });
    const rows = (await stored(stack, merchant.mchId, 'payment')).filter((row) => row['order'] === order['id']);
    expect(rows).toEqual([expect.objectContaining({ result: 'applied', deliveries: 1 })]);
    expect((await stack.api('GET', '/health/ready')).status).toBe(200);
  });
});
