import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { LogLevel } from '../common/log.js';
import { Secret } from '../common/secret.js';
import { checkEnv, type Env, type EnvFault } from './env.js';
import { parseMasterKeys } from './master-keys.js';

export const WECHATPAY_URL = 'https://api.mch.weixin.qq.com';
/** The hosts where money moves, WeChat's second one included. */
const REAL_HOSTS: readonly string[] = ['api.mch.weixin.qq.com', 'api2.mch.weixin.qq.com'];
const SECRET_NAMES = ['MASTER_KEYS', 'MASTER_KEY_ACTIVE', 'ADMIN_API_KEY'] as const;
/** WeChat's own minimum between refunds of one order. */
const SPACING_SECONDS = 60;

/** What a variable that is absent stands for. */
const DEFAULTS = {
  DATABASE_POOL_MAX: '10',
  DATABASE_NAMED_STATEMENTS: 'true',
  PORT: '3000',
  HOST: '0.0.0.0',
  ROLE: 'all',
  WECHATPAY_BASE_URL: WECHATPAY_URL,
  LOG_LEVEL: 'info',
  REFUND_RATE_PER_SECOND: '150',
  REFUND_FAILURE_RATE_PER_SECOND: '6',
  REFUNDS_PER_ORDER_MAX: '50',
  REFUND_WINDOW_DAYS: '365',
  REFUND_SPACING_SECONDS: String(SPACING_SECONDS),
  WEBHOOK_ALLOW_LOOPBACK: 'false',
} as const;

/** Thrown when the environment is not usable: every fault at once, no value of a secret. */
export class SettingsFaulty extends Error {
  override readonly name = 'SettingsFaulty';

  constructor(readonly faults: readonly EnvFault[]) {
    super(`settings: ${faults.map((fault) => `${fault.name} ${fault.message}`).join(' · ')}`);
  }
}

/** The checked settings of one process; the injection token of them too. */
export class Settings {
  /** Null: the embedded PostgreSQL in `dataDirectory`. */
  readonly databaseUrl: string | null;
  readonly dataDirectory: string;
  readonly databasePoolMax: number;
  readonly databaseNamedStatements: boolean;
  readonly port: number;
  readonly host: string;
  readonly role: 'all' | 'api' | 'worker';
  /** Without a slash at its end. */
  readonly publicUrl: string;
  /** 32-byte keys by their id. */
  readonly masterKeys: ReadonlyMap<string, Secret>;
  readonly masterKeyActive: string;
  readonly adminApiKey: Secret;
  /** Without a slash at its end. */
  readonly wechatpayBaseUrl: string;
  readonly wechatpayHostIsReal: boolean;
  readonly logLevel: LogLevel;
  readonly refundRatePerSecond: number;
  readonly refundFailureRatePerSecond: number;
  readonly refundsPerOrderMax: number;
  readonly refundWindowDays: number;
  readonly refundSpacingSeconds: number;
  /** Events may go to receivers on this machine. */
  readonly webhookAllowLoopback: boolean;

  constructor(values: { readonly [Name in keyof Settings]: Settings[Name] }) {
    Object.assign(this, values);
  }
}

/**
 * Reads and checks the environment and then deletes the secrets from it. Without DATABASE_URL the keys are made once and kept in
 * `.data/` for their owner only. Throws {@link SettingsFaulty} with every fault.
 */
export function loadSettings(raw: NodeJS.ProcessEnv, dataDirectory = '.data'): Settings {
  const { env, faults } = checkEnv(raw);
  const secrets = secretsOf(env, faults, dataDirectory);
  for (const name of SECRET_NAMES) delete raw[name];
  const keys = parseMasterKeys(secrets.MASTER_KEYS, secrets.MASTER_KEY_ACTIVE);
  faults.push(...keys.faults, ...crossFaults(env));
  if (faults.length > 0) throw new SettingsFaulty(faults);

  const values = { ...DEFAULTS, ...defined(env) };
  const wechatpayBaseUrl = values.WECHATPAY_BASE_URL.replace(/\/$/, '');
  return new Settings({
    databaseUrl: env.DATABASE_URL ?? null,
    dataDirectory,
    databasePoolMax: Number(values.DATABASE_POOL_MAX),
    databaseNamedStatements: values.DATABASE_NAMED_STATEMENTS === 'true',
    port: Number(values.PORT),
    host: values.HOST,
    role: values.ROLE as Settings['role'],
    publicUrl: (env.PUBLIC_URL ?? `http://localhost:${values.PORT}`).replace(/\/$/, ''),
    masterKeys: keys.keys,
    masterKeyActive: secrets.MASTER_KEY_ACTIVE ?? '',
    adminApiKey: new Secret(secrets.ADMIN_API_KEY ?? ''),
    wechatpayBaseUrl,
    wechatpayHostIsReal: isRealHost(wechatpayBaseUrl),
    logLevel: values.LOG_LEVEL as LogLevel,
    refundRatePerSecond: Number(values.REFUND_RATE_PER_SECOND),
    refundFailureRatePerSecond: Number(values.REFUND_FAILURE_RATE_PER_SECOND),
    refundsPerOrderMax: Number(values.REFUNDS_PER_ORDER_MAX),
    refundWindowDays: Number(values.REFUND_WINDOW_DAYS),
    refundSpacingSeconds: Number(values.REFUND_SPACING_SECONDS),
    webhookAllowLoopback: values.WEBHOOK_ALLOW_LOOPBACK === 'true',
  });
}

type Secrets = Partial<Record<(typeof SECRET_NAMES)[number], string>>;

/** The secrets given; with the embedded database the kept ones where none is, else their absence is a fault. */
function secretsOf(env: Env, faults: EnvFault[], dataDirectory: string): Secrets {
  const given: Secrets = Object.fromEntries(SECRET_NAMES.map((name) => [name, secretOf(env, name, faults)]));
  if (env.DATABASE_URL === undefined) {
    return faults.length === 0 ? { ...keptSecrets(dataDirectory, faults), ...defined(given) } : given;
  }
  for (const name of SECRET_NAMES) {
    const named = given[name] !== undefined || faults.some((fault) => fault.name.startsWith(name));
    if (!named) faults.push({ name, message: `is needed with DATABASE_URL (or ${name}_FILE)` });
  }
  return given;
}

function defined<T extends object>(values: T): { [Name in keyof T]?: NonNullable<T[Name]> } {
  const entries: [string, unknown][] = Object.entries(values);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]?: NonNullable<T[Name]>;
  };
}

/** A secret from its variable or from the file that its `_FILE` twin names; both at once is a fault. */
function secretOf(env: Env, name: (typeof SECRET_NAMES)[number], faults: EnvFault[]): string | undefined {
  const file = env[`${name}_FILE`];
  if (file === undefined) return env[name];
  if (env[name] !== undefined) {
    faults.push({ name, message: `is given twice, also as ${name}_FILE` });
    return undefined;
  }
  try {
    const text = readFileSync(file, 'utf8').trim();
    faults.push(...checkEnv({ [name]: text }).faults.map((fault) => ({ ...fault, name: `${name}_FILE` })));
    return text;
  } catch {
    faults.push({ name: `${name}_FILE`, message: 'names a file that cannot be read' });
    return undefined;
  }
}

/** The host however it is spelled: letters, port and a dot at its end do not make it another one. */
function hostOf(url: string): string {
  return new URL(url).hostname.replace(/\.$/, '');
}

function isRealHost(url: string): boolean {
  return URL.canParse(url) && REAL_HOSTS.includes(hostOf(url));
}

/** WeChat calls only https and public names, no addresses (protocol.md 4.6). */
function isPublicUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol } = new URL(url);
  const host = hostOf(url);
  const named = host.includes('.') && !host.endsWith('.localhost') && isIP(host.replace(/^\[|\]$/g, '')) === 0;
  return protocol === 'https:' && named;
}

/** Rules between variables. */
function crossFaults(env: Env): EnvFault[] {
  const faults: EnvFault[] = [];
  const realHost = isRealHost(env.WECHATPAY_BASE_URL ?? WECHATPAY_URL);
  const spacing = env.REFUND_SPACING_SECONDS;
  if (realHost && spacing !== undefined && Number(spacing) < SPACING_SECONDS) {
    faults.push({
      name: 'REFUND_SPACING_SECONDS',
      message: `may not be below ${SPACING_SECONDS} against WeChat itself`,
    });
  }
  return env.DATABASE_URL !== undefined && realHost ? [...faults, ...faultsInEarnest(env)] : faults;
}

/** Rules for a service that works with a database of its operator against WeChat itself. */
function faultsInEarnest(env: Env): EnvFault[] {
  const faults: EnvFault[] = [];
  if (env.PUBLIC_URL === undefined) faults.push({ name: 'PUBLIC_URL', message: 'is needed: it is what WeChat calls' });
  else if (!isPublicUrl(env.PUBLIC_URL))
    faults.push({ name: 'PUBLIC_URL', message: 'must start with https:// and name a host that WeChat can reach' });
  if (env.WEBHOOK_ALLOW_LOOPBACK === 'true')
    faults.push({ name: 'WEBHOOK_ALLOW_LOOPBACK', message: 'is for development, not against WeChat itself' });
  return faults;
}

/** Keys of the embedded set-up: made once, readable by their owner only. */
function keptSecrets(directory: string, faults: EnvFault[]): Secrets {
  const file = join(directory, 'keys.json');
  if (existsSync(file)) return readSecrets(file, faults);
  const made = {
    MASTER_KEYS: `local:${randomBytes(32).toString('base64')}`,
    MASTER_KEY_ACTIVE: 'local',
    ADMIN_API_KEY: `admin_${randomBytes(24).toString('base64url')}`,
  };
  mkdirSync(directory, { recursive: true });
  writeFileSync(file, JSON.stringify(made), { mode: 0o600, flag: 'wx' });
  return made;
}

function readSecrets(file: string, faults: EnvFault[]): Secrets {
  try {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as Secrets;
    const whole = SECRET_NAMES.every((name) => typeof kept[name] === 'string');
    if (whole && checkEnv(kept).faults.length === 0) return kept;
  } catch {
    // No part of it is shown: it holds keys.
  }
  faults.push({
    name: 'MASTER_KEYS',
    message: `cannot be read from ${file}, where they are kept without DATABASE_URL`,
  });
  return {};
}
