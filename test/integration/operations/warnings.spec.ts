import { newUuid } from '../../../src/common/ids.js';
import { systemClock } from '../../../src/common/clock.js';
import type { Settings } from '../../../src/config/settings.js';
import { WarningWatch } from '../../../src/operations/warning-watch.js';
import { type Warning, Warnings, warningsOf } from '../../../src/operations/warnings.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { MCH_ID, seed } from '../events/support.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await seed(database);
});
afterAll(() => database.close());
afterEach(async () => {
  await database.shiftClock('0');
  await database.dataSource.query('DELETE FROM credential; DELETE FROM api_key; DELETE FROM warning');
});

/** An instance with nothing cached. */
function instance(): WarningWatch {
  const warnings = new Warnings(database.uow, systemClock);
  return new WarningWatch(database.uow, warnings, { role: 'all' } as Settings);
}

async function certificate(interval: string): Promise<void> {
  await database.uow.query(
    `INSERT INTO credential (id, mch_id, kind, version, kek_id, sealed, fingerprint, valid_until, created_at)
     VALUES ($1, $2, 'client_certificate', 1, 'k', 'x', 'f', tuikuan_now() + $3::interval, tuikuan_now())`,
    [newUuid(), MCH_ID, interval],
  );
}

const codes = (warnings: readonly Warning[]): string[] => warnings.map(({ code }) => code);
const standing = async (): Promise<string[]> => codes(await new Warnings(database.uow, systemClock).standing());

describe('a certificate', () => {
  it.each([
    [31, null, []],
    [30, null, ['certificate_ends_in_30_days']],
    [7.01, null, ['certificate_ends_in_30_days']],
    [7, null, ['certificate_ends_in_7_days']],
    [1, null, ['certificate_ends_in_1_day']],
    [0, null, ['certificate_ended']],
    [-400, null, ['certificate_ended']],
  ])('with %s days left warns as %s', (days_left, days_given, wanted) => {
    const ending = { what: 'certificate', mch_id: MCH_ID, subject: 'client_certificate', ends_at: null } as const;
    expect(codes(warningsOf({ ...ending, days_left, days_given, is_due: true }))).toEqual(wanted);
  });

  it('that ends is one incident per threshold and day, over ten instances together', async () => {
    await certificate('30 days -1 second');
    const day = async (): Promise<string[]> =>
      (await Promise.all(Array.from({ length: 10 }, () => instance().raise()))).flatMap(codes);
    expect(await day()).toEqual(['certificate_ends_in_30_days']);
    expect(await day()).toEqual([]);
    await database.shiftClock('1 day');
    expect(await day()).toEqual(['certificate_ends_in_30_days']);
    await database.shiftClock('23 days');
    expect(await day()).toEqual(['certificate_ends_in_7_days']);
    expect(await day()).toEqual([]);
    await database.shiftClock('40 days');
    expect(await day()).toEqual(['certificate_ended']);
  });

  it('of a disabled merchant, or one that was replaced, warns of nothing', async () => {
    await certificate('3 days');
    expect(await standing()).toEqual(['certificate_ends_in_7_days']);
    await database.uow.query('UPDATE merchant SET enabled = false WHERE mch_id = $1', [MCH_ID]);
    expect(await standing()).toEqual([]);
    await database.uow.query('UPDATE merchant SET enabled = true WHERE mch_id = $1', [MCH_ID]);
    await database.uow.query('UPDATE credential SET replaced_at = tuikuan_now() WHERE mch_id = $1', [MCH_ID]);
    expect(await standing()).toEqual([]);
  });
});

it('an API key warns before its end, but not from its first day, and a dead one not at all', async () => {
  const key = (life: string): Promise<unknown> =>
    database.uow.query(
      `INSERT INTO api_key (id, name, role, secret_hash, created_at, created_by, expires_at)
       VALUES ($1, 'k', 'viewer', 'x', tuikuan_now(), 'admin', tuikuan_now() + $2::interval)`,
      [newUuid(), life],
    );
  await key('20 days');
  expect(await standing()).toEqual([]);
  await database.shiftClock('14 days');
  expect(await standing()).toEqual(['api_key_ends_in_7_days']);
  await database.shiftClock('21 days');
  expect(await standing()).toEqual([]);
});

it('a pause is told as an incident again each day it lasts, its beginning by whoever paused', async () => {
  await database.uow.query(
    `UPDATE merchant_rate SET paused_at = tuikuan_now(), pause_reason = 'configuration' WHERE mch_id = $1`,
    [MCH_ID],
  );
  expect(await standing()).toEqual(['merchant_paused']);
  expect(await instance().raise()).toEqual([]);
  await database.shiftClock('1 day 1 minute');
  expect(codes(await instance().raise())).toEqual(['merchant_paused']);
  expect(await instance().raise()).toEqual([]);
});
