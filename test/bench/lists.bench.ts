import { type Json, Stack } from '../e2e/support/stack.js';
import { fillTables } from '../support/filled-tables.js';

/** Every filter of the large lists beside a million refunds, alone and in the pairs that people ask for: `npm run bench:lists`. */
const ROWS = Number(process.env['ROWS'] ?? 1_000_000);
const LIMIT_MS = 100;
const ROUNDS = 9;

const DAYS_AGO = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();
/** The number of a row in the middle. */
const MIDDLE = String(Math.floor(ROWS / 2));
const MIDDLE_NUMBER = MIDDLE.padStart(8, '0');

const REFUND_FILTERS = [
  '',
  'appid=wxlarge',
  'appid=wxmiddle',
  'appid=wxtiny',
  'appid=wxnone',
  'mch_id=1900000001',
  'mch_id=1900000003',
  'state=succeeded',
  'state=accepted',
  'state=mismatch',
  'state=queued',
  'status=processing',
  'status=failed',
  'status=requires_action',
  'status=requires_action,failed&appid=wxmiddle',
  'status=canceled&appid=wxmiddle',
  'status=failed&appid=wxlarge',
  'status=requires_action&mch_id=1900000002',
  'state=succeeded&appid=wxtiny',
  `created_gte=${DAYS_AGO(1)}`,
  `created_lt=${DAYS_AGO(200)}`,
  `created_gte=${DAYS_AGO(200)}&created_lt=${DAYS_AGO(199)}`,
  `created_gte=${DAYS_AGO(200)}&created_lt=${DAYS_AGO(199)}&appid=wxmiddle`,
  `created_gte=${DAYS_AGO(200)}&created_lt=${DAYS_AGO(199)}&status=failed`,
  `created_lt=${DAYS_AGO(200)}&state=mismatch`,
  'amount_gte=1',
  'amount_gte=99990',
  'amount_gte=99999999',
  'amount_gte=500&amount_lte=510',
  'amount_gte=99000&appid=wxmiddle',
  'amount_lte=3&status=failed',
  `out_trade_no=T-${MIDDLE_NUMBER}`,
  `out_refund_no=R-${MIDDLE_NUMBER}`,
  'out_refund_no=R-none',
  `refund_id=5000${MIDDLE.padStart(24, '0')}`,
  'order=MIDDLE',
];
const ORDER_FILTERS = [
  '',
  'appid=wxtiny',
  'mch_id=1900000003',
  'status=paid',
  'status=created',
  'status=closed&appid=wxlarge',
  `created_lt=${DAYS_AGO(200)}`,
  `created_gte=${DAYS_AGO(200)}&created_lt=${DAYS_AGO(199)}&appid=wxmiddle`,
  'amount_gte=99999999',
  'amount_gte=99000&appid=wxmiddle',
  `out_trade_no=T-${MIDDLE_NUMBER}`,
  `transaction_id=4200${MIDDLE.padStart(24, '0')}`,
];
/** The inbox's statement alone: contents of filled rows do not open. */
const NOTICE_FILTERS = [
  `mch_id = '1900000003'`,
  `kind = 'payment'`,
  `result = ANY('{unmatched}')`,
  `result = ANY('{refused,waiting_for_query}')`,
  `order_id = 'MIDDLE'`,
  `received_at < '${DAYS_AGO(200)}'`,
];
const AUDIT_FILTERS = [
  '',
  'actor=key_rare',
  'actor=key_none',
  'object=re_none',
  'action=refund.cancel',
  `created_lt=${DAYS_AGO(200)}`,
];

/** About a hundred, ten thousand, a hundred thousand and all. */
const EXPORTS = ['amount_gte=99990', `created_gte=${DAYS_AGO(4)}`, 'appid=wxmiddle', ''] as const;

const ASKED: readonly (readonly [string, readonly string[]])[] = [
  ['/v1/refunds', REFUND_FILTERS],
  ['/v1/orders', ORDER_FILTERS],
  ['/v1/audit_logs', AUDIT_FILTERS],
];

it('lists', async () => {
  const stack = await Stack.start({ ROLE: 'api' });
  const lines: string[] = [];
  const slow: string[] = [];
  try {
    const begun = performance.now();
    await fillTables(stack.database, ROWS);
    lines.push(`${ROWS} refunds filled in ${Math.round((performance.now() - begun) / 1000)} s`);
    const [order] = (await stack.ok('GET', `/v1/orders?out_trade_no=T-${MIDDLE_NUMBER}`))['data'] as Json[];
    const timed = async (name: string, ask: () => Promise<unknown>): Promise<void> => {
      const times: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const from = performance.now();
        await ask();
        times.push(performance.now() - from);
      }
      times.sort((a, b) => a - b);
      const median = times[Math.floor(ROUNDS / 2)] ?? 0;
      lines.push(`${median.toFixed(1).padStart(7)} ${(times.at(-1) ?? 0).toFixed(1).padStart(7)} ms  ${name}`);
      if (median > LIMIT_MS) slow.push(name);
    };
    for (const [path, filters] of ASKED) {
      for (const filter of filters) {
        const asked = `${path}?${filter.replace('MIDDLE', String(order?.['id']))}`;
        for (const [page, url] of await pagesOf(stack, asked))
          await timed(`${path}?${filter}${page}`, () => stack.ok('GET', url));
      }
    }
    const uuid = String(order?.['id']).slice('ord_'.length);
    for (const filter of NOTICE_FILTERS) {
      const sql = `SELECT * FROM notification WHERE ${filter.replace('MIDDLE', uuid)} ORDER BY received_at DESC, id DESC LIMIT 21`;
      await timed(`notification WHERE ${filter}`, () => stack.database.query(sql));
    }
    for (const filter of EXPORTS) lines.push(await exported(stack, filter));
  } finally {
    await stack.close();
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  expect(slow).toEqual([]);
}, 900_000);

/** The first page and, where there are more, the hundredth or last. */
async function pagesOf(stack: Stack, url: string): Promise<(readonly [string, string])[]> {
  let cursor = (await stack.ok('GET', `${url}&limit=100`))['next_cursor'] as string | null;
  let deep = cursor;
  for (let page = 0; cursor !== null && page < 100; page += 1) {
    deep = cursor;
    cursor = (await stack.ok('GET', `${url}&limit=100&cursor=${cursor}`))['next_cursor'] as string | null;
  }
  return [['', url], ...(deep === null ? [] : [[' far on', `${url}&cursor=${deep}`] as const])];
}

/** How long a whole export takes, and the most memory that the service held meanwhile. */
async function exported(stack: Stack, filter: string): Promise<string> {
  const [instance] = stack.instances;
  const before = (await instance?.rssMb()) ?? 0;
  let mostMb = before;
  const watch = setInterval(() => void instance?.rssMb().then((now) => (mostMb = Math.max(mostMb, now))), 20);
  const from = performance.now();
  const answer = await fetch(`${stack.url}/v1/refunds/export?${filter}`, {
    headers: { authorization: `Bearer ${stack.adminKey}` },
  });
  let bytes = 0;
  let lines = 0;
  for await (const chunk of answer.body ?? []) {
    const part = chunk as Uint8Array;
    bytes += part.length;
    for (let at = part.indexOf(10); at >= 0; at = part.indexOf(10, at + 1)) lines += 1;
  }
  clearInterval(watch);
  const seconds = (performance.now() - from) / 1000;
  return `export of ${lines - 1} refunds, ${(bytes / 1e6).toFixed(1)} MB, in ${seconds.toFixed(1)} s: RSS ${before} MB before, ${mostMb} MB at most`;
}
