import { randomBytes } from 'node:crypto';
import { newUuid } from '../../../src/common/ids.js';
import { Secret } from '../../../src/common/secret.js';
import { Settings } from '../../../src/config/settings.js';
import type { UnitOfWork } from '../../../src/database/unit-of-work.js';
import { Sealer } from '../../../src/merchants/sealing.js';
import { KeyRotation, SEALED_TABLES } from '../../../src/operations/key-rotation.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { makeEndpoint, MCH_ID, seed } from '../events/support.js';

const RING = new Map(['old', 'next', 'spare'].map((kid) => [kid, new Secret(randomBytes(32).toString('base64'))]));
const withActive = (masterKeyActive: string): Settings =>
  new Settings({ masterKeys: RING, masterKeyActive } as unknown as Settings);
const NOTICES = 700;

let database: TestDatabase;
let sealer: Sealer;
beforeEach(async () => {
  database = await createTestDatabase();
  await seed(database);
  sealer = new Sealer(withActive('old'));
});
afterEach(() => database.close());

async function addCredential(version: number, text: string, by = sealer): Promise<string> {
  const id = newUuid();
  const { kekId, sealed } = by.seal({ mchId: MCH_ID, kind: 'api_v2_key', version: String(version) }, text);
  await database.uow.query(
    `INSERT INTO credential (id, mch_id, kind, version, kek_id, sealed, fingerprint, created_at, replaced_at)
     VALUES ($1, $2, 'api_v2_key', $3, $4, $5, 'f', tuikuan_now(), CASE WHEN $3 > 1 THEN tuikuan_now() END)`,
    [id, MCH_ID, version, kekId, sealed],
  );
  return id;
}

async function addNotices(count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, n) => {
    const id = newUuid();
    const { kekId, sealed } = sealer.seal({ mchId: MCH_ID, kind: 'notification', version: id }, `notice ${n}`);
    return { id, kek_id: kekId, content: sealed.toString('base64'), dedupe_key: String(n) };
  });
  await database.uow.query(
    `INSERT INTO notification (id, mch_id, kind, version, dedupe_key, received_at, last_received_at, status, result, kek_id, content)
     SELECT v.id, $2, 'refund', 'v2', v.dedupe_key, tuikuan_now(), tuikuan_now(), 'SUCCESS', 'applied', v.kek_id, decode(v.content, 'base64')
     FROM jsonb_to_recordset($1::jsonb) AS v(id uuid, kek_id text, content text, dedupe_key text)`,
    [JSON.stringify(rows), MCH_ID],
  );
}

const rotation = (uow: UnitOfWork = database.uow): KeyRotation =>
  new KeyRotation(uow, new Sealer(withActive('next')), withActive('next'));
const kids = async (table: string): Promise<Record<string, number>> =>
  Object.fromEntries(
    (
      await database.uow.query<{ kek_id: string; n: number }>(
        `SELECT kek_id, count(*)::int AS n FROM ${table} GROUP BY 1`,
        [],
      )
    ).map(({ kek_id: kid, n }) => [kid, n]),
  );

async function openNotices(): Promise<string[]> {
  const rows = await database.uow.query<{ id: string; kek_id: string; content: Buffer }>(
    'SELECT id, kek_id, content FROM notification ORDER BY dedupe_key::int',
    [],
  );
  return rows.map(({ id, kek_id: kekId, content: sealed }) =>
    sealer.open({ mchId: MCH_ID, kind: 'notification', version: id }, { kekId, sealed }).reveal(),
  );
}

it('every table with a kid is rotated', async () => {
  const rows = await database.uow.query<{ name: string }>(
    `SELECT CASE WHEN table_schema <> 'public' THEN table_schema || '.' ELSE '' END || table_name AS name
     FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
     WHERE column_name = 'kek_id' AND table_type = 'BASE TABLE' ORDER BY 1`,
    [],
  );
  expect(rows.map(({ name }) => name)).toEqual(SEALED_TABLES.map(({ table }) => table).sort());
});

it('a rotation broken off between two pages leaves everything readable, and the next run finishes it', async () => {
  await addNotices(NOTICES);
  const breakOff = rotation().rotate(({ table }) => {
    if (table === 'notification') throw new Error('killed');
  });
  await expect(breakOff).rejects.toThrow('killed');
  expect(await kids('notification')).toEqual({ old: NOTICES - 500, next: 500 });
  expect(await openNotices()).toEqual(Array.from({ length: NOTICES }, (_, n) => `notice ${n}`));
  const finished = await rotation().rotate(() => undefined);
  expect(finished.tables.find(({ table }) => table === 'notification')).toMatchObject({ resealed: NOTICES - 500 });
  expect(finished).toMatchObject({ removable: ['old', 'spare'], inUse: {}, unreadable: [] });
  expect(await kids('notification')).toEqual({ next: NOTICES });
  expect(await openNotices()).toEqual(Array.from({ length: NOTICES }, (_, n) => `notice ${n}`));
});

it('a secret that is replaced or emptied while it is sealed anew stays as it was put', async () => {
  const id = await addCredential(1, 'first');
  const endpoint = await makeEndpoint(database);
  const put = sealer.seal({ mchId: MCH_ID, kind: 'api_v2_key', version: '1' }, 'second');
  const meddling = {
    query: async (sql: string, parameters: unknown[]) => {
      if (sql.includes('UPDATE credential'))
        await database.uow.query('UPDATE credential SET sealed = $2 WHERE id = $1', [id, put.sealed]);
      if (sql.includes('UPDATE webhook_secret'))
        await database.uow.query(`UPDATE webhook_secret SET sealed = '' WHERE endpoint_id = $1`, [endpoint]);
      return database.uow.query(sql, parameters);
    },
  } as unknown as UnitOfWork;
  const { inUse } = await rotation(meddling).rotate(() => undefined);
  expect(inUse).toMatchObject({ old: 1 });
  await rotation().rotate(() => undefined);
  const [row] = await database.uow.query<{ kek_id: string; sealed: Buffer }>(
    'SELECT kek_id, sealed FROM credential',
    [],
  );
  const opened = sealer.open(
    { mchId: MCH_ID, kind: 'api_v2_key', version: '1' },
    { kekId: row?.kek_id ?? '', sealed: row?.sealed ?? Buffer.of() },
  );
  expect([row?.kek_id, opened.reveal()]).toEqual(['next', 'second']);
});

it('what does not open is named and left, and its key may not be removed', async () => {
  const id = await addCredential(1, 'whole');
  await database.uow.query(`UPDATE credential SET sealed = sealed || '\\x00'::bytea WHERE id = $1`, [id]);
  await addCredential(2, 'sound');
  const done = await rotation().rotate(() => undefined);
  expect(done).toMatchObject({ unreadable: [`credential ${id}`], inUse: { old: 1 }, removable: ['spare'] });
  expect(await kids('credential')).toEqual({ old: 1, next: 1 });
});

it('what is sealed under the old key while the rotation runs keeps that key in use', async () => {
  let late: Promise<string> | undefined;
  await addCredential(1, 'first');
  const done = await rotation().rotate(({ table }) => {
    if (table === 'credential') late ??= addCredential(2, 'late');
  });
  await late;
  const after = await rotation().rotate(() => undefined);
  expect([...Object.keys(done.inUse), ...after.removable]).toContain('old');
  expect(after).toMatchObject({ inUse: {}, removable: ['old', 'spare'] });
});
