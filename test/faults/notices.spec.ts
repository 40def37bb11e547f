import { Steady } from './support/budget.js';
import { assertFired, Dice, SEED, sizeOf, summary } from './support/campaign.js';
import { Door, type KnownRefund } from './support/door.js';

const PAIRS = 20;
const BLOCK_BYTES = 16;

let door: Door;
beforeAll(async () => {
  door = await Door.open();
  process.stdout.write(`SEED=${SEED}\n`);
});
afterAll(() => door.close());

const sealedIn = (notice: string): Buffer =>
  Buffer.from(/<req_info>(?:<!\[CDATA\[)?([^\]<]+)/.exec(notice)?.[1] ?? '', 'base64');
const withSealed = (notice: string, sealed: Buffer): string =>
  notice.replace(sealedIn(notice).toString('base64'), sealed.toString('base64'));

describe('a genuine notice', () => {
  it('is taken: a V2 one wakes a question, a v3 one is booked', async () => {
    const [v2, v3] = [await door.refund('SUCCESS'), await door.refund('SUCCESS', 200, 'v3')];
    expect((await door.notice(door.paths.refund, door.wechat.v2Refund(v2.simulated))).status).toBe(200);
    const letter = door.wechat.v3Refund(v3.simulated);
    expect((await door.notice(door.paths.refund, letter.body, letter.headers)).status).toBe(204);
    expect([(await door.domain.row(v2)).state, (await door.domain.row(v3)).state]).toEqual(['accepted', 'succeeded']);
  });

  it('cut off at any byte is refused, and nothing changes', async () => {
    const { simulated } = await door.refund('SUCCESS');
    const letters = [
      { path: door.paths.refund, headers: { 'content-type': 'text/xml' }, body: door.wechat.v2Refund(simulated) },
      {
        path: door.paths.payment,
        headers: { 'content-type': 'text/xml' },
        body: door.wechat.v2Payment(simulated.order),
      },
      { path: door.paths.refund, ...door.wechat.v3Refund(simulated) },
      { path: door.paths.payment, ...door.wechat.v3Payment(simulated.order) },
    ];
    const before = await door.holds();
    let cuts = 0;
    for (const { path, headers, body } of letters) {
      const bytes = Buffer.from(body);
      for (let length = 0; length < bytes.length; length += 1, cuts += 1) {
        const what = (): string => `${length} bytes of ${body}`;
        const { status } = await door.refusedNotice(what, path, bytes.subarray(0, length), headers);
        if (status !== 401) throw new Error(`${status} for ${what()}`);
      }
    }
    expect(await door.holds()).toEqual(before);
    summary('notices cut at every byte', { cuts });
  });
});

describe('N10 a notice spliced from two', () => {
  /** The first blocks of one and the last of the other; `at` blocks of the first, from block `from` of the other. */
  const spliced = (one: Buffer, other: Buffer, at: number, from: number): Buffer =>
    Buffer.concat([one.subarray(0, at * BLOCK_BYTES), other.subarray(from * BLOCK_BYTES)]);

  it('at any block moves no money, in confirm', async () => {
    const refunds: KnownRefund[] = [];
    for (let n = 0; n <= PAIRS; n += 1)
      refunds.push(await door.refund(n % 2 === 0 ? 'PROCESSING' : 'SUCCESS', 300 + n * 17));
    const letters = refunds.map(({ simulated }) => door.wechat.v2Refund(simulated));
    const before = await door.money();
    const counts = { 200: 0, 401: 0 };
    for (let pair = 0; pair < PAIRS; pair += 1) {
      for (const [at, body] of splicesOf(letters[pair] ?? '', letters[pair + 1] ?? '')) {
        const { status } = await door.refusedNotice(() => `a splice at ${at}`, door.paths.refund, body);
        if (status !== 200 && status !== 401) throw new Error(`${status} for a splice at ${at}`);
        counts[status] += 1;
      }
      expect(await door.money()).toEqual(before);
    }
    const results = await door.domain.sql<{ result: string }>(
      'SELECT DISTINCT result FROM notification WHERE refund_id IS NULL OR refund_id = ANY($1)',
      [refunds.map(({ uuid }) => uuid)],
    );
    for (const { result } of results) expect(['waiting_for_query', 'repeat', 'unmatched']).toContain(result);
    assertFired(counts, PAIRS);
    summary('ECB splices', { pairs: PAIRS, taken: counts[200], refused: counts[401] });
  }, 900_000);

  /** Every splice of two notices, each with its place. */
  function splicesOf(notice: string, other: string): [string, string][] {
    const [head, tail] = [sealedIn(notice), sealedIn(other)];
    return positions(head.length / BLOCK_BYTES, tail.length / BLOCK_BYTES).map(([at, from]) => [
      `block ${at}, from block ${from}`,
      withSealed(notice, spliced(head, tail, at, from)),
    ]);
  }

  /** The same block of both, and in the long run every block of the one against every block of the other. */
  function positions(head: number, tail: number): [number, number][] {
    const all = sizeOf({ ci: 0, long: 1 }) === 1;
    return Array.from({ length: head + 1 }, (_, at) => at).flatMap((at) =>
      (all ? Array.from({ length: tail + 1 }, (_, from) => from) : [Math.min(at, tail)]).map(
        (from): [number, number] => [at, from],
      ),
    );
  }
});

describe('a v3 notice', () => {
  const MUTATIONS = sizeOf({ ci: 5000, long: 100_000 });
  const HEADERS = ['Wechatpay-Timestamp', 'Wechatpay-Nonce', 'Wechatpay-Signature', 'Wechatpay-Serial'] as const;

  it(`that was changed anywhere is refused, and nothing changes: ${MUTATIONS} of them`, async () => {
    const dice = new Dice(SEED);
    const steady = new Steady();
    const { simulated } = await door.refund('SUCCESS', 300, 'v3');
    const counts = { headers: 0, bodies: 0, tags: 0 };
    const before = await door.holds();
    for (let made = 0; made < MUTATIONS; made += 1) {
      const kind = dice.pick(['headers', 'bodies', 'tags'] as const);
      const { headers, body } = mutated(kind, dice, simulated);
      const what = (): string =>
        `mutation ${made} of ${kind} (seed ${SEED}): ${JSON.stringify({ headers, body: body.toString('latin1') })}`;
      const { status } = await door.refusedNotice(what, door.paths.refund, body, headers);
      if (status !== 401) throw new Error(`${status} for ${what()}`);
      counts[kind] += 1;
      if (made === Math.floor(MUTATIONS / 5)) steady.begin();
    }
    expect(await door.holds()).toEqual(before);
    steady.assertInherited();
    assertFired(counts, MUTATIONS / 10);
    summary('v3 notices', { ...counts, 'MB grown': steady.assertMemory() });
  }, 900_000);

  type Sent = { readonly headers: Record<string, string>; readonly body: Buffer };

  /** A genuine notice with one thing changed; tags are changed before it is rightly signed. */
  function mutated(kind: 'headers' | 'bodies' | 'tags', dice: Dice, simulated: KnownRefund['simulated']): Sent {
    if (kind === 'tags') return door.wechat.sealedOtherwise(simulated, (sealed) => changedBytes(sealed, dice));
    const { headers, body } = door.wechat.v3Refund(simulated);
    if (kind === 'bodies') return { headers, body: changedBytes(Buffer.from(body), dice) };
    const name = dice.pick(HEADERS);
    const value = changedText(headers[name] ?? '', dice);
    const decoded = (text: string): string => Buffer.from(text, 'base64').toString('hex');
    // Two spellings of the same bytes, or blanks that no server keeps, are the same header.
    const same =
      value.trim() === headers[name] || (name.endsWith('Signature') && decoded(value) === decoded(headers[name] ?? ''));
    return { headers: { ...headers, [name]: same ? '' : value }, body: Buffer.from(body) };
  }

  function changedBytes(bytes: Buffer, dice: Dice): Buffer {
    const at = dice.below(bytes.length);
    const changed = Buffer.from(bytes);
    switch (dice.below(4)) {
      case 0:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + dice.below(8))]);
      case 1:
        return Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(dice.pick([' ', '\n', '0', '"', '\u0000', ','])),
          bytes.subarray(at),
        ]);
      default:
        changed[at] = (changed[at] ?? 0) ^ (1 << dice.below(8));
        return changed;
    }
  }

  function changedText(text: string, dice: Dice): string {
    const at = dice.below(text.length);
    const put = dice.pick(['', 'A', '0', '=', ' ', '-', '+', 'e', '.', 'x', text.slice(0, 3)]);
    const changed = text.slice(0, at) + put + text.slice(at + dice.below(2));
    return changed === text ? text.slice(1) : changed;
  }
});
