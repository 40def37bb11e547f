import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { record } from '../access/audit-log.js';
import type { Caller } from '../access/caller.js';
import { assert } from '../common/assert.js';
import { type Page, pageOf, rangeOf } from '../common/http/paging.js';
import { AppError } from '../common/problem.js';
import { constraintOf, UnitOfWork } from '../database/unit-of-work.js';
import type { CreateMiniProgramDto, ListMiniProgramsQuery, UpdateMiniProgramDto } from './merchants.dto.js';
import { APPID } from '../common/wire-names.js';
import type { MiniProgramView } from './mini-program.view.js';

interface MiniProgramRow {
  readonly appid: string;
  readonly name: string;
  readonly mch_ids: string[];
  readonly created_at: Date;
}

const COLUMNS = `
  SELECT p.appid, p.name, p.created_at,
    ARRAY(SELECT b.mch_id FROM mini_program_merchant b WHERE b.appid = p.appid ORDER BY b.mch_id) AS mch_ids
  FROM mini_program p`;

/** What a cursor names. */
const CURSOR = /^mini_program ([0-9A-Za-z_-]{1,32})$/;

/** Mini-programs and their bindings. Bindings are checked for new orders; refunds follow the order. */
@Injectable()
export class MiniProgramsService {
  constructor(private readonly uow: UnitOfWork) {}

  /** AppError mini_program_exists, merchant_not_found. */
  async create(caller: Caller, wish: CreateMiniProgramDto): Promise<MiniProgramView> {
    try {
      return await this.uow.run(async (tx) => {
        await tx.query(
          `INSERT INTO mini_program (appid, name, created_at, updated_at)
           SELECT $1, $2, now, now FROM (SELECT tuikuan_now() AS now) c`,
          [wish.appid, wish.name],
        );
        await bind(tx, wish.appid, wish.mch_ids);
        const after = await viewIn(tx, wish.appid);
        await record(tx, caller, { action: 'mini_program.create', object: wish.appid, before: null, after });
        return after;
      });
    } catch (error) {
      if (constraintOf(error) !== 'mini_program_pkey') throw error;
      throw new AppError('mini_program_exists', `Mini-program ${wish.appid} exists.`);
    }
  }

  /** AppError mini_program_not_found. */
  async get(appid: string): Promise<MiniProgramView> {
    const [row] = APPID.test(appid)
      ? await this.uow.query<MiniProgramRow>(`${COLUMNS} WHERE p.appid = $1`, [appid])
      : [];
    if (!row) throw new AppError('mini_program_not_found', `There is no mini-program ${appid}.`);
    return viewOf(row);
  }

  /** One page, newest first; null `appids` for all. */
  async list(query: ListMiniProgramsQuery, appids: readonly string[] | null): Promise<Page<MiniProgramView>> {
    const { limit, before, createdGte, createdLt } = rangeOf(query, (name) => CURSOR.exec(name)?.[1] ?? null);
    const rows = await this.uow.query<MiniProgramRow>(
      `${COLUMNS}
       WHERE ($1::text IS NULL OR (p.created_at, p.appid) < (SELECT b.created_at, b.appid FROM mini_program b WHERE b.appid = $1))
         AND ($2::timestamptz IS NULL OR p.created_at >= $2) AND ($3::timestamptz IS NULL OR p.created_at < $3)
         AND ($4::text[] IS NULL OR p.appid = ANY($4))
       ORDER BY p.created_at DESC, p.appid DESC LIMIT $5`,
      [before, createdGte, createdLt, appids, limit + 1],
    );
    return pageOf(rows, limit, viewOf, (row) => `mini_program ${row.appid}`);
  }

  /** `mch_ids` replaces all bindings. AppError mini_program_not_found, merchant_not_found. */
  async update(caller: Caller, appid: string, change: UpdateMiniProgramDto): Promise<MiniProgramView> {
    await this.get(appid);
    return this.uow.run(async (tx) => {
      await tx.query('SELECT 1 FROM mini_program WHERE appid = $1 FOR NO KEY UPDATE', [appid]);
      const before = await viewIn(tx, appid);
      await tx.query(
        'UPDATE mini_program SET name = coalesce($2, name), updated_at = (SELECT tuikuan_now()) WHERE appid = $1',
        [appid, change.name ?? null],
      );
      if (change.mch_ids !== undefined) {
        await tx.query('DELETE FROM mini_program_merchant WHERE appid = $1', [appid]);
        await bind(tx, appid, change.mch_ids);
      }
      const after = await viewIn(tx, appid);
      await record(tx, caller, { action: 'mini_program.update', object: appid, before, after });
      return after;
    });
  }
}

async function viewIn(tx: EntityManager, appid: string): Promise<MiniProgramView> {
  const [row] = await tx.query<MiniProgramRow[]>(`${COLUMNS} WHERE p.appid = $1`, [appid]);
  assert(row, 'a mini-program that was changed is there');
  return viewOf(row);
}

async function bind(tx: EntityManager, appid: string, mchIds: readonly string[]): Promise<void> {
  try {
    await tx.query('INSERT INTO mini_program_merchant (appid, mch_id) SELECT $1, unnest($2::text[])', [appid, mchIds]);
  } catch (error) {
    if (!constraintOf(error)?.includes('mch_id')) throw error;
    throw new AppError('merchant_not_found', `One of the merchants ${mchIds.join(', ')} does not exist.`);
  }
}

function viewOf(row: MiniProgramRow): MiniProgramView {
  return {
    object: 'mini_program',
    appid: row.appid,
    name: row.name,
    mch_ids: row.mch_ids,
    created_at: row.created_at.toISOString(),
  };
}
