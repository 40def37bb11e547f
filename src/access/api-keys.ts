import { hash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '../common/clock.js';
import { type ListQuery, type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { newUuid, publicId, uuidOf } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { Settings } from '../config/settings.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { record } from './audit-log.js';
import type { Caller, Identity, Role } from './caller.js';
import { hashOf, newKeyText, readKeyText, sameHash } from './key-text.js';
import type { ApiKeyView, NewApiKeyView } from './api-key.view.js';

/** A deleted key is dead everywhere within this time. */
const CACHE_MS = 3000;
const CACHED_KEYS_MAX = 10_000;

const ADMIN: Identity = { id: 'admin', name: 'ADMIN_API_KEY', role: 'admin', appids: null };

interface KeyRow {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly appids: string[] | null;
  readonly secret_hash: Buffer;
  readonly created_at: Date;
  readonly created_by: string;
  readonly expires_at: Date | null;
  readonly live: boolean;
}

/** A row as it was read; null for an id that names no key. */
interface ReadKey {
  readonly row: KeyRow | null;
  readonly readAtMs: number;
}

export interface NewApiKey {
  readonly name: string;
  readonly role: Role;
  readonly appids?: readonly string[];
  readonly expires_at?: string;
}

const COLUMNS = `id, name, role, appids, secret_hash, created_at, created_by, expires_at,
  revoked_at IS NULL AND (expires_at IS NULL OR expires_at > (SELECT tuikuan_now())) AS live`;

/** API keys: made, listed, deleted, and turned into callers. Only the hash of a key is stored. */
@Injectable()
export class ApiKeys {
  private readonly adminHash: Buffer;
  private readonly cache = new Map<string, ReadKey>();
  /** What texts were found to be keys, by their hash: a caller's next request costs one hash, no comparison and no promise. */
  private readonly proven = new Map<string, { readonly read: ReadKey; readonly identity: Identity | null }>();

  constructor(
    private readonly uow: UnitOfWork,
    settings: Settings,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {
    this.adminHash = hashOf(settings.adminApiKey.reveal());
  }

  /** Who this key text stands for; null for every kind of wrong key. A promise only where the database must be asked. */
  callerOf(text: string): Identity | null | Promise<Identity | null> {
    const name = hash('sha256', text, 'base64');
    const proven = this.proven.get(name);
    if (proven && this.isFresh(proven.read)) return proven.identity;
    return sameHash(Buffer.from(name, 'base64'), this.adminHash) ? ADMIN : this.prove(text, name);
  }

  private async prove(text: string, name: string): Promise<Identity | null> {
    const key = readKeyText(text);
    if (!key) return null;
    const read = await this.cached(key.uuid);
    const { row } = read;
    if (!row || !sameHash(row.secret_hash, key.secretHash)) return null;
    const { role, appids } = row;
    const identity = row.live ? { id: publicId('apiKey', row.id), name: row.name, role, appids } : null;
    this.proven.set(name, { read, identity });
    return identity;
  }

  /** False as soon as it is old, or the key was deleted here. */
  private isFresh(read: ReadKey): boolean {
    const known = read.row === null || this.cache.get(read.row.id) === read;
    return known && this.clock.monotonicMs() - read.readAtMs < CACHE_MS;
  }

  async create(caller: Caller, wish: NewApiKey): Promise<NewApiKeyView> {
    const id = newUuid();
    const { text, secretHash } = newKeyText(id);
    const made = await this.uow.run(async (tx) => {
      const [row] = await tx.query<KeyRow[]>(
        `INSERT INTO api_key (id, name, role, appids, secret_hash, created_at, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, (SELECT tuikuan_now()), $6, $7) RETURNING ${COLUMNS}`,
        [id, wish.name, wish.role, wish.appids ?? null, secretHash, caller.id, wish.expires_at ?? null],
      );
      const view = viewOf(row as KeyRow);
      await record(tx, caller, { action: 'api_key.create', object: view.id, before: null, after: view });
      return view;
    });
    return { ...made, key: text };
  }

  /** One page of the live keys, newest first. */
  async list(query: ListQuery): Promise<Page<ApiKeyView>> {
    const { limit, before, createdGte, createdLt } = rangeOf(query, (name) => uuidOf('apiKey', name));
    const rows = await this.uow.query<KeyRow>(
      `SELECT ${COLUMNS} FROM api_key WHERE revoked_at IS NULL AND ($1::uuid IS NULL OR id < $1)
         AND ($2::timestamptz IS NULL OR created_at >= $2) AND ($3::timestamptz IS NULL OR created_at < $3)
       ORDER BY id DESC LIMIT $4`,
      [before, createdGte, createdLt, limit + 1],
    );
    return pageOf(rows, limit, viewOf, (row) => publicId('apiKey', row.id));
  }

  /** Kills a key; AppError api_key_not_found. */
  async revoke(caller: Caller, id: string): Promise<void> {
    const uuid = uuidOf('apiKey', id);
    await this.uow.run(async (tx) => {
      const [[row]] = await tx.query<[KeyRow[], number]>(
        `UPDATE api_key SET revoked_at = (SELECT tuikuan_now()) WHERE id = $1 AND revoked_at IS NULL RETURNING ${COLUMNS}`,
        [uuid],
      );
      if (!row) throw new AppError('api_key_not_found', `There is no API key ${id}.`);
      await record(tx, caller, { action: 'api_key.delete', object: id, before: viewOf(row), after: null });
    });
    if (uuid !== null) this.cache.delete(uuid);
  }

  private async cached(uuid: string): Promise<ReadKey> {
    const hit = this.cache.get(uuid);
    if (hit && this.isFresh(hit)) return hit;
    const readAtMs = this.clock.monotonicMs();
    const [row = null] = await this.uow.query<KeyRow>(`SELECT ${COLUMNS} FROM api_key WHERE id = $1`, [uuid]);
    const read = { row, readAtMs };
    if (this.cache.size >= CACHED_KEYS_MAX) {
      this.cache.clear();
      this.proven.clear();
    }
    this.cache.set(uuid, read);
    return read;
  }
}

function viewOf(row: KeyRow): ApiKeyView {
  return {
    id: publicId('apiKey', row.id),
    object: 'api_key',
    name: row.name,
    role: row.role,
    appids: row.appids,
    created_at: row.created_at.toISOString(),
    created_by: row.created_by,
    expires_at: row.expires_at?.toISOString() ?? null,
  };
}
