import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
