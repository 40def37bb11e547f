import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../common/clock.js';
import { Secret } from '../common/secret.js';
import { Settings } from '../config/settings.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import {
  type ClientCertificate,
  type CredentialKind,
  type KeyInTime,
  type MerchantAccount,
  MerchantDirectory,
} from './merchant-account.js';
import { Sealer } from './sealing.js';

/** With this a change is live on every instance within 5 s. */
const CACHE_MS = 2500;
/** After this every instance works with what was stored before. */
export const SEEN_EVERYWHERE_SECONDS = 3;
const CACHED_MAX = 1000;

interface CredentialRow {
  readonly id: string;
  readonly kind: CredentialKind;
  readonly version: number;
  readonly kek_id: string;
  readonly sealed: string;
  readonly public_part: string | null;
  readonly fingerprint: string;
  readonly serial: string | null;
  readonly valid_until: string | null;
  readonly current: boolean;
}

interface MerchantRow {
  readonly mch_id: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly api_version: 'v2' | 'v3';
  readonly sign_type: 'HMAC-SHA256' | 'MD5';
  readonly refund_notify: 'confirm' | 'apply';
  readonly notify_token: string;
  readonly appids: readonly string[];
  readonly credentials: readonly CredentialRow[];
}

/** A merchant and every credential of it that is current or still opens notices; one round trip. */
const LOAD_SQL = `
  SELECT m.mch_id, m.name, m.enabled, m.api_version, m.sign_type, m.refund_notify, m.notify_token,
    ARRAY(SELECT b.appid FROM mini_program_merchant b WHERE b.mch_id = m.mch_id ORDER BY b.appid) AS appids, coalesce((
    SELECT jsonb_agg(jsonb_build_object('id', c.id, 'kind', c.kind, 'version', c.version, 'kek_id', c.kek_id,
      'sealed', encode(c.sealed, 'base64'), 'public_part', c.public_part, 'fingerprint', c.fingerprint, 'serial', c.serial,
      'valid_until', c.valid_until, 'current', c.replaced_at IS NULL) ORDER BY c.version DESC)
    FROM credential c WHERE c.mch_id = m.mch_id AND (c.replaced_at IS NULL OR c.usable_until > (SELECT tuikuan_now()))), '[]') AS credentials
  FROM merchant m`;

/** The directory over the database: opens credentials once per version and rereads a merchant when what it knows grows old. */
@Injectable()
export class SealedMerchantDirectory extends MerchantDirectory {
  private readonly accounts = new Map<
    string,
    { readonly account: Promise<MerchantAccount | null>; readonly atMs: number }
  >();
  private readonly opened = new Map<string, Secret>();
  /** Parsed keys by credential: parsing one costs more than signing with it. */
  private readonly keys = new Map<string, KeyObject>();

  constructor(
    private readonly uow: UnitOfWork,
    private readonly sealer: Sealer,
    private readonly settings: Settings,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    super();
  }

  byMchId(mchId: string): Promise<MerchantAccount | null> {
    return this.cached(`mch_id ${mchId}`, `${LOAD_SQL} WHERE m.mch_id = $1`, mchId);
  }

  byNotifyToken(token: string): Promise<MerchantAccount | null> {
    return this.cached(`token ${token}`, `${LOAD_SQL} WHERE m.notify_token = $1`, token);
  }

  /** Forgets what is cached, so that this instance sees its own change at once. */
  forget(): void {
    this.accounts.clear();
    this.opened.clear();
    this.keys.clear();
  }

  private async cached(key: string, sql: string, parameter: string): Promise<MerchantAccount | null> {
    const nowMs = this.clock.monotonicMs();
    const hit = this.accounts.get(key);
    if (hit && nowMs - hit.atMs < CACHE_MS) return hit.account;
    if (this.accounts.size >= CACHED_MAX) this.forget();
    const account = this.load(sql, parameter);
    this.accounts.set(key, { account, atMs: nowMs });
    account.catch(() => this.accounts.delete(key));
    return account;
  }

  private async load(sql: string, parameter: string): Promise<MerchantAccount | null> {
    const [row] = await this.uow.query<MerchantRow>(sql, [parameter]);
    return row ? this.accountOf(row) : null;
  }

  private accountOf(row: MerchantRow): MerchantAccount {
    const notifyUrl = `${this.settings.publicUrl}/notify/wechat/${row.notify_token}`;
    return {
      mchId: row.mch_id,
      name: row.name,
      enabled: row.enabled,
      apiVersion: row.api_version,
      signType: row.sign_type,
      refundNotify: row.refund_notify,
      notifyToken: row.notify_token,
      appids: row.appids,
      notifyUrls: { refund: `${notifyUrl}/refund`, payment: `${notifyUrl}/payment` },
      apiV2Key: this.keyOf(row, 'api_v2_key'),
      apiV3Key: this.keyOf(row, 'api_v3_key'),
      clientCertificate: this.certificateOf(row),
      wechatpayPublicKeys: this.publicKeysOf(row),
    };
  }

  private keyOf(row: MerchantRow, kind: CredentialKind): KeyInTime | null {
    const [newest, ...before] = row.credentials.filter((entry) => entry.kind === kind);
    if (!newest?.current) return null;
    return { current: this.open(row, newest), previous: before.map((entry) => this.open(row, entry)) };
  }

  private certificateOf(row: MerchantRow): ClientCertificate | null {
    const entry = row.credentials.find((credential) => credential.kind === 'client_certificate' && credential.current);
    if (!entry) return null;
    return {
      fingerprint: entry.fingerprint,
      serial: entry.serial ?? '',
      certificatePem: entry.public_part ?? '',
      privateKeyPem: this.open(row, entry),
      signingKey: this.keyObject(row, entry, createPrivateKey),
      validUntil: new Date(entry.valid_until ?? 0),
    };
  }

  /** By id, the newest first; of two with one id the newer counts. */
  private publicKeysOf(row: MerchantRow): ReadonlyMap<string, KeyObject> {
    const keys = new Map<string, KeyObject>();
    for (const entry of row.credentials) {
      const { kind, serial } = entry;
      if (kind !== 'wechatpay_public_key' || serial === null || keys.has(serial)) continue;
      keys.set(serial, this.keyObject(row, entry, createPublicKey));
    }
    return keys;
  }

  private keyObject(row: MerchantRow, entry: CredentialRow, parse: (pem: string) => KeyObject): KeyObject {
    const known = this.keys.get(entry.id);
    if (known) return known;
    const key = parse(this.open(row, entry).reveal());
    this.keys.set(entry.id, key);
    return key;
  }

  private open(row: MerchantRow, entry: CredentialRow): Secret {
    const known = this.opened.get(entry.id);
    if (known) return known;
    const context = { mchId: row.mch_id, kind: entry.kind, version: String(entry.version) };
    const secret = this.sealer.open(context, { kekId: entry.kek_id, sealed: Buffer.from(entry.sealed, 'base64') });
    this.opened.set(entry.id, secret);
    return secret;
  }
}
