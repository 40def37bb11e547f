import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import forge from 'node-forge';
import { endpointFor, Receiver } from '../e2e/support/receiver.js';
import { type Json, type Merchant, Stack, unique } from '../e2e/support/stack.js';
import { secretOf } from '../support/api-key.js';
import { summary } from './support/campaign.js';
import { type Canary, leaks, linesOf } from './support/canaries.js';

/** No secret leaves the service (S09, S10, S13, I33): canaries for keys, at trace, through good and bad flows of both protocols. */
const key = (): string => randomBytes(16).toString('hex');
const MASTER_KEY = randomBytes(32);
const CARD = { type: 'USER_BANK_CARD', bank_type: 'CMB_DEBIT', bank_account: '6225889900112233', real_name: '金丝雀' };
const P12_PASSWORD = `p12-${key()}`;
const WRONG_KEY = `wrong-${key()}`;

let stack: Stack;
let receiver: Receiver;
const canaries: Canary[] = [
  { name: 'bank account', secret: CARD.bank_account },
  { name: 'real name', secret: CARD.real_name },
  { name: 'p12 password', secret: P12_PASSWORD },
  { name: 'a key that was refused', secret: WRONG_KEY },
  { name: 'master key', secret: MASTER_KEY.toString('base64'), base64: true },
];
/** Every answer of the service but those that show a new secret to its owner, once. */
let answers = '';
const plainFetch = globalThis.fetch;
const SHOWS_ONCE = /^POST .*\/v1\/(api_keys|webhook_endpoints|webhook_endpoints\/[^/]+\/rotate_secret)$/;

async function recordingFetch(...call: Parameters<typeof fetch>): Promise<Response> {
  const answer = await plainFetch(...call);
  const url = call[0] instanceof Request ? call[0].url : call[0].toString();
  const shown = SHOWS_ONCE.test(`${call[1]?.method ?? 'GET'} ${url}`);
  if (stack !== undefined && url.startsWith(stack.url) && !shown)
    answers += `${JSON.stringify([...answer.headers])}${await answer.clone().text()}\n`;
  return answer;
}

beforeAll(async () => {
  globalThis.fetch = recordingFetch;
  const masterKeys = `test:${MASTER_KEY.toString('base64')}`;
  stack = await Stack.start({ LOG_LEVEL: 'trace', WEBHOOK_ALLOW_LOOPBACK: 'true', MASTER_KEYS: masterKeys });
  canaries.push({ name: 'admin key', secret: stack.adminKey });
  receiver = await Receiver.start();
  const { secret, id } = await endpointFor(stack, receiver.url);
  const { secret: rotated } = await stack.ok('POST', `/v1/webhook_endpoints/${id}/rotate_secret`);
  for (const one of [secret, String(rotated)])
    canaries.push({ name: 'webhook secret', secret: one.replace('whsec_', ''), base64: true });
});
afterAll(async () => {
  globalThis.fetch = plainFetch;
  receiver.close();
  await stack.close();
});

/** A merchant all of whose secrets are canaries, its certificate given as a p12 under a password. */
async function merchantOf(version: 'v2' | 'v3'): Promise<Merchant> {
  const keys = { api_v2_key: key(), api_v3_key: key() };
  const merchant = await stack.merchant({ simulator: keys, service: { api_version: version, refund_notify: 'apply' } });
  canaries.push(
    { name: 'APIv2 key', secret: keys.api_v2_key, opensNotices: true },
    { name: 'APIv3 key', secret: keys.api_v3_key },
  );
  const issued = await stack.control('POST', `/merchants/${merchant.mchId}/certificate`, { action: 'renew' });
  const [certificate, privateKey] = [String(issued['certificate_pem']), String(issued['private_key_pem'])];
  canaries.push(...linesOf('private key', privateKey));
  const p12 = p12Of(certificate, privateKey);
  canaries.push(...linesOf('p12', p12));
  const wish = { client_certificate_p12: p12, client_certificate_p12_password: P12_PASSWORD };
  await stack.ok('PUT', `/v1/merchants/${merchant.mchId}/credentials`, wish);
  return merchant;
}

function p12Of(certificatePem: string, privateKeyPem: string): string {
  const certificate = forge.pki.certificateFromPem(certificatePem);
  const asn1 = forge.pkcs12.toPkcs12Asn1(forge.pki.privateKeyFromPem(privateKeyPem), [certificate], P12_PASSWORD, {
    algorithm: '3des',
  });
  return Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'latin1').toString('base64');
}

/** One refund that succeeds, and one for every way in which an answer can fail. */
async function refunds(merchant: Merchant): Promise<void> {
  const order = await stack.paidOrder(merchant, 1000);
  const good = await stack.refund(order, { amount: 1 });
  await stack.until(good.id, 'accepted');
  await stack.settle(good, 'SUCCESS');
  await stack.until(good.id, 'succeeded');
  for (const fault of ['error', 'html', 'bad_sign', 'other_refund', 'reset', 'timeout_before'] as const) {
    const number = `R${unique()}`;
    await stack.fault({ fault, out_refund_no: number, times: 1, ...(fault === 'error' && { code: 'PARAM_ERROR' }) });
    const refund = await stack.refund(order, { amount: 1, out_refund_no: number });
    if (fault !== 'timeout_before')
      await stack.until(refund.id, ['rejected', 'outcome_unknown', 'mismatch', 'accepted', 'queued', 'blocked']);
  }
}

/** Refused credentials, forged notices and calls that carry a secret where none belongs. */
async function refusedCalls({ mchId }: Merchant, refundPath: string): Promise<void> {
  const put = (body: Json): Promise<unknown> => stack.api('PUT', `/v1/merchants/${mchId}/credentials`, body);
  await put({ api_v2_key: WRONG_KEY });
  await put({ api_v3_key: WRONG_KEY });
  await put({ client_certificate_pem: WRONG_KEY, client_key_pem: WRONG_KEY });
  await put({
    client_certificate_p12: Buffer.from(WRONG_KEY).toString('base64'),
    client_certificate_p12_password: WRONG_KEY,
  });
  await put({ wechatpay_public_key_id: 'x', wechatpay_public_key_pem: WRONG_KEY });
  await put({ api_v2_key: [WRONG_KEY] });
  await stack.api('PUT', `/v1/merchants/${mchId}/credentials`, `{"api_v2_key":"${WRONG_KEY}",}`);
  await stack.api('GET', '/v1/refunds', undefined, { authorization: `Bearer ${WRONG_KEY}` });
  await stack.api('GET', `/v1/refunds?api_key=${WRONG_KEY}`);
  for (const body of [`<xml><mch_id>${mchId}</mch_id><req_info>${WRONG_KEY}</req_info></xml>`, `{"id":"${WRONG_KEY}"}`])
    await fetch(`${stack.url}${refundPath}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'text/xml', 'wechatpay-signature': WRONG_KEY },
    });
  await stack.ok('POST', `/v1/merchants/${mchId}/check`);
}

/** A repair under way, and one that WeChat refuses. */
async function repairs(merchant: Merchant): Promise<void> {
  const refund = await stack.refund(await stack.paidOrder(merchant, 100), { amount: 1 });
  await stack.until(refund.id, 'accepted');
  await stack.settle(refund, 'ABNORMAL');
  await stack.until(refund.id, 'abnormal');
  await stack.fault({ call: 'abnormal_refund', fault: 'error', code: 'PARAM_ERROR', times: 1 });
  const repair = async (card: Json): Promise<number> =>
    (await stack.api('POST', `/v1/refunds/${refund.id}/repair`, card)).status;
  expect([await repair({ ...CARD, bank_type: 'no' }), await repair(CARD), await repair(CARD)]).toEqual([400, 422, 202]);
}

/** Every row of every table, as COPY writes it: bytes in hex. */
async function dump(): Promise<string> {
  const { rows: tables } = await stack.database.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`,
  );
  const texts: string[] = [];
  for (const { name } of tables) {
    const { rows } = await stack.database.query<{ text: string }>(`SELECT t::text AS text FROM "${name}" t`);
    texts.push(...rows.map(({ text }) => text));
  }
  return texts.join('\n');
}

it('the search finds a secret in every spelling', () => {
  const secret = `canary-${key()}?/+`;
  const canary = { name: 'canary', secret, opensNotices: true } as const;
  const found = (text: string): number => leaks([canary], { place: text }).length;
  const around = (encoding: 'base64' | 'base64url', before: string): string =>
    Buffer.from(`${before}${secret} and more`).toString(encoding);
  for (const before of ['', 'a', 'ab', 'abc'])
    for (const encoding of ['base64', 'base64url'] as const) expect(found(around(encoding, before))).toBeGreaterThan(0);
  for (const text of [`x${secret}x`, Buffer.from(secret).toString('hex'), encodeURIComponent(secret)])
    expect(found(text)).toBeGreaterThan(0);
  expect(found('canary and nothing else')).toBe(0);
});

it('no secret stands in the log at trace, the database, /metrics, an answer, an event or the command line', async () => {
  const made = await Promise.all([merchantOf('v2'), merchantOf('v3')]);
  for (const role of ['viewer', 'operator', 'admin']) {
    const { key: shown } = await stack.ok('POST', '/v1/api_keys', { name: role, role });
    canaries.push({ name: 'API key', secret: secretOf(String(shown)) });
    await stack.api('GET', '/v1/refunds', undefined, { authorization: `Bearer ${String(shown)}` });
  }
  for (const merchant of made) {
    await refunds(merchant);
    const { notify_urls: urls } = await stack.ok('GET', `/v1/merchants/${merchant.mchId}`);
    await refusedCalls(merchant, new URL(String((urls as Json)['refund'])).pathname);
  }
  await repairs(made[1]);
  // Errors of the database, with whatever the driver puts into them.
  await stack.database
    .query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()',
    )
    .catch(() => undefined);
  for (const list of [
    'merchants',
    'api_keys',
    'webhook_endpoints',
    'webhook_deliveries',
    'events',
    'notifications',
    'refunds',
    'orders',
  ])
    await stack.eventually(
      () => stack.api('GET', `/v1/${list}?limit=100`),
      ({ status }) => status === 200,
    );
  await stack.api('GET', '/health/ready');
  await stack.api('GET', '/metrics');

  const [instance] = stack.instances;
  const places = {
    'the log': instance?.log ?? '',
    'the database': await dump(),
    answers,
    events: receiver.received.map(({ body, headers }) => JSON.stringify(headers) + body).join('\n'),
    'the command line': readFileSync(`/proc/${instance?.child.pid}/cmdline`, 'utf8'),
  };
  for (const [place, text] of Object.entries(places)) expect([place, text.length > 0]).toEqual([place, true]);
  expect(places['the log']).toMatch(/"level":"(?:warn|error)"/);
  expect(places['the log']).toContain('"level":"debug"');
  expect(answers).toContain('tuikuan_notices_total');
  for (const { name, secret } of canaries) expect([name, secret.length > 2]).toEqual([name, true]);
  expect(leaks(canaries, places)).toEqual([]);
  summary('secrets', { canaries: canaries.length, kB: Math.round(Object.values(places).join('').length / 1024) });
});
