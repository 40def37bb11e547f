import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type AuditAction, record } from '../access/audit-log.js';
import type { Caller } from '../access/caller.js';
import { assert } from '../common/assert.js';
import { CLOCK, type Clock } from '../common/clock.js';
import { type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { newUuid } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { Settings } from '../config/settings.js';
import { constraintOf, UnitOfWork } from '../database/unit-of-work.js';
import { CREDENTIAL_PROBE, type CredentialProbe, type ProbeResult } from './credential-probe.port.js';
import { checkCredentials, type CheckedCredential } from './credentials.js';
import type { CredentialKind } from './merchant-account.js';
import {
  type CredentialView,
  MERCHANT_COLUMNS,
  type MerchantRow,
  MerchantView,
  merchantView,
} from './merchant.view.js';
import type { CreateMerchantDto, ListMerchantsQuery, PutCredentialsDto, UpdateMerchantDto } from './merchants.dto.js';
import { Sealer } from './sealing.js';
import { SealedMerchantDirectory, SEEN_EVERYWHERE_SECONDS } from './sealed-directory.js';
import { MCH_ID } from '../common/wire-names.js';

/** The credentials each protocol cannot do without. */
const NEEDED: Readonly<Record<'v2' | 'v3', readonly CredentialKind[]>> = {
  v2: ['api_v2_key', 'client_certificate'],
  v3: ['api_v3_key', 'client_certificate'],
};
/** Previous keys go on opening notices for this long. */
const PREVIOUS_USABLE_HOURS = 48;
const START_RATE_PER_SECOND = 30;

const INSERT_SQL = `
  WITH clock AS (SELECT tuikuan_now() AS now),
  made AS (
    INSERT INTO merchant (mch_id, name, api_version, sign_type, refund_notify, notify_token, created_at, updated_at)
    SELECT $1, $2, $3, $4, $5, $6, now, now FROM clock RETURNING mch_id)
  INSERT INTO merchant_rate (mch_id, next_slot_at, rate_per_second, rate_changed_at, next_query_slot_at)
  SELECT mch_id, now, ${START_RATE_PER_SECOND}, now, now FROM made, clock`;

const GET_SQL = `${MERCHANT_COLUMNS} WHERE m.mch_id = $1`;
const LOCK_SQL = 'SELECT 1 FROM merchant WHERE mch_id = $1 FOR NO KEY UPDATE';

const UPDATE_SQL = `
  UPDATE merchant SET name = coalesce($2, name), enabled = coalesce($3, enabled), api_version = coalesce($4, api_version),
    sign_type = coalesce($5, sign_type), refund_notify = coalesce($6, refund_notify), updated_at = (SELECT tuikuan_now())
  WHERE mch_id = $1`;

const SAME_SQL = `
  SELECT 1 FROM credential WHERE mch_id = $1 AND kind = $2 AND fingerprint = $3 AND serial IS NOT DISTINCT FROM $4 AND replaced_at IS NULL`;

const REPLACE_SQL = `
  WITH before AS (
    UPDATE credential SET replaced_at = (SELECT tuikuan_now()),
      usable_until = (SELECT tuikuan_now()) + interval '${PREVIOUS_USABLE_HOURS} hours'
    WHERE mch_id = $2 AND kind = $3 AND replaced_at IS NULL)
  SELECT coalesce(max(version), 0) + 1 AS version FROM credential WHERE mch_id = $2 AND kind = $3 AND $1::uuid IS NOT NULL`;

const INSERT_CREDENTIAL_SQL = `
  INSERT INTO credential (id, mch_id, kind, version, kek_id, sealed, public_part, fingerprint, serial, valid_until, created_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, (SELECT tuikuan_now()))`;

/**
 * New or proven credentials end a pause for configuration, and no other; the refunds module lets blocked refunds go on at release_at,
 * when every instance has the new ones. $2: seconds until then.
 */
const RESUME_SQL = `
  UPDATE merchant_rate SET configuration_failures = 0, next_probe_at = NULL, probe_refund_id = NULL,
    release_at = (SELECT tuikuan_now()) + make_interval(secs => $2),
    paused_at = CASE WHEN pause_reason = 'configuration' THEN NULL ELSE paused_at END,
    paused_until = CASE WHEN pause_reason = 'configuration' THEN NULL ELSE paused_until END,
    pause_reason = CASE WHEN pause_reason = 'configuration' THEN NULL ELSE pause_reason END
  WHERE mch_id = $1`;

/** What a cursor names. */
const CURSOR = /^merchant ([0-9]{8,32})$/;

/** Merchants and their credentials: made, changed, sealed, tried out. Secrets go in and never come out. */
@Injectable()
export class MerchantsService {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly sealer: Sealer,
    private readonly directory: SealedMerchantDirectory,
    private readonly settings: Settings,
    @Inject(CREDENTIAL_PROBE) private readonly credentialProbe: CredentialProbe,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** AppError merchant_exists. */
  async create(caller: Caller, wish: CreateMerchantDto): Promise<MerchantView> {
    const { mch_id: mchId, name, api_version: version, sign_type: signType, refund_notify: notify } = wish;
    const token = randomBytes(16).toString('hex');
    try {
      return await this.changed(caller, mchId, 'merchant.create', (tx) =>
        tx.query(INSERT_SQL, [mchId, name, version, signType ?? 'HMAC-SHA256', notify ?? 'confirm', token]),
      );
    } catch (error) {
      if (constraintOf(error) !== 'merchant_pkey') throw error;
      throw new AppError('merchant_exists', `Merchant ${mchId} exists.`);
    }
  }

  /** AppError merchant_not_found. */
  async get(mchId: string): Promise<MerchantView> {
    const [row] = MCH_ID.test(mchId) ? await this.uow.query<MerchantRow>(GET_SQL, [mchId]) : [];
    if (!row) throw new AppError('merchant_not_found', `There is no merchant ${mchId}.`);
    return merchantView(row, this.settings.publicUrl);
  }

  /** One page, newest first. */
  async list(query: ListMerchantsQuery): Promise<Page<MerchantView>> {
    const { limit, before, createdGte, createdLt } = rangeOf(query, (name) => CURSOR.exec(name)?.[1] ?? null);
    const rows = await this.uow.query<MerchantRow>(
      `${MERCHANT_COLUMNS}
       WHERE ($1::text IS NULL OR (m.created_at, m.mch_id) < (SELECT b.created_at, b.mch_id FROM merchant b WHERE b.mch_id = $1))
         AND ($2::timestamptz IS NULL OR m.created_at >= $2) AND ($3::timestamptz IS NULL OR m.created_at < $3)
       ORDER BY m.created_at DESC, m.mch_id DESC LIMIT $4`,
      [before, createdGte, createdLt, limit + 1],
    );
    return pageOf(
      rows,
      limit,
      (row) => merchantView(row, this.settings.publicUrl),
      (row) => `merchant ${row.mch_id}`,
    );
  }

  /** AppError merchant_not_found, credentials_missing when the protocol asked for lacks some. */
  async update(caller: Caller, mchId: string, change: UpdateMerchantDto): Promise<MerchantView> {
    const merchant = await this.get(mchId);
    const { api_version: version } = change;
    if (version !== undefined && version !== merchant.api_version) {
      const missing = NEEDED[version].filter((kind) => !merchant.credentials.some((entry) => entry.kind === kind));
      if (missing.length > 0) {
        throw new AppError('credentials_missing', `For ${version} merchant ${mchId} lacks ${missing.join(', ')}.`);
      }
    }
    const { name = null, enabled = null, sign_type: signType = null, refund_notify: notify = null } = change;
    return this.changed(caller, mchId, 'merchant.update', (tx) =>
      tx.query(UPDATE_SQL, [mchId, name, enabled, version ?? null, signType, notify]),
    );
  }

  /** Replaces only the kinds named; AppError credentials_invalid with the reasons, and nothing is stored then. */
  async putCredentials(caller: Caller, mchId: string, input: PutCredentialsDto): Promise<CredentialView[]> {
    await this.get(mchId);
    assertWholePairs(input);
    const checked = await checkCredentials(mchId, input, this.clock.wallMs());
    if (checked.length === 0) {
      throw new AppError('validation_failed', 'The request names no credential.', {
        errors: [{ field: 'api_v2_key', message: 'at least one credential is needed' }],
      });
    }
    const merchant = await this.changed(caller, mchId, 'merchant.credentials', async (tx) => {
      await tx.query(RESUME_SQL, [mchId, SEEN_EVERYWHERE_SECONDS]);
      for (const credential of checked) await this.replace(tx, mchId, credential);
    });
    return merchant.credentials;
  }

  /** Tries the credentials at WeChat; moves no money. Nothing wrong and something proven ends a pause. */
  async check(caller: Caller, mchId: string): Promise<readonly ProbeResult[]> {
    await this.get(mchId);
    const results = await this.credentialProbe.probe(mchId);
    const proven = results.some(({ result }) => result === 'ok') && results.every(({ result }) => result !== 'wrong');
    await this.changed(caller, mchId, 'merchant.check', async (tx) => {
      if (proven) await tx.query(RESUME_SQL, [mchId, 0]);
    });
    return results;
  }

  /** The merchant after `work`; what that changes in its view is recorded with it. */
  private async changed(
    caller: Caller,
    mchId: string,
    action: AuditAction,
    work: (tx: EntityManager) => Promise<unknown>,
  ): Promise<MerchantView> {
    const after = await this.uow.run(async (tx) => {
      await tx.query(LOCK_SQL, [mchId]);
      const before = await this.viewIn(tx, mchId);
      await work(tx);
      const now = await this.viewIn(tx, mchId);
      assert(now, 'a merchant that was changed is there');
      await record(tx, caller, { action, object: mchId, before, after: now });
      return now;
    });
    this.directory.forget();
    return after;
  }

  private async viewIn(tx: EntityManager, mchId: string): Promise<MerchantView | null> {
    const [row] = await tx.query<MerchantRow[]>(GET_SQL, [mchId]);
    return row ? merchantView(row, this.settings.publicUrl) : null;
  }

  /** The same credential once more changes nothing: the one before it must not lose its window. */
  private async replace(tx: EntityManager, mchId: string, credential: CheckedCredential): Promise<void> {
    const id = newUuid();
    const { kind, fingerprint, serial } = credential;
    if ((await tx.query<unknown[]>(SAME_SQL, [mchId, kind, fingerprint, serial])).length > 0) return;
    const [next] = await tx.query<{ version: number }[]>(REPLACE_SQL, [id, mchId, kind]);
    const version = next?.version ?? 1;
    const { kekId, sealed } = this.sealer.seal({ mchId, kind, version: String(version) }, credential.secret);
    await tx.query(INSERT_CREDENTIAL_SQL, [
      id,
      mchId,
      kind,
      version,
      kekId,
      sealed,
      credential.publicPart,
      credential.fingerprint,
      credential.serial,
      credential.validUntil,
    ]);
  }
}

/** Halves of a pair are a mistake, not a wish to replace half. */
function assertWholePairs(input: PutCredentialsDto): void {
  const half = (a: unknown, b: unknown): boolean => (a === undefined) !== (b === undefined);
  const errors = [
    ...(half(input.client_certificate_pem, input.client_key_pem)
      ? [{ field: 'client_certificate_pem', message: 'goes together with client_key_pem' }]
      : []),
    ...(half(input.wechatpay_public_key_id, input.wechatpay_public_key_pem)
      ? [{ field: 'wechatpay_public_key_id', message: 'goes together with wechatpay_public_key_pem' }]
      : []),
    ...(input.client_certificate_p12 !== undefined && input.client_certificate_pem !== undefined
      ? [{ field: 'client_certificate_p12', message: 'is sent instead of client_certificate_pem, not with it' }]
      : []),
    ...(input.client_certificate_p12_password !== undefined && input.client_certificate_p12 === undefined
      ? [{ field: 'client_certificate_p12_password', message: 'goes together with client_certificate_p12' }]
      : []),
  ];
  if (errors.length > 0) throw new AppError('validation_failed', 'Half of a pair is missing.', { errors });
}
