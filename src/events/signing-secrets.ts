import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type SealContext, Sealer } from '../merchants/sealing.js';
import type { SealedSecret } from './delivery-claim.js';
import { ROTATION_HOURS } from './schedule.js';
import { newSecretText } from './signature.js';

/** The one before the last signs on for a day; an older one that still did stops now. Locks the endpoint, so versions follow each other. */
const REPLACE_SQL = `
  UPDATE webhook_secret s SET usable_until = CASE WHEN s.usable_until IS NULL
    THEN c.now + interval '${ROTATION_HOURS} hours' ELSE least(s.usable_until, c.now) END
  FROM (SELECT tuikuan_now() AS now) c WHERE s.endpoint_id = $1 AND (s.usable_until IS NULL OR s.usable_until > c.now)
  RETURNING s.version`;

const INSERT_SQL = `
  INSERT INTO webhook_secret (endpoint_id, version, kek_id, sealed, created_at)
  VALUES ($1, $2, $3, $4, (SELECT tuikuan_now()))`;

/** Signing secrets of endpoints, sealed at rest; at most two of an endpoint are live. */
@Injectable()
export class SigningSecrets {
  constructor(private readonly sealer: Sealer) {}

  /** Makes the endpoint's next secret and gives its text, this once. The caller holds the endpoint's row lock. */
  async replace(tx: EntityManager, endpointId: string): Promise<string> {
    const [replaced] = await tx.query<[{ version: number }[], number]>(REPLACE_SQL, [endpointId]);
    const version = Math.max(0, ...replaced.map((row) => row.version)) + 1;
    const text = newSecretText();
    const { kekId, sealed } = this.sealer.seal(contextOf(endpointId, version), text);
    await tx.query(INSERT_SQL, [endpointId, version, kekId, sealed]);
    return text;
  }

  /** The texts of sealed secrets. */
  open(endpointId: string, secrets: readonly SealedSecret[]): string[] {
    return secrets.map(({ version, kek_id: kekId, sealed }) =>
      this.sealer.open(contextOf(endpointId, version), { kekId, sealed: Buffer.from(sealed, 'base64') }).reveal(),
    );
  }
}

/**
 * Bound to its endpoint and version, in the place where a credential has its merchant: merchant numbers are digits, so neither is ever
 * opened as the other.
 */
function contextOf(endpointId: string, version: number): SealContext {
  return { mchId: endpointId, kind: 'webhook_secret', version: String(version) };
}
