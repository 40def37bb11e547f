import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { migrateDown, migrateUp } from '../../src/database/migrations.js';
import { createEmptyDatabase, runSql } from '../support/database.js';
import { jsonOf, tuikuan } from './support/commands.js';
import { Stack, unique } from './support/stack.js';

/** The service under a role that can neither change the schema nor rewrite history, made by the statements of the README. */
const README = new URL('../../README.md', import.meta.url);
const role = `app_${unique()}`;

async function grants(): Promise<string> {
  const block = /```sql\n([^`]*CREATE ROLE[^`]*)```/.exec(await readFile(README, 'utf8'))?.[1] ?? '';
  expect(block).toContain('CREATE ROLE tuikuan_app');
  return block.replaceAll('tuikuan_app', role);
}

const asRole = (url: string): string => url.replace(/\/\/[^@/]*@?(?=[^@/]+\/)/, `//${role}:change-me@`);

it('works in everything it does', async () => {
  const stack = await Stack.withoutService({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
  try {
    await stack.database.query(await grants());
    const url = asRole(stack.databaseUrl);
    await stack.addInstance({ DATABASE_URL: url });
    const merchant = await stack.merchant({ simulator: { settle_after_ms: 0 } });
    const order = await stack.paidOrder(merchant, 1000);
    const refund = await stack.refund(order, { amount: 300 });
    await stack.until(refund.id, 'succeeded');
    const notices = await stack.eventually(
      async () => (await stack.timeline(refund.id)).filter(({ kind }) => kind === 'notification'),
      (found) => found.length > 0,
    );
    expect(notices).toHaveLength(1);
    await stack.ok('PATCH', `/v1/mini_programs/${merchant.appid}`, { mch_ids: [merchant.mchId] });
    const env = stack.environment(1, { DATABASE_URL: url });
    expect(await tuikuan(['master-key', 'rotate', '--json'], env)).toMatchObject({ code: 0 });
    const checked = await tuikuan(['check-invariants', '--json'], { DATABASE_URL: url });
    expect([checked.code, jsonOf(checked)['checks']]).toMatchObject([0, expect.any(Array)]);
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    for (const sql of [
      'DELETE FROM refund_event',
      'UPDATE refund_event SET actor = NULL',
      'DELETE FROM refund',
      'DELETE FROM archive.refund_event',
      `UPDATE archive.notification SET result = 'repeat'`,
      'UPDATE audit_log SET actor = NULL',
      'CREATE TABLE mine ()',
      'DROP TABLE refund_event',
    ])
      await expect(client.query(sql)).rejects.toThrow(/permission denied|must be owner/);
    await client.end();
  } finally {
    await stack.close();
  }
});

it('reads the archive after a migration that brings it', async () => {
  const { url, drop } = await createEmptyDatabase();
  await migrateUp(url);
  await runSql(url, (await grants()).replace(/CREATE ROLE[^;]*;/, ''));
  expect(await migrateDown(url)).toBe('0007-archive');
  await migrateUp(url);
  const client = new pg.Client({ connectionString: asRole(url) });
  await client.connect();
  try {
    await client.query('SELECT 1 FROM with_archive.notification');
    await client.query(
      `UPDATE archive.notification SET kek_id = 'next', content = '', deliveries = 2, last_received_at = received_at`,
    );
  } finally {
    await client.end();
    await drop();
  }
});
