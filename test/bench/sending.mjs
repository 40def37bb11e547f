import { spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const BUILT = new URL('../../dist/', import.meta.url).pathname;
const LATENCY_MS = 300;
const PAID_FEN = 1000;
const REGISTER_AT_ONCE = 32;
const SLOW_START_MS = 3000;
/** Each has a connection of its own, and the service takes 1,024. */
const UNDER_WAY_MAX = 500;

/** The simulated WeChat as a process, `latencyMs` slow, with one V2 merchant known to it and to a service that does everything. */
export class Sending {
  static async open(stage, { name, latencyMs = LATENCY_MS, spacingSeconds = 0, settles }) {
    const sending = new Sending();
    const child = spawn(process.execPath, [`${BUILT}simulator/main.js`], {
      env: { PATH: process.env.PATH, SIMULATOR_PORT: '0', SIMULATOR_CONTROL_PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    stage.processes.push({ end: () => child.kill() });
    // It notes a request when it arrives, on a busy machine too; without the right to say so it takes its turn.
    if (process.getuid() === 0) setPriority(child.pid, -20);
    const line = await new Promise((resolve) => child.stdout.once('data', (chunk) => resolve(chunk.toString())));
    const { port, control_port: control, ca } = JSON.parse(line);
    const database = await stage.copy(`bench_${name}`);
    const env = {
      ROLE: 'all',
      REFUND_SPACING_SECONDS: String(spacingSeconds),
      WECHATPAY_BASE_URL: `https://localhost:${port}`,
      NODE_EXTRA_CA_CERTS: ca,
    };
    const service = await stage.service(database, { env, name });
    Object.assign(sending, { stage, control, service, database, mchId: '1900000009', appid: 'wxbenchsending' });
    await sending.wechat('POST', '/limits', { spacing_seconds: spacingSeconds, latency_ms: latencyMs });
    await sending.register(settles);
    return sending;
  }

  async register(settles) {
    const { mchId, appid, stage, service } = this;
    const wish = { mch_id: mchId, appids: [appid], ...(settles ? { settle_after_ms: 0 } : { mute_notices: true }) };
    const issued = await this.wechat('POST', '/merchants', wish);
    const call = (method, path, body) => stage.call(service, method, path, body);
    await call('POST', '/v1/merchants', { mch_id: mchId, name: 'sending', api_version: 'v2', refund_notify: 'apply' });
    await call('PUT', `/v1/merchants/${mchId}/credentials`, {
      api_v2_key: issued.api_v2_key,
      client_certificate_pem: issued.certificate_pem,
      client_key_pem: issued.private_key_pem,
    });
    await call('POST', '/v1/mini_programs', { appid, name: 'sending', mch_ids: [mchId] });
  }

  async wechat(method, path, body) {
    const answer = await fetch(`http://127.0.0.1:${this.control}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body) }),
    });
    const json = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(json)}`);
    return json;
  }

  /** `count` orders paid at the simulated WeChat and known to the service; their public ids. */
  async orders(count) {
    const made = [];
    for (let first = 0; first < count; first += REGISTER_AT_ONCE) {
      const places = Array.from({ length: Math.min(REGISTER_AT_ONCE, count - first) }, (_, place) => first + place);
      made.push(
        ...(await Promise.all(
          places.map(async (place) => {
            const outTradeNo = `send-${String(place).padStart(9, '0')}`;
            const order = { mch_id: this.mchId, appid: this.appid, out_trade_no: outTradeNo, total_fee: PAID_FEN };
            const { transaction_id: transactionId } = await this.wechat('POST', '/orders', order);
            return { out_trade_no: outTradeNo, transaction_id: transactionId };
          }),
        )),
      );
    }
    return this.stage.sql(this.database, async (client) => {
      const { rows } = await client.query(ORDERS_SQL, [JSON.stringify(made), this.mchId, this.appid, PAID_FEN]);
      await client.query('ANALYZE payment_order');
      return rows.map(({ id }) => `ord_${id.replaceAll('-', '')}`);
    });
  }

  /** Asks for refunds of `amountFen`, `perSecond` of them, without waiting for answers unless very many are to come. */
  async ask(orders, { perSecond, amountFen }) {
    const startMs = performance.now();
    const underWay = new Set();
    for (const [place, order] of orders.entries()) {
      const waitMs = startMs + (place * 1000) / perSecond - performance.now();
      if (waitMs > 1) await sleep(waitMs);
      while (underWay.size >= UNDER_WAY_MAX) await Promise.race(underWay);
      const body = { order, amount: amountFen, out_refund_no: `S${place}${order.slice(-8)}` };
      const answer = this.stage.call(this.service, 'POST', '/v1/refunds', body).finally(() => underWay.delete(answer));
      underWay.add(answer);
    }
    await Promise.all(underWay);
  }

  /** Waits until no refund is in another state than these; throws with the counts after `seconds`. */
  async until(states, seconds) {
    for (let waited = 0; waited < seconds * 5; waited += 1) {
      const rows = await this.states();
      if (rows.length > 0 && rows.every(({ state }) => states.includes(state))) return;
      await sleep(200);
    }
    throw new Error(`not all are ${states.join(' or ')}: ${JSON.stringify(await this.states())}`);
  }

  async states() {
    const { rows } = await this.stage.sql(this.database, (client) =>
      client.query('SELECT state, count(*)::int AS count FROM refund GROUP BY state'),
    );
    return rows;
  }

  /**
   * How fast the simulated WeChat was asked: over the whole time, after the slow start (30, 60 and 120 a second, then all), and at most
   * within any rolling second.
   */
  async rate() {
    const { requests } = await this.wechat('GET', '/ledger');
    const atMs = requests.filter(({ call }) => call === 'refund').map(({ received_ms: ms }) => ms);
    atMs.sort((a, b) => a - b);
    let most = 0;
    for (let first = 0, last = 0; last < atMs.length; last += 1) {
      while (atMs[last] - atMs[first] >= 1000) first += 1;
      most = Math.max(most, last - first + 1);
    }
    const begun = atMs.filter((ms) => ms - atMs[0] >= SLOW_START_MS);
    return { wholePerSecond: perSecond(atMs), perSecond: perSecond(begun), mostInASecond: most };
  }
}

const perSecond = (atMs) => ((atMs.length - 1) * 1000) / (atMs.at(-1) - atMs[0]);

const ORDERS_SQL = `
  INSERT INTO payment_order (id, mch_id, appid, out_trade_no, transaction_id, status, amount_fen, paid_fen, paid_at, verified, source,
    request_digest, created_by, created_at, updated_at)
  SELECT uuid7(tuikuan_now()), $2, $3, v.out_trade_no, v.transaction_id, 'paid', $4, $4, tuikuan_now(), true, 'prepay', '', 'key_bench',
    tuikuan_now(), tuikuan_now()
  FROM jsonb_to_recordset($1::jsonb) AS v(out_trade_no text, transaction_id text) RETURNING id`;

/** Dispatch of refunds that all are asked for at the start, at WeChat's rate. */
export async function dispatchRate(stage, count) {
  const sending = await Sending.open(stage, { name: 'dispatch', settles: false });
  const orders = await sending.orders(count);
  await sending.ask(orders, { perSecond: 1000, amountFen: 100 });
  await sending.until(['accepted'], 60);
  const rate = await sending.rate();
  await sending.service.end();
  return rate;
}

const LIVES_SQL = `
  SELECT extract(epoch FROM e.at - r.created_at) * 1000 AS ms FROM refund r
    JOIN refund_event e ON e.refund_id = r.id AND e.to_state = 'succeeded' ORDER BY 1`;

/** Whole lives at 100 a second: asked, sent, accepted, told by notice, succeeded. Milliseconds, and processor time of the service each. */
export async function endToEnd(stage, count) {
  const sending = await Sending.open(stage, { name: 'lives', settles: true });
  const orders = await sending.orders(count);
  const before = await sending.service.cpuSeconds();
  await stage.eventLoopDelayMs(sending.service);
  await sending.ask(orders, { perSecond: 100, amountFen: 100 });
  const connections = await stage.connectionsOf(sending.service);
  await sending.until(['succeeded'], 60);
  const delayMs = await stage.eventLoopDelayMs(sending.service);
  const cpuMs = (((await sending.service.cpuSeconds()) - before) * 1000) / count;
  const { rows } = await stage.sql(sending.database, (client) => client.query(LIVES_SQL));
  const at = (share) => Number(rows[Math.min(rows.length - 1, Math.floor(rows.length * share))].ms);
  const rssMb = await sending.service.rssMb();
  await sending.service.end();
  return { p50Ms: at(0.5), p99Ms: at(0.99), cpuMs, rssMb, connections, delayMs };
}
