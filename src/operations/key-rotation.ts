import { Injectable } from '@nestjs/common';
import { Settings } from '../config/settings.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { type SealContext, Sealer } from '../merchants/sealing.js';

/** Rows looked at by one statement. */
const PAGE = 500;

interface SealedRow {
  readonly key: string;
  readonly kek_id: string;
  readonly sealed: Buffer;
  /** What the sealed text belongs to, as its owner sealed it. */
  readonly mch_id: string;
  readonly kind: string;
  readonly version: string;
}

interface SealedTable {
  readonly table: string;
  /** The primary key as one text that sorts as it does. */
  readonly read: string;
  readonly write: string;
}

/**
 * Every place that keeps sealed texts; a test compares it with the columns of the schema. Reads walk the primary key, so that each
 * statement is short however large the table. A write finds only the bytes that were read: what was replaced meanwhile stays.
 * Read: $1 after this key, $2 how many. Write: $1 keys, $2 the bytes read, $3 kid, $4 new bytes.
 */
export const SEALED_TABLES: readonly SealedTable[] = [
  {
    table: 'credential',
    read: `SELECT id::text AS key, kek_id, sealed, mch_id, kind, version::text FROM credential
      WHERE id > coalesce($1, '00000000-0000-0000-0000-000000000000')::uuid ORDER BY id LIMIT $2`,
    write: `UPDATE credential t SET kek_id = $3, sealed = v.fresh
      FROM unnest($1::text[], $2::bytea[], $4::bytea[]) AS v(key, old, fresh) WHERE t.id = v.key::uuid AND t.sealed = v.old
      RETURNING 1`,
  },
  {
    table: 'webhook_secret',
    read: `SELECT endpoint_id || ' ' || version AS key, kek_id, sealed, endpoint_id::text AS mch_id, 'webhook_secret' AS kind, version::text
      FROM webhook_secret
      WHERE (endpoint_id, version) > (split_part(coalesce($1, '00000000-0000-0000-0000-000000000000 0'), ' ', 1)::uuid,
        split_part(coalesce($1, '0 0'), ' ', 2)::integer)
      ORDER BY endpoint_id, version LIMIT $2`,
    write: `UPDATE webhook_secret t SET kek_id = $3, sealed = v.fresh
      FROM unnest($1::text[], $2::bytea[], $4::bytea[]) AS v(key, old, fresh)
      WHERE t.endpoint_id = split_part(v.key, ' ', 1)::uuid AND t.version = split_part(v.key, ' ', 2)::integer AND t.sealed = v.old
      RETURNING 1`,
  },
  ...['notification', 'archive.notification'].map((table) => ({
    table,
    read: `SELECT id::text AS key, kek_id, content AS sealed, mch_id, 'notification' AS kind, id::text AS version FROM ${table}
      WHERE id > coalesce($1, '00000000-0000-0000-0000-000000000000')::uuid ORDER BY id LIMIT $2`,
    write: `UPDATE ${table} t SET kek_id = $3, content = v.fresh
      FROM unnest($1::text[], $2::bytea[], $4::bytea[]) AS v(key, old, fresh) WHERE t.id = v.key::uuid AND t.content = v.old
      RETURNING 1`,
  })),
];

/** How far a rotation is, or what it came to, for one table. */
export interface Rotated {
  readonly table: string;
  readonly seen: number;
  readonly resealed: number;
}

/** What a rotation came to. */
export interface Rotation {
  readonly active: string;
  readonly tables: readonly Rotated[];
  /** Kids of the ring that seal nothing any more: they may leave MASTER_KEYS. */
  readonly removable: readonly string[];
  /** Kids that still seal something, with how many texts: rows that came while it ran, or whose kid the ring lacks. */
  readonly inUse: Readonly<Record<string, number>>;
  /** Texts that do not open under the key their kid names, as `table key`; the first 100. */
  readonly unreadable: readonly string[];
}

const UNREADABLE_SHOWN = 100;

/**
 * Brings every sealed text under the active master key while traffic goes on. The kid is authenticated with the text as well as with its
 * data key (merchants/sealing.ts), so a text is opened and sealed anew, under a fresh data key. Each page commits by itself: broken
 * off at any point, both kids open what they seal, and a second run goes on with what is left.
 */
@Injectable()
export class KeyRotation {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly sealer: Sealer,
    private readonly settings: Settings,
  ) {}

  /** A text that does not open (another key under a known kid, altered bytes) is left as it is and named. */
  async rotate(progress: (rotated: Rotated) => void): Promise<Rotation> {
    const { masterKeyActive: active, masterKeys } = this.settings;
    const tables: Rotated[] = [];
    const unreadable: string[] = [];
    for (const place of SEALED_TABLES)
      tables.push(await this.walk(place, (rows) => this.reseal(place, rows, unreadable), progress));
    // What came while it ran, sealed by instances that still had another active key, is found by a second look.
    const inUse = new Map<string, number>();
    const count = (rows: readonly SealedRow[]): Promise<number> => {
      for (const { kek_id: kid } of rows) if (kid !== active) inUse.set(kid, (inUse.get(kid) ?? 0) + 1);
      return Promise.resolve(0);
    };
    for (const place of SEALED_TABLES) await this.walk(place, count, () => undefined);
    const removable = [...masterKeys.keys()].filter((kid) => kid !== active && !inUse.has(kid));
    return { active, tables, removable, inUse: Object.fromEntries(inUse), unreadable };
  }

  private async walk(
    { table, read }: SealedTable,
    work: (rows: readonly SealedRow[]) => Promise<number>,
    progress: (rotated: Rotated) => void,
  ): Promise<Rotated> {
    let done: Rotated = { table, seen: 0, resealed: 0 };
    for (let after: string | null = null; ;) {
      const rows: SealedRow[] = await this.uow.query<SealedRow>(read, [after, PAGE]);
      if (rows.length === 0) return done;
      done = { table, seen: done.seen + rows.length, resealed: done.resealed + (await work(rows)) };
      progress(done);
      after = rows.at(-1)?.key ?? null;
    }
  }

  /** Seals what is under another kid of the ring anew; texts of a kid that the ring lacks stay as they are. */
  private async reseal(
    { table, write }: SealedTable,
    rows: readonly SealedRow[],
    unreadable: string[],
  ): Promise<number> {
    const { masterKeyActive: active, masterKeys } = this.settings;
    const fresh = rows
      .filter(({ kek_id: kid }) => kid !== active && masterKeys.has(kid))
      .flatMap((row) => {
        const sealed = this.freshOf(row);
        if (sealed === null && unreadable.length < UNREADABLE_SHOWN) unreadable.push(`${table} ${row.key}`);
        return sealed === null ? [] : [{ key: row.key, old: row.sealed, sealed }];
      });
    if (fresh.length === 0) return 0;
    const written = await this.uow.query(write, [
      fresh.map(({ key }) => key),
      fresh.map(({ old }) => old),
      active,
      fresh.map(({ sealed }) => sealed),
    ]);
    return written.length;
  }

  /** Null when it does not open. */
  private freshOf({ kek_id: kekId, sealed, mch_id: mchId, kind, version }: SealedRow): Buffer | null {
    // The secret of a deleted endpoint is gone already.
    if (sealed.length === 0) return sealed;
    const context: SealContext = { mchId, kind, version };
    try {
      return this.sealer.seal(context, this.sealer.open(context, { kekId, sealed }).reveal()).sealed;
    } catch {
      return null;
    }
  }
}
