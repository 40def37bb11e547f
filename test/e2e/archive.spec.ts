import { HISTORY_TABLES as TABLES } from '../support/history-tables.js';
import { jsonOf, tuikuan } from './support/commands.js';
import { endpointFor, Receiver } from './support/receiver.js';
import { type Json, type Merchant, type Order, type Refund, Stack } from './support/stack.js';

/** History that came to rest long ago leaves the tables that every request writes, and is there for everybody who asks. */
let stack: Stack;
let receiver: Receiver;
let merchant: Merchant;
let order: Order;
let refund: Refund;
let open: Refund;
let before: Json[];

beforeAll(async () => {
  stack = await Stack.start({ WEBHOOK_ALLOW_LOOPBACK: 'true' });
  receiver = await Receiver.start();
  await endpointFor(stack, receiver.url);
  merchant = await stack.merchant({ simulator: { settle_after_ms: 0 } });
  order = await stack.paidOrder(merchant, 1000);
  refund = await stack.refund(order, { amount: 300 });
  await stack.until(refund.id, 'succeeded');
  await stack.control('POST', '/merchants', { mch_id: merchant.mchId, settle_after_ms: 1e12 });
  open = await stack.refund(await stack.paidOrder(merchant, 1000), { amount: 200 });
  await stack.until(open.id, 'accepted');
  before = await stack.eventually(
    () => stack.timeline(refund.id),
    (entries) => entries.filter(({ ref }) => String(ref).startsWith('wd_')).length === 3,
  );
  await stack.shiftClock('500 days');
});
afterAll(async () => {
  receiver.close();
  await stack.close();
});

const archive = (...words: string[]): ReturnType<typeof tuikuan> =>
  tuikuan(['archive', ...words], { DATABASE_URL: stack.databaseUrl });

/** Rows of each table, or of its part in the archive. */
async function count(schema = 'public'): Promise<Record<string, number>> {
  const counts = TABLES.map((table) => `(SELECT count(*)::int FROM ${schema}.${table}) AS ${table}`);
  const { rows } = await stack.database.query<Record<string, number>>(`SELECT ${counts.join(', ')}`);
  return rows[0] ?? {};
}

const broken = async (): Promise<unknown[]> => {
  const run = await tuikuan(['check-invariants', '--json', '--simulator', `http://127.0.0.1:${stack.ports.control}`], {
    DATABASE_URL: stack.databaseUrl,
  });
  return (jsonOf(run)['checks'] as Json[]).filter(({ result }) => result !== 'ok');
};

it('what came to rest is moved, what is open stays, and a second run has nothing to do', async () => {
  const run = jsonOf(await archive('--json'));
  expect(run).toMatchObject({ older_than_days: 400, archived: { orders: 1, notification: 1 } });
  expect({ orders: 1, ...(await count('archive')) }).toEqual(run['archived']);
  const subjects = async (schema: string): Promise<unknown[]> =>
    (
      await stack.database.query<{ of: string }>(
        `SELECT DISTINCT 're_' || replace(refund_id::text, '-', '') AS of FROM ${schema}.refund_event`,
      )
    ).rows.map(({ of }) => of);
  expect([await subjects('archive'), await subjects('public')]).toEqual([[refund.id], [open.id]]);
  expect(jsonOf(await archive('--json'))).toMatchObject({ archived: { orders: 0, outgoing_event: 0 } });
});

it('its timeline and its notice are shown as before', async () => {
  expect(await stack.timeline(refund.id)).toEqual(before);
  const notice = String(before.find(({ kind }) => kind === 'notification')?.['ref']);
  expect(await stack.ok('GET', `/v1/notifications/${notice}`)).toMatchObject({ id: notice, refund: refund.id });
  expect(await stack.api('POST', `/v1/notifications/${notice}/reprocess`)).toMatchObject({
    status: 409,
    body: { code: 'invalid_state', detail: expect.stringContaining('archived') },
  });
  expect(await broken()).toEqual([]);
});

it('the same notice once more is answered SUCCESS and changes nothing but its count', async () => {
  const [hot, kept] = [await count(), await count('archive')];
  const acksOf = async (): Promise<Json[]> =>
    ((await stack.control('GET', '/ledger'))['acks'] as Json[]).filter(
      (row) => row['out_refund_no'] === refund.out_refund_no,
    );
  const acks = (await acksOf()).length;
  await stack.control('POST', `/notices/${refund.out_refund_no}`, { times: 1 });
  const now = await stack.eventually(acksOf, (rows) => rows.length > acks);
  expect(now.at(-1)).toMatchObject({ ok: true });
  expect([await count(), await count('archive')]).toEqual([hot, kept]);
  const { rows } = await stack.database.query('SELECT deliveries FROM archive.notification');
  expect(rows).toEqual([{ deliveries: 2 }]);
});

it('what happens later is added to it, and is moved in its turn', async () => {
  await stack.ok('POST', `/v1/refunds/${refund.id}/sync`);
  const later = await stack.timeline(refund.id);
  const withoutCount = (entries: readonly Json[]): readonly Json[] =>
    entries.filter(({ kind }) => kind !== 'notification');
  expect(withoutCount(later).slice(0, -1)).toEqual(withoutCount(before));
  expect(await broken()).toEqual([]);
  await stack.shiftClock('1000 days');
  await stack.ok('GET', `/v1/refunds/${refund.id}`);
  expect(jsonOf(await archive('--json', '--older-than-days', '450'))).toMatchObject({ archived: { gateway_call: 1 } });
  expect(await stack.timeline(refund.id)).toEqual(later);
  expect(await broken()).toEqual([]);
});

it('a number of days that is none, or too few, is refused', async () => {
  for (const days of ['', '29', '-400', '1e3', '400.5']) {
    const run = await archive(`--older-than-days=${days}`);
    expect([days, run.code]).toEqual([days, 2]);
    expect(run.stderr).toContain('--older-than-days takes a number of days, 30 or more');
  }
});
