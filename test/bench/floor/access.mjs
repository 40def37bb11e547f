import { createDecipheriv, createHash, createPublicKey, createSecretKey } from 'node:crypto';

const KEY_LIFE_MS = 3000;

/** API keys by the hash of their secret, read from the table again after 3 s. */
export class ApiKeys {
  #known = new Map();

  constructor(pool) {
    this.pool = pool;
  }

  /** The caller's id; throws for a wrong key. */
  async callerOf(header = '') {
    const [, id, secret] = /^Bearer tk_([0-9a-f]{32})_([0-9A-Za-z_-]{43})_[0-9a-f]{6}$/.exec(header) ?? [];
    if (id === undefined) throw new Error('no key');
    const hash = createHash('sha256').update(secret).digest('base64');
    const row = await this.#row(id);
    if (row?.hash !== hash || !row.live) throw new Error('wrong key');
    return `key_${id}`;
  }

  async #row(id) {
    const known = this.#known.get(id);
    if (known && performance.now() - known.atMs < KEY_LIFE_MS) return known.row;
    const { rows } = await this.pool.query({
      name: 'api-key',
      text: `SELECT encode(secret_hash, 'base64') AS hash, revoked_at IS NULL AND (expires_at IS NULL OR expires_at > tuikuan_now()) AS live
        FROM api_key WHERE id = $1`,
      values: [id],
    });
    this.#known.set(id, { row: rows[0], atMs: performance.now() });
    return rows[0];
  }
}

/** Merchants by the token of their notify URL, with their keys ready to use. */
export class Accounts {
  #byToken = new Map();

  static async load(pool, kek) {
    const accounts = new Accounts();
    const { rows } = await pool.query(
      `SELECT m.mch_id AS "mchId", m.refund_notify AS "refundNotify", m.notify_token AS token,
         coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'version', version, 'kek_id', kek_id, 'serial', serial,
           'sealed', encode(sealed, 'base64'))) FILTER (WHERE c.id IS NOT NULL), '[]') AS credentials
       FROM merchant m LEFT JOIN credential c ON c.mch_id = m.mch_id AND c.replaced_at IS NULL GROUP BY m.mch_id`,
    );
    for (const { credentials, ...row } of rows) {
      const of = (kind) => credentials.find((entry) => entry.kind === kind);
      const open = (kind) => (of(kind) ? opened(row.mchId, of(kind), kek) : null);
      const v2Key = open('api_v2_key');
      const publicKey = open('wechatpay_public_key');
      accounts.#byToken.set(row.token, {
        ...row,
        v2Key: v2Key && createSecretKey(createHash('md5').update(v2Key).digest('hex'), 'latin1'),
        v3Key: createSecretKey(open('api_v3_key') ?? '', 'utf8'),
        serial: of('wechatpay_public_key')?.serial,
        publicKey: publicKey && createPublicKey(publicKey),
      });
    }
    return accounts;
  }

  byToken(token) {
    const account = this.#byToken.get(token);
    if (!account) throw new Error('unknown token');
    return account;
  }
}

/** Opens a credential as the service sealed it: a data key under the master key, the text under the data key. */
function opened(mchId, { kind, version, kek_id: kekId, sealed }, kek) {
  const bytes = Buffer.from(sealed, 'base64');
  const aad = Buffer.from(JSON.stringify([1, mchId, kind, String(version), kekId]));
  const dataKey = unbox(kek.key, aad, bytes.subarray(1, 61));
  return unbox(dataKey, aad, bytes.subarray(61)).toString();
}

function unbox(key, aad, box) {
  const decipher = createDecipheriv('aes-256-gcm', key, box.subarray(0, 12), { authTagLength: 16 })
    .setAAD(aad)
    .setAuthTag(box.subarray(12, 28));
  return Buffer.concat([decipher.update(box.subarray(28)), decipher.final()]);
}
