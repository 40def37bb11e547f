import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { ENV_NAMES } from './env.js';
import { loadSettings, SettingsFaulty } from './settings.js';

const directory = mkdtempSync(join(tmpdir(), 'tuikuan-settings-'));
const key = (): string => randomBytes(32).toString('base64');
const whole = (change: Record<string, string | undefined> = {}): NodeJS.ProcessEnv => ({
  DATABASE_URL: 'postgres://u:p@localhost/d',
  PUBLIC_URL: 'https://pay.example.com',
  MASTER_KEYS: `a:${key()}`,
  MASTER_KEY_ACTIVE: 'a',
  ADMIN_API_KEY: 'x'.repeat(24),
  ...change,
});
const faultsOf = (env: NodeJS.ProcessEnv): string[] => {
  try {
    loadSettings(env, directory);
    return [];
  } catch (error) {
    if (error instanceof SettingsFaulty) return error.faults.map(({ name }) => name);
    throw error;
  }
};
/** All that an operator may get to read of a refusal; empty when there was none. */
const printedOf = (env: NodeJS.ProcessEnv, home = directory): string => {
  try {
    loadSettings(env, home);
    return '';
  } catch (error) {
    return inspect(error, { depth: 10 });
  }
};

describe('settings', () => {
  it('have the defaults of the contract', () => {
    expect(loadSettings(whole(), directory)).toMatchObject({
      databasePoolMax: 10,
      databaseNamedStatements: true,
      port: 3000,
      host: '0.0.0.0',
      role: 'all',
      wechatpayBaseUrl: 'https://api.mch.weixin.qq.com',
      wechatpayHostIsReal: true,
      logLevel: 'info',
      refundRatePerSecond: 150,
      refundFailureRatePerSecond: 6,
      refundsPerOrderMax: 50,
      refundWindowDays: 365,
      refundSpacingSeconds: 60,
      webhookAllowLoopback: false,
    });
  });

  it('are refused with every fault at once', () => {
    const env = whole({ PORT: '80a', ROLE: 'boss', LOG_LEVEL: '', MASTER_KEY_ACTIVE: 'b', REFUND_WINDOW_DAYS: '366' });
    expect(faultsOf(env).sort()).toEqual(['LOG_LEVEL', 'MASTER_KEY_ACTIVE', 'PORT', 'REFUND_WINDOW_DAYS', 'ROLE']);
  });

  it.each<[string, Record<string, string | undefined>]>([
    ['DATABASE_URL', { DATABASE_URL: 'mysql://x' }],
    ['DATABASE_POOL_MAX', { DATABASE_POOL_MAX: '0' }],
    ['DATABASE_NAMED_STATEMENTS', { DATABASE_NAMED_STATEMENTS: 'yes' }],
    ['PORT', { PORT: '65536' }],
    ['PORT', { PORT: '-1' }],
    ['PUBLIC_URL', { PUBLIC_URL: undefined }],
    ['PUBLIC_URL', { PUBLIC_URL: 'http://pay.example.com' }],
    ['PUBLIC_URL', { PUBLIC_URL: 'https://pay.example.com/?a=b' }],
    ['MASTER_KEYS', { MASTER_KEYS: undefined }],
    ['MASTER_KEYS', { MASTER_KEYS: `a:${randomBytes(31).toString('base64')}` }],
    ['MASTER_KEYS', { MASTER_KEYS: `a:${Buffer.alloc(32).toString('base64')}` }],
    ['MASTER_KEYS', { MASTER_KEYS: `a:${key()},a:${key()}` }],
    ['MASTER_KEYS', { MASTER_KEYS: 'nonsense' }],
    ['ADMIN_API_KEY', { ADMIN_API_KEY: 'short' }],
    ['ADMIN_API_KEY', { ADMIN_API_KEY: undefined }],
    ['ADMIN_API_KEY_FILE', { ADMIN_API_KEY: undefined, ADMIN_API_KEY_FILE: '/does/not/exist' }],
    ['WECHATPAY_BASE_URL', { WECHATPAY_BASE_URL: 'http://localhost' }],
    ['REFUND_RATE_PER_SECOND', { REFUND_RATE_PER_SECOND: '151' }],
    ['REFUND_FAILURE_RATE_PER_SECOND', { REFUND_FAILURE_RATE_PER_SECOND: '7' }],
    ['REFUNDS_PER_ORDER_MAX', { REFUNDS_PER_ORDER_MAX: '51' }],
    ['REFUND_WINDOW_DAYS', { REFUND_WINDOW_DAYS: '1.5' }],
    ['REFUND_SPACING_SECONDS', { REFUND_SPACING_SECONDS: '59' }],
    ['WEBHOOK_ALLOW_LOOPBACK', { WEBHOOK_ALLOW_LOOPBACK: 'true' }],
    ['WEBHOOK_ALLOW_LOOPBACK', { WEBHOOK_ALLOW_LOOPBACK: 'yes' }],
  ])('with a bad %s (%p) name it', (name, change) => {
    expect(faultsOf(whole(change))).toContain(name);
  });

  it('name a repeated key under another id', () => {
    const same = key();
    expect(faultsOf(whole({ MASTER_KEYS: `a:${same},b:${same}` }))).toEqual(['MASTER_KEYS']);
  });

  it('may have no spacing against another host only', () => {
    const env = whole({ WECHATPAY_BASE_URL: 'https://localhost:8443', REFUND_SPACING_SECONDS: '0' });
    expect(loadSettings(env, directory)).toMatchObject({ refundSpacingSeconds: 0, wechatpayHostIsReal: false });
  });

  it('never print a secret, and take it out of the environment', () => {
    const env = whole({ ADMIN_API_KEY: `a secret with blanks ${'x'.repeat(20)}`, MASTER_KEYS: 'a:secretsecret' });
    const error = ((): unknown => {
      try {
        return loadSettings(env, directory);
      } catch (caught) {
        return caught;
      }
    })();
    expect(String(error)).not.toContain('secret');
    expect(Object.keys(env)).not.toEqual(expect.arrayContaining(['ADMIN_API_KEY']));
  });

  it('are read from files too, but not from both', () => {
    const file = join(directory, 'admin');
    writeFileSync(file, `${'y'.repeat(30)}\n`);
    const env = whole({ ADMIN_API_KEY: undefined, ADMIN_API_KEY_FILE: file });
    expect(loadSettings(env, directory).adminApiKey.reveal()).toBe('y'.repeat(30));
    expect(faultsOf(whole({ ADMIN_API_KEY_FILE: file }))).toEqual(['ADMIN_API_KEY']);
  });

  const REAL = [
    'https://api.mch.weixin.qq.com',
    'https://api.mch.weixin.qq.com/',
    'https://api.mch.weixin.qq.com:443',
    'https://API.Mch.WeiXin.QQ.com',
    'HTTPS://api.mch.weixin.qq.com',
    'https://api.mch.weixin.qq.com.',
    'https://api.mch.weixin.qq.com.:443/',
    'https://api.mch.weixin.qq.com:8443',
    'https://ａｐｉ.mch.weixin.qq.com',
    'https://api2.mch.weixin.qq.com',
    'https://API2.mch.weixin.qq.com.',
  ];

  it.each(REAL)('know WeChat itself however it is spelled: %s', (url) => {
    const settings = loadSettings(whole({ WECHATPAY_BASE_URL: url }), directory);
    expect(settings.wechatpayHostIsReal).toBe(true);
    expect(settings.wechatpayBaseUrl).not.toMatch(/\/$/);
    for (const spacing of ['0', '1', '59'])
      expect(faultsOf(whole({ WECHATPAY_BASE_URL: url, REFUND_SPACING_SECONDS: spacing }))).toEqual([
        'REFUND_SPACING_SECONDS',
      ]);
    for (const address of [undefined, 'http://pay.example.com', 'https://localhost', 'https://127.0.0.1'])
      expect(faultsOf(whole({ WECHATPAY_BASE_URL: url, PUBLIC_URL: address }))).toEqual(['PUBLIC_URL']);
  });

  it.each([
    'https://api.mch.weixin.qq.com/v3',
    'https://api.mch.weixin.qq.com//',
    'https://api.mch.weixin.qq.com/?a=b',
    'https://api.mch.weixin.qq.com/#a',
    'https://user:word@api.mch.weixin.qq.com',
    'http://api.mch.weixin.qq.com',
    'api.mch.weixin.qq.com',
    '',
  ])('take nothing but a host for WeChat: %p is refused', (url) => {
    expect(faultsOf(whole({ WECHATPAY_BASE_URL: url }))).toContain('WECHATPAY_BASE_URL');
  });

  it.each([
    'https://localhost',
    'https://localhost:3000',
    'https://LOCALHOST.',
    'https://shop.localhost',
    'https://intranet',
    'https://127.0.0.1',
    'https://127.1',
    'https://0x7f000001',
    'https://2130706433',
    'https://10.0.0.1',
    'https://8.8.8.8',
    'https://8.8.8.8.',
    'https://[::1]',
    'https://[2001:4860:4860::8888]:8443',
    'http://pay.example.com',
    'https://pay.example.com/?a=b',
    'https://u:p@pay.example.com',
  ])('against WeChat refuse a PUBLIC_URL that it cannot call: %s', (url) => {
    expect(faultsOf(whole({ PUBLIC_URL: url }))).toEqual(['PUBLIC_URL']);
  });

  it('against another host take any PUBLIC_URL, and against WeChat one with a port and a path', () => {
    const simulated = { WECHATPAY_BASE_URL: 'https://localhost:8443' };
    for (const url of ['http://127.0.0.1:3000', 'https://localhost', undefined])
      expect(faultsOf(whole({ ...simulated, PUBLIC_URL: url }))).toEqual([]);
    const { publicUrl } = loadSettings(whole({ PUBLIC_URL: 'https://pay.example.com:8443/tuikuan/' }), directory);
    expect(publicUrl).toBe('https://pay.example.com:8443/tuikuan');
  });

  it.each<[string, (one: string, two: string) => string]>([
    ['key and id the wrong way round', (one) => `${one}:a`],
    ['key and id the wrong way round in the second entry', (one, two) => `a:${one},${two}:b`],
    ['a key without an id', (one) => one],
    ['an id twice', (one, two) => `a:${one},a:${two}`],
    ['a key twice', (one) => `a:${one},b:${one}`],
    ['everything twice', (one) => `a:${one},a:${one}`],
    ['a key too long', (one, two) => `a:${one}${two}`],
    ['a key cut short', (one) => `a:${one.slice(0, 30)}`],
    ['a key in the other alphabet', (one) => `a:${one.slice(0, -4)}-_==`],
    ['a blank between two keys', (one, two) => `a:${one}, b:${two}`],
  ])('print no part of a key: %s', (_, ring) => {
    const [one, two] = [key(), key()];
    for (const active of ['a', one.slice(0, 20).replaceAll(/[^0-9A-Za-z]/g, 'x')]) {
      const printed = printedOf(whole({ MASTER_KEYS: ring(one, two), MASTER_KEY_ACTIVE: active }));
      expect(printed).toContain('MASTER_KEY');
      for (const secret of [one, two])
        for (let at = 0; at + 8 <= secret.length; at += 1) expect(printed).not.toContain(secret.slice(at, at + 8));
    }
  });

  it.each<[string, (whole: Record<string, string>) => string]>([
    ['empty', () => ''],
    ['cut short', (kept) => JSON.stringify(kept).slice(0, -10)],
    ['no JSON', (kept) => `keys: ${kept['ADMIN_API_KEY'] ?? ''}`],
    ['null', () => 'null'],
    ['a list', (kept) => JSON.stringify([kept])],
    ['without a key', ({ MASTER_KEYS: _, ...kept }) => JSON.stringify(kept)],
    ['with a key that is no text', (kept) => JSON.stringify({ ...kept, ADMIN_API_KEY: [kept['ADMIN_API_KEY']] })],
    ['with half an admin key', (kept) => JSON.stringify({ ...kept, ADMIN_API_KEY: 'x' })],
    ['with half a master key', (kept) => JSON.stringify({ ...kept, MASTER_KEYS: kept['MASTER_KEYS']?.slice(0, 30) })],
    ['with another active key', (kept) => JSON.stringify({ ...kept, MASTER_KEY_ACTIVE: 'other' })],
  ])('name a keys.json that is %s, show nothing of it and do not replace it', (_, write) => {
    const home = mkdtempSync(join(tmpdir(), 'tuikuan-settings-'));
    const file = join(home, 'keys.json');
    loadSettings({}, home);
    const kept = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
    const broken = write(kept);
    writeFileSync(file, broken);
    const printed = printedOf({}, home);
    expect(printed).toMatch(/keys\.json|MASTER_KEY/);
    for (const secret of [kept['ADMIN_API_KEY'] ?? '', kept['MASTER_KEYS']?.slice('local:'.length) ?? ''])
      for (let at = 0; at + 8 <= secret.length; at += 1) expect(printed).not.toContain(secret.slice(at, at + 8));
    expect(readFileSync(file, 'utf8')).toBe(broken);
  });

  it('without a database make keys once, for their owner only, and use them again', () => {
    const made = loadSettings({}, directory);
    const again = loadSettings({}, directory);
    expect(again.adminApiKey.reveal()).toBe(made.adminApiKey.reveal());
    expect(statSync(join(directory, 'keys.json')).mode & 0o777).toBe(0o600);
  });

  it('are all in .env.example, and nothing else is', () => {
    const text = readFileSync('.env.example', 'utf8');
    const named = [...text.matchAll(/^#?([A-Z_]+)=/gm)].map(([, name]) => name);
    expect(named.sort()).toEqual([...ENV_NAMES].sort());
  });
});
