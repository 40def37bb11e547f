import { connect } from 'node:net';
import { fillTables } from '../support/filled-tables.js';
import { type Json, Stack, unique } from './support/stack.js';

const ROWS = 30_000;
const PATH = '/v1/refunds/export';

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.withoutService({ ROLE: 'api' });
  // How much is read for a page is what the plan by its values reads, as in production.
  await stack.database.query(`DO $$ BEGIN EXECUTE
    format('ALTER ROLE CURRENT_USER IN DATABASE %I SET plan_cache_mode = auto', current_database()); END $$`);
  await fillTables(stack.database, ROWS);
  await stack.addInstance();
});
afterAll(() => stack.close());

async function file(filter: string, headers: Record<string, string> = {}): Promise<{ head: Headers; lines: string[] }> {
  const answer = await fetch(`${stack.url}${PATH}?${filter}`, {
    headers: { authorization: `Bearer ${stack.adminKey}`, ...headers },
  });
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(await answer.arrayBuffer());
  expect([answer.status, text.slice(0, 4), text.slice(-2)]).toEqual([200, '\ufeffid,', '\r\n']);
  return { head: answer.headers, lines: text.split('\r\n').slice(1, -1) };
}

const idsOf = (lines: readonly string[]): string[] => lines.map((line) => line.split(',')[0] ?? '');

describe('the export of refunds', () => {
  it('is a CSV file of every refund, newest first, without gap or repeat', async () => {
    const { head, lines } = await file('');
    expect(head.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(head.get('content-disposition')).toBe('attachment; filename="refunds.csv"');
    const { rows } = await stack.database.query<{ id: string }>(
      `SELECT 're_' || replace(id::text, '-', '') AS id FROM refund ORDER BY created_at DESC, id DESC`,
    );
    expect(lines).toHaveLength(ROWS);
    expect(idsOf(lines)).toEqual(rows.map(({ id }) => id));
  });

  it.each(['appid=wxmiddle', 'status=failed,requires_action', 'amount_gte=99900&mch_id=1900000001', 'appid=wxnone'])(
    'takes the filters of the list: %s',
    async (filter) => {
      const listed: Json[] = [];
      for (let cursor: string | null = ''; cursor !== null;) {
        const page = await stack.ok('GET', `/v1/refunds?limit=100&${filter}${cursor}`);
        listed.push(...(page['data'] as Json[]));
        const next = page['next_cursor'] as string | null;
        cursor = next && `&cursor=${next}`;
      }
      expect(idsOf((await file(filter)).lines)).toEqual(listed.map(({ id }) => id));
    },
  );

  it('shows a key that is bound to mini-programs only what is theirs', async () => {
    const { key } = await stack.ok('POST', '/v1/api_keys', { name: unique(), role: 'viewer', appids: ['wxtiny'] });
    const bearer = { authorization: `Bearer ${String(key)}` };
    const { lines } = await file('', bearer);
    expect(lines).toHaveLength(10);
    expect(lines.every((line) => line.includes(',wxtiny,'))).toBe(true);
    expect((await file('appid=wxlarge', bearer)).lines).toEqual([]);
  });

  it('says what failed in the language that was asked for', async () => {
    await stack.database.query(
      `UPDATE refund SET failure_code = 'payer_account_abnormal', failure_wechat_code = 'CHANGE' WHERE state = 'abnormal'`,
    );
    const [chinese] = (await file('state=abnormal', { 'accept-language': 'zh-CN' })).lines;
    const [english] = (await file('state=abnormal', { 'accept-language': 'en' })).lines;
    expect(chinese).toMatch(/,payer_account_abnormal,[^,]*\p{Script=Han}/u);
    expect(english).toMatch(/,payer_account_abnormal,"?[A-Z]/);
  });

  it.each(['limit=5', 'cursor=x', 'status=lost', 'amount_gte=1.5', 'nothing=1'])(
    'answers a problem and no file to %s',
    async (filter) => {
      expect(await stack.api('GET', `${PATH}?${filter}`)).toMatchObject({
        status: 400,
        body: { code: 'validation_failed' },
      });
    },
  );
});

/** A client that reads only when it is told to. */
function slowClient(): {
  readonly received: () => string;
  readonly go: () => Promise<string>;
  readonly hangUp: () => void;
} {
  const { hostname, port } = new URL(stack.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (text.length < 100_000) return;
    socket.pause();
  });
  socket.write(`GET ${PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${stack.adminKey}\r\n\r\n`);
  const ended = new Promise<string>((resolve) => socket.once('close', () => resolve(text)));
  socket.on('error', () => undefined);
  return {
    received: () => text,
    go: () => {
      socket.removeAllListeners('data');
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
      socket.resume();
      return ended;
    },
    hangUp: () => socket.destroy(),
  };
}

const pagesRead = async (): Promise<number> => {
  const { rows } = await stack.database.query<{ calls: string }>(
    `SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) AS calls FROM pg_stat_user_tables WHERE relname = 'refund'`,
  );
  return Number(rows[0]?.calls ?? 0);
};

describe('a slow reader of the export', () => {
  // More than what the buffers between the two ends can hold.
  beforeAll(() => stack.database.query(`UPDATE refund SET note = repeat('记', 500)`));

  it('holds the reading back, and ends it by hanging up', async () => {
    await stack.eventually(pagesRead, () => false, 2);
    const before = await pagesRead();
    const client = slowClient();
    await stack.eventually(
      () => Promise.resolve(client.received().length),
      (length) => length >= 100_000,
    );
    const paused = await stack.eventually(pagesRead, () => false, 2);
    client.hangUp();
    const after = await stack.eventually(pagesRead, () => false, 2);
    expect(paused - before).toBeLessThan(ROWS);
    expect(after - paused).toBeLessThan(2500);
    expect(await stack.api('GET', '/health/ready')).toMatchObject({ status: 200 });
  });

  it('does not take a file that broke off for a whole one', async () => {
    const client = slowClient();
    await stack.eventually(
      () => Promise.resolve(client.received().length),
      (length) => length >= 100_000,
    );
    await stack.database.query('ALTER TABLE refund RENAME TO refund_away');
    try {
      const text = await client.go();
      expect(text.startsWith('HTTP/1.1 200 OK')).toBe(true);
      expect(text).toMatch(/\r\ntransfer-encoding: chunked\r\n/i);
      expect(text.endsWith('0\r\n\r\n')).toBe(false);
    } finally {
      await stack.database.query('ALTER TABLE refund_away RENAME TO refund');
    }
    expect((await file('appid=wxtiny')).lines).toHaveLength(10);
  });
});
