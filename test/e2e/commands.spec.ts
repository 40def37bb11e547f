import { randomBytes } from 'node:crypto';
import { createEmptyDatabase } from '../support/database.js';
import { jsonOf, tuikuan } from './support/commands.js';
import { type Json, type Merchant, Stack, unique } from './support/stack.js';

const KEYS = { old: randomBytes(32).toString('base64'), next: randomBytes(32).toString('base64') };
const RING = `old:${KEYS.old},next:${KEYS.next}`;

let stack: Stack;
let merchant: Merchant;
let env: Record<string, string>;
beforeAll(async () => {
  stack = await Stack.start({ MASTER_KEYS: RING, MASTER_KEY_ACTIVE: 'old', WEBHOOK_ALLOW_LOOPBACK: 'true' });
  merchant = await stack.merchant({ simulator: { settle_after_ms: 0 } });
  env = {
    DATABASE_URL: stack.databaseUrl,
    PUBLIC_URL: stack.url,
    MASTER_KEYS: RING,
    MASTER_KEY_ACTIVE: 'old',
    ADMIN_API_KEY: stack.adminKey,
    WECHATPAY_BASE_URL: `https://localhost:${stack.ports.simulator}`,
    NODE_EXTRA_CA_CERTS: stack.ports.ca,
  };
});
afterAll(() => stack.close());

interface Check {
  readonly name: string;
  readonly result: 'ok' | 'warn' | 'fail';
  readonly message: string;
  readonly todo: string | null;
}
async function doctor(change: Record<string, string> = {}): Promise<{ code: number; checks: Check[] }> {
  const run = await tuikuan(['doctor', '--json'], { ...env, ...change });
  return { code: run.code, checks: jsonOf(run)['checks'] as Check[] };
}
const of = (checks: readonly Check[], name: string): Check[] => checks.filter((check) => check.name === name);

describe('doctor', () => {
  it('finds nothing that fails in a set-up that works, and names what is only good for trying out', async () => {
    const { code, checks } = await doctor();
    expect(checks.filter(({ result }) => result === 'fail')).toEqual([]);
    expect(code).toBe(0);
    for (const name of ['settings', 'schema', 'database clock', `merchant ${merchant.mchId}`, 'WeChat clock'])
      expect([name, of(checks, name).map(({ result }) => result)]).toEqual([name, ['ok']]);
    expect(of(checks, 'WeChat')).toMatchObject([{ result: 'warn', message: expect.stringContaining('is not WeChat') }]);
    expect(of(checks, 'notify URL').map(({ result }) => result)).toContain('warn');
    const { stdout } = await tuikuan(['doctor'], env);
    expect(stdout).toMatch(/^ok {4}settings: all there$/m);
    expect(stdout).not.toContain(stack.adminKey);
  });

  it('names every fault of the settings and no value of them', async () => {
    const { code, checks } = await doctor({ MASTER_KEYS: 'old:short', ADMIN_API_KEY: 'tiny', PORT: 'x' });
    expect(code).toBe(1);
    expect(checks.map(({ message }) => message.split(' ')[0]).sort()).toEqual(
      ['ADMIN_API_KEY', 'MASTER_KEYS', 'PORT'].sort(),
    );
    expect(JSON.stringify(checks)).not.toMatch(/short|tiny/);
  });

  it('names a database that is away, and one whose schema is behind', async () => {
    const away = await doctor({ DATABASE_URL: 'postgres://nobody:guess@127.0.0.1:9/none' });
    expect(away.code).toBe(1);
    expect(of(away.checks, 'database')).toMatchObject([{ result: 'fail' }]);
    expect(JSON.stringify(away.checks)).not.toContain('guess');
    const { url, drop } = await createEmptyDatabase();
    const behind = await doctor({ DATABASE_URL: url });
    expect(of(behind.checks, 'schema')).toMatchObject([
      { result: 'fail', todo: expect.stringContaining('migrate up') },
    ]);
    await drop();
  });

  it('names a WeChat that cannot be reached or trusted', async () => {
    const [closed, untrusted] = await Promise.all([
      doctor({ WECHATPAY_BASE_URL: 'https://127.0.0.1:9' }),
      doctor({ NODE_EXTRA_CA_CERTS: '' }),
    ]);
    expect(of(closed.checks, 'WeChat')).toMatchObject([{ result: 'fail', message: expect.stringContaining('ECONN') }]);
    expect(of(untrusted.checks, 'WeChat')).toMatchObject([
      { result: 'fail', message: expect.stringContaining('certificate') },
    ]);
  });

  it('names what is wrong with a merchant: another master key, a certificate that ends, a pause, missing credentials', async () => {
    const { mchId } = merchant;
    const named = async (change: Record<string, string> = {}): Promise<string> =>
      JSON.stringify(of((await doctor(change)).checks, `merchant ${mchId}`));
    expect(await named({ MASTER_KEYS: `old:${KEYS.next}` })).toContain('does not open under old');
    expect(await named({ MASTER_KEYS: `next:${KEYS.next}`, MASTER_KEY_ACTIVE: 'next' })).toContain('sealed under old');
    const change = (sql: string): Promise<unknown> => stack.database.query(sql, [mchId]);
    await change(`UPDATE credential SET valid_until = tuikuan_now() + interval '5 days 1 hour' WHERE mch_id = $1`);
    expect(await named()).toContain('ends in 5 days');
    await change(`UPDATE credential SET valid_until = tuikuan_now() - interval '2 days 1 hour' WHERE mch_id = $1`);
    expect(await named()).toContain('ended 2 days ago');
    await change(`UPDATE credential SET valid_until = tuikuan_now() + interval '1 year' WHERE mch_id = $1`);
    await change(
      `UPDATE merchant_rate SET paused_at = tuikuan_now(), pause_reason = 'configuration' WHERE mch_id = $1`,
    );
    expect(await named()).toContain('nothing is sent (configuration)');
    await change(`UPDATE merchant_rate SET paused_at = NULL, pause_reason = NULL WHERE mch_id = $1`);
    await stack.ok('POST', '/v1/merchants', { mch_id: '1900000099', name: 'bare', api_version: 'v3' });
    const bare = of((await doctor()).checks, 'merchant 1900000099').map(({ message }) => message);
    expect(bare).toEqual(['v3 needs api_v3_key', 'v3 needs client_certificate', 'no mini-program is bound to it']);
    await stack.ok('PATCH', '/v1/merchants/1900000099', { enabled: false });
  });
});

describe('check-invariants', () => {
  interface Invariant {
    readonly name: string;
    readonly result: 'ok' | 'fail';
    readonly count: number;
  }
  const check = async (...words: string[]): Promise<{ code: number; checks: Invariant[] }> => {
    const run = await tuikuan(['check-invariants', '--json', ...words], env);
    return { code: run.code, checks: jsonOf(run)['checks'] as Invariant[] };
  };

  it('finds nothing in a service that works, beside the ledger of the simulator too', async () => {
    const order = await stack.paidOrder(await stack.merchant({ simulator: { settle_after_ms: 0 } }), 100);
    await stack.until((await stack.refund(order, { amount: 30 })).id, 'succeeded');
    const simulator = `http://127.0.0.1:${stack.ports.control}`;
    const alone = await check();
    expect([alone.code, alone.checks.filter(({ result }) => result !== 'ok')]).toEqual([0, []]);
    const compared = await check('--simulator', simulator);
    expect([compared.code, compared.checks.filter(({ result }) => result !== 'ok')]).toEqual([0, []]);
    const number = ({ name }: Invariant): string => name.split(' ')[0] ?? '';
    expect(alone.checks.map(number)).toEqual(expect.arrayContaining(['I01', 'I14', 'I29']));
    expect(compared.checks.map(number)).toEqual(expect.arrayContaining(['I06', 'I11', 'I31']));
    expect(compared.checks.map(number)).not.toContain('I12');
  });

  it('shows what does not hold with its rows, and ends with exit code 1', async () => {
    await stack.database.query('UPDATE payment_order SET outside_fen = 7 WHERE refunded_fen = 30');
    const run = await tuikuan(['check-invariants'], env);
    await stack.database.query('UPDATE payment_order SET outside_fen = 0 WHERE refunded_fen = 30');
    expect(run.code).toBe(1);
    expect(run.stdout).toMatch(/^fail {2}I02b .*: 1 row does not fit\n +\{.*"outside_fen":7.*\}$/m);
    expect(run.stdout).toMatch(/^ok {4}I01 /m);
    expect(run.stdout).toMatch(/^\d+ invariants, 1 broken, \d+ ms$/m);
  });

  it('wants a simulator that answers', async () => {
    expect((await tuikuan(['check-invariants', '--simulator', 'http://127.0.0.1:9'], env)).code).toBe(2);
  });
});

describe('api-key create', () => {
  it('makes a key that the service takes, shown once on standard output', async () => {
    const run = await tuikuan(
      ['api-key', 'create', '--name', 'first', '--role', 'operator', '--appid', merchant.appid, '--json'],
      env,
    );
    expect(run.code).toBe(0);
    const key = jsonOf(run);
    expect(key).toMatchObject({ name: 'first', role: 'operator', appids: [merchant.appid] });
    const bearer = { authorization: `Bearer ${String(key['key'])}` };
    expect((await stack.api('GET', '/v1/refunds', undefined, bearer)).status).toBe(200);
    expect((await stack.api('GET', '/v1/merchants', undefined, bearer)).status).toBe(403);
    expect(run.stderr).not.toContain(String(key['key']));
  });
});

describe('notification reprocess', () => {
  it('works on every stored notice of the filters, and on no other', async () => {
    const order = await stack.paidOrder(merchant, 10);
    const refunds = await Promise.all([1, 1, 1].map(() => stack.refund(order, { amount: 1 })));
    for (const { id } of refunds) await stack.until(id, 'succeeded');
    const run = await tuikuan(['notification', 'reprocess', '--mch-id', merchant.mchId, '--json'], env);
    expect([run.code, jsonOf(run)]).toEqual([0, { done: 3, results: { repeat: 3 }, failed: [] }]);
    const none = await tuikuan(['notification', 'reprocess', '--mch-id', '1900000098', '--json'], env);
    expect(jsonOf(none)).toEqual({ done: 0, results: {}, failed: [] });
  });
});

describe('master-key rotate', () => {
  it('under traffic leaves nothing under the old key, and the service goes on without it', async () => {
    const endpoint = await stack.ok('POST', '/v1/webhook_endpoints', { url: 'http://127.0.0.1:9/', events: ['*'] });
    const order = await stack.paidOrder(merchant, 100);
    const rotating = { ...env, MASTER_KEY_ACTIVE: 'next' };
    // The operator has given every instance both keys and the new active one.
    const [first] = stack.instances;
    await stack.addInstance({ MASTER_KEY_ACTIVE: 'next' });
    await first?.kill();
    const refunding = Promise.all(
      Array.from({ length: 10 }, async () => {
        const refund = await stack.refund(order, { amount: 1 });
        return stack.until(refund.id, 'succeeded');
      }),
    );
    const run = await tuikuan(['master-key', 'rotate', '--json'], rotating);
    await refunding;
    expect(run.stderr).toMatch(/credential: \d+ looked at, \d+ sealed anew/);
    expect([run.code, jsonOf(run)]).toMatchObject([0, { active: 'next', removable: ['old'], in_use: {} }]);
    const again = await tuikuan(['master-key', 'rotate', '--json'], rotating);
    const { tables } = jsonOf(again) as { tables: { resealed: number }[] };
    expect(tables.map(({ resealed }) => resealed)).toEqual([0, 0, 0, 0]);
    await stack.addInstance({ MASTER_KEYS: `next:${KEYS.next}`, MASTER_KEY_ACTIVE: 'next' });
    await stack.instances[1]?.kill();
    const refund = await stack.refund(order, { amount: 1, out_refund_no: `R${unique()}` });
    await stack.until(refund.id, 'succeeded');
    // Stored under the old key, opened with the new one alone.
    const { data: before } = (await stack.ok('GET', '/v1/notifications?limit=100')) as { data: Json[] };
    expect(before.length).toBeGreaterThanOrEqual(3);
    expect(await stack.ok('POST', `/v1/webhook_endpoints/${String(endpoint['id'])}/rotate_secret`)).toBeDefined();
  });
});
