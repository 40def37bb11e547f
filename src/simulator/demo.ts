import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DemoBackend } from './demo-backend.js';
import { freshPlace, removePlace } from './demo-place.js';
import { startSimulator } from './simulator.js';

/**
 * `npm run demo`: embedded PostgreSQL, simulator and service; two mini-programs of one company, one on a merchant number that speaks API
 * V2 and one on API v3, take a payment each and give money back, one wholly, one in part. Then it stays up for the reader to try more.
 */
const SERVICE = join(dirname(fileURLToPath(import.meta.url)), '..', 'main.js');
const SHOPS = [
  {
    mchId: '1900000001',
    apiVersion: 'v2',
    appid: 'wxdemo0000coffee',
    name: '咖啡 coffee',
    amountFen: 3800,
    refundFen: null,
    reason: '商品售罄',
  },
  {
    mchId: '1900000002',
    apiVersion: 'v3',
    appid: 'wxdemo00000books',
    name: '书店 books',
    amountFen: 12_900,
    refundFen: 4900,
    reason: '退一本书',
  },
] as const;
type Shop = (typeof SHOPS)[number];

/** How long the simulated WeChat takes to pay a refund out. */
const SETTLE_AFTER_MS = 1500;
const START_TIMEOUT_MS = 30_000;

const say = (line = ''): boolean => process.stdout.write(`${line}\n`);
const yuan = (fen: number): string => `¥${Math.trunc(fen / 100)}.${String(fen % 100).padStart(2, '0')}`;

type Json = Record<string, unknown>;

async function call(
  method: string,
  url: string,
  body: Json | null,
  headers: Record<string, string> = {},
): Promise<Json> {
  const answer = await fetch(url, {
    method,
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  const json = (await answer.json()) as Json;
  if (!answer.ok) throw new Error(`${method} ${url} answered ${answer.status}: ${JSON.stringify(json)}`);
  return json;
}

async function freePort(wanted: number): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once('error', () => (wanted === 0 ? fail(new Error('no free port')) : done(freePort(0))));
    probe.listen(wanted, () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address ? address.port : wanted));
    });
  });
}

function startService(directory: string, port: number, simulator: { port: number; caPath: string }): ChildProcess {
  const { PATH, HOME, LANG } = process.env;
  return spawn(process.execPath, [SERVICE], {
    cwd: directory,
    env: {
      PATH,
      HOME,
      LANG,
      PORT: String(port),
      HOST: '127.0.0.1',
      PUBLIC_URL: `http://localhost:${port}`,
      WECHATPAY_BASE_URL: `https://localhost:${simulator.port}`,
      NODE_EXTRA_CA_CERTS: simulator.caPath,
      LOG_LEVEL: 'warn',
      // The demo's own backend listens on this machine.
      WEBHOOK_ALLOW_LOOPBACK: 'true',
    },
    // Over the channel the service notices when the demo is gone, and ends too.
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
}

async function ready(url: string, service: ChildProcess): Promise<void> {
  const output: Buffer[] = [];
  service.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += 100) {
    if (service.exitCode !== null) throw new Error(`the service did not start:\n${Buffer.concat(output).toString()}`);
    const answer = await fetch(`${url}/health/ready`).catch(() => null);
    if (answer?.ok) return;
    await sleep(100);
  }
  throw new Error('the service did not get ready');
}

/** Repeats `read` until `done` says so. */
async function until(read: () => Promise<Json>, done: (value: Json) => boolean): Promise<Json> {
  for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += 200) {
    const value = await read();
    if (done(value)) return value;
    await sleep(200);
  }
  throw new Error('it took too long');
}

/** Fields of a timeline entry for those who wonder; too long for the demo's lines. */
const EXPLANATIONS: readonly string[] = ['what', 'why', 'next_step', 'who'];

function printTimeline(entries: readonly Json[]): void {
  for (const entry of entries) {
    const { at, kind, title, detail } = entry as { at: string; kind: string; title: string; detail: Json };
    const shown = Object.entries(detail).filter(([name, value]) => value !== null && !EXPLANATIONS.includes(name));
    const words = shown.map(([name, value]) => `${name}=${String(value)}`).join(' ');
    say(`    ${at.slice(11, 23)}  ${kind.padEnd(12)}  ${title}${words === '' ? '' : `  (${words})`}`);
  }
}

type Api = (method: string, path: string, body?: Json | null, headers?: Record<string, string>) => Promise<Json>;

/** What an admin takes from the merchant platform, by the protocol that needs it. */
const CREDENTIALS: Readonly<Record<Shop['apiVersion'], readonly string[]>> = {
  v2: ['api_v2_key'],
  v3: ['api_v3_key', 'wechatpay_public_key_id', 'wechatpay_public_key_pem'],
};

/** Registers a shop of the company with the simulated WeChat and with the service. */
async function setUp(api: Api, control: string, { mchId, apiVersion, appid, name }: Shop): Promise<void> {
  const issued = await call('POST', `${control}/merchants`, {
    mch_id: mchId,
    appids: [appid],
    settle_after_ms: SETTLE_AFTER_MS,
  });
  await api('POST', '/v1/merchants', { mch_id: mchId, name: `示例公司 Example Ltd, ${name}`, api_version: apiVersion });
  const keys = CREDENTIALS[apiVersion].map((kind) => [kind, issued[kind]] as const);
  await api('PUT', `/v1/merchants/${mchId}/credentials`, {
    ...Object.fromEntries(keys),
    client_certificate_p12: issued['certificate_p12'],
  });
  await api('POST', '/v1/mini_programs', { appid, name, mch_ids: [mchId] });
  const { results } = (await api('POST', `/v1/merchants/${mchId}/check`)) as { results: Json[] };
  const tried = results.map(({ kind, result }) => `${String(kind)} ${String(result)}`);
  say(`   ${mchId}, API ${apiVersion}, ${name}; credentials tried at WeChat: ${tried.join(', ')}`);
}

/** One payment and its refund. */
async function payAndRefund(
  api: Api,
  control: string,
  shop: Shop,
  number: string,
): Promise<{ refundId: string; orderId: string }> {
  const order = await api('POST', '/v1/orders', {
    appid: shop.appid,
    amount: shop.amountFen,
    description: shop.name,
    openid: 'oDemoPayer',
  });
  say(`   order ${String(order['id'])} is committed; the mini-program gets its parameters for wx.requestPayment`);
  await call('POST', `${control}/payments`, { mch_id: shop.mchId, out_trade_no: order['out_trade_no'] });
  const readOrder = (): Promise<Json> => api('GET', `/v1/orders/${String(order['id'])}`);
  await until(readOrder, (now) => now['status'] === 'paid');
  say('   the user has paid; WeChat told us in a signed notice');
  const amount = shop.refundFen === null ? {} : { amount: shop.refundFen };
  const wish = { order: order['id'], out_refund_no: number, reason: shop.reason, ...amount };
  const asked = await api('POST', '/v1/refunds', wish, { prefer: 'wait=10' });
  const id = String(asked['id']);
  say(
    `   refund ${id} of ${yuan(Number(asked['amount']))} asked for, now ${String(asked['state'])}; the same call again:`,
  );
  const again = await api('POST', '/v1/refunds', wish);
  say(`   ${String(again['id'])}: the first one, nothing is refunded twice`);
  await until(
    () => api('GET', `/v1/refunds/${id}`),
    (now) => now['status'] === 'succeeded',
  );
  const done = await readOrder();
  const [back, left] = [Number(done['amount_refunded']), Number(done['amount_refundable'])];
  say(`   succeeded: ${yuan(back)} given back, ${yuan(left)} can still be refunded. What happened:\n`);
  printTimeline(((await api('GET', `/v1/refunds/${id}/timeline`)) as { data: Json[] }).data);
  return { refundId: id, orderId: String(order['id']) };
}

async function main(): Promise<void> {
  const directory = freshPlace();
  say('Tuikuan (退款) demo: a simulated WeChat Pay, an embedded PostgreSQL and the service. No real money moves.');
  const simulator = await startSimulator({ port: 0, controlPort: 0, directory: join(directory, 'simulator') });
  const control = `http://127.0.0.1:${simulator.controlPort}`;
  const port = await freePort(3000);
  const url = `http://localhost:${port}`;
  const service = startService(directory, port, simulator);
  const end = endOnce(service, directory);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(0));
  try {
    await ready(url, service);
    const { ADMIN_API_KEY: key } = JSON.parse(readFileSync(join(directory, '.data', 'keys.json'), 'utf8')) as {
      ADMIN_API_KEY: string;
    };
    const api: Api = (method, path, body = null, headers = {}) =>
      call(method, `${url}${path}`, body, { authorization: `Bearer ${key}`, ...headers });
    say('\n1. One company, two merchant numbers, one mini-program on each.');
    for (const shop of SHOPS) await setUp(api, control, shop);
    const backend = await DemoBackend.start();
    const endpoint = await api('POST', '/v1/webhook_endpoints', { url: backend.url, events: ['*'] });
    backend.secret = String(endpoint['secret']);
    let last = { refundId: '', orderId: '' };
    for (const [place, shop] of SHOPS.entries()) {
      say(
        `\n${place + 2}. ${shop.name}, API ${shop.apiVersion}: a payment of ${yuan(shop.amountFen)}, then money back.`,
      );
      last = await payAndRefund(api, control, shop, `DEMO-${place + 1}`);
      const { refundId, orderId } = last;
      const { told } = await until(
        () => Promise.resolve({ told: backend.about(refundId, orderId) }),
        ({ told }) => (told as string[]).some((type) => type.startsWith('order.') && type.endsWith('refunded')),
      );
      say(`\n   the company's backend heard of it, each event signed: ${(told as string[]).join(', ')}`);
    }
    printWayOn(url, control, key, last);
  } catch (error) {
    say(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
    end(1);
  }
}

/** Ends the service, waits for it, and removes what the demo made. */
function endOnce(service: ChildProcess, directory: string): (code: number) => void {
  let ending = false;
  const end = (code: number): void => {
    if (ending) return;
    ending = true;
    const leave = (): never => {
      removePlace(directory);
      process.exit(code);
    };
    service.once('exit', leave);
    if (service.exitCode !== null || service.signalCode !== null || !service.kill('SIGTERM')) leave();
  };
  service.once('exit', (code, signal) => {
    if (!ending) say(`\nThe service has ended (${signal ?? code ?? ''}), and so does the demo.`);
    end(1);
  });
  return end;
}

function printWayOn(url: string, control: string, key: string, last: { refundId: string; orderId: string }): void {
  say('\nIt stays up. Ctrl-C ends it and removes its data.\n');
  say(`  REST API     ${url}/v1      page ${url}/docs      description ${url}/openapi.json`);
  say(`  simulator    ${control}/ledger   (what the simulated WeChat saw)`);
  say(`  API key      ${key}\n`);
  say('  One refund with all that happened to it:');
  say(`  curl -s -H 'Authorization: Bearer ${key}' ${url}/v1/refunds/${last.refundId}/timeline\n`);
  say('  Give back 10 yuan more of the second payment; it leaves a minute after the first, as WeChat wants it:');
  say(`  curl -s -X POST -H 'Authorization: Bearer ${key}' -H 'Content-Type: application/json' \\`);
  say(`    -d '{"order":"${last.orderId}","amount":1000,"out_refund_no":"DEMO-3"}' ${url}/v1/refunds\n`);
  say('  Let the next refund request time out after WeChat has accepted it, and watch the same number find out:');
  say(`  curl -s -X POST -d '{"call":"refund","fault":"timeout_after"}' ${control}/faults`);
}

await main();
