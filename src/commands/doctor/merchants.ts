import type { Settings } from '../../config/settings.js';
import type { UnitOfWork } from '../../database/unit-of-work.js';
import { Sealer } from '../../merchants/sealing.js';
import { type Check, fail, ok, warn } from './check.js';

const DAYS_WARN = 30;
/** What each protocol cannot do without. */
const NEEDED = { v2: ['api_v2_key', 'client_certificate'], v3: ['api_v3_key', 'client_certificate'] } as const;

interface CredentialRow {
  readonly kind: string;
  readonly version: number;
  readonly kek_id: string;
  readonly sealed: string;
  readonly days_left: number | null;
}

interface MerchantRow {
  readonly mch_id: string;
  readonly api_version: 'v2' | 'v3';
  readonly pause_reason: string | null;
  readonly bound: boolean;
  readonly credentials: readonly CredentialRow[];
}

const MERCHANTS_SQL = `
  SELECT m.mch_id, m.api_version, CASE WHEN q.paused_until <= c.now THEN NULL ELSE q.pause_reason END AS pause_reason,
    EXISTS (SELECT 1 FROM mini_program_merchant b WHERE b.mch_id = m.mch_id) AS bound,
    coalesce((SELECT jsonb_agg(jsonb_build_object('kind', k.kind, 'version', k.version, 'kek_id', k.kek_id,
        'sealed', encode(k.sealed, 'base64'), 'days_left', extract(epoch FROM k.valid_until - c.now) / 86400) ORDER BY k.kind)
      FROM credential k WHERE k.mch_id = m.mch_id AND k.replaced_at IS NULL), '[]') AS credentials
  FROM merchant m JOIN merchant_rate q ON q.mch_id = m.mch_id, (SELECT tuikuan_now() AS now) c
  WHERE m.enabled ORDER BY m.mch_id`;

/** Each enabled merchant: what its protocol needs, whether it opens, how long it lasts, whether anything is sent. */
export async function checkMerchants(uow: UnitOfWork, settings: Settings): Promise<Check[]> {
  const merchants = await uow.query<MerchantRow>(MERCHANTS_SQL, []);
  if (merchants.length === 0) return [warn('merchants', 'there is none', 'register one: POST /v1/merchants')];
  const sealer = new Sealer(settings);
  return merchants.flatMap((merchant) => checkMerchant(merchant, settings, sealer));
}

function checkMerchant(merchant: MerchantRow, settings: Settings, sealer: Sealer): Check[] {
  const { mch_id: mchId, api_version: version, credentials } = merchant;
  const name = `merchant ${mchId}`;
  const missing = NEEDED[version].filter((kind) => !credentials.some((credential) => credential.kind === kind));
  const faults = [
    ...missing.map((kind) => fail(name, `${version} needs ${kind}`, `PUT /v1/merchants/${mchId}/credentials`)),
    ...credentials.flatMap((credential) => [
      ...checkSeal(mchId, credential, settings, sealer),
      ...checkEnd(name, credential),
    ]),
    ...(merchant.bound ? [] : [warn(name, 'no mini-program is bound to it', 'POST or PATCH /v1/mini_programs')]),
    ...(merchant.pause_reason === null
      ? []
      : [
          fail(
            name,
            `nothing is sent (${merchant.pause_reason})`,
            `repair its credentials, then POST /v1/merchants/${mchId}/check`,
          ),
        ]),
  ];
  if (faults.length > 0) return faults;
  const days = credentials.flatMap(({ days_left: left }) => (left === null ? [] : [Math.floor(left)]));
  return [ok(name, `${version}, credentials complete, certificate good for ${Math.min(...days)} days`)];
}

/** A secret must open with this ring of keys; one under another kid than the active waits for a rotation. */
function checkSeal(mchId: string, credential: CredentialRow, settings: Settings, sealer: Sealer): Check[] {
  const { kind, version, kek_id: kekId } = credential;
  const name = `merchant ${mchId}`;
  if (!settings.masterKeys.has(kekId))
    return [fail(name, `${kind} is sealed under ${kekId}`, `add ${kekId} to MASTER_KEYS again`)];
  try {
    sealer.open({ mchId, kind, version: String(version) }, { kekId, sealed: Buffer.from(credential.sealed, 'base64') });
  } catch {
    return [
      fail(
        name,
        `${kind} does not open under ${kekId}`,
        `MASTER_KEYS has another key under this id: give the first one`,
      ),
    ];
  }
  if (kekId === settings.masterKeyActive) return [];
  return [warn(name, `${kind} is still sealed under ${kekId}`, 'run master-key rotate')];
}

function checkEnd(name: string, { kind, days_left: days }: CredentialRow): Check[] {
  if (days === null || days > DAYS_WARN) return [];
  const todo = 'download a new one in the merchant platform and PUT …/credentials; the old one goes on until then';
  if (days <= 0) return [fail(name, `${kind} ended ${Math.floor(-days)} days ago`, todo)];
  return [warn(name, `${kind} ends in ${Math.floor(days)} days`, todo)];
}
