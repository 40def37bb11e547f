import { Door, type KnownRefund } from './support/door.js';
import { HOSTILE_XML } from './support/hostile-xml.js';
import { type Delivery, REQ_INFO, sealReqInfo, V2_DOOR_ROWS, V3_DOOR_ROWS } from './support/notice-rows.js';

/** The rows of faults.md 2.3 and 2.7 at the callback door. Each begins with a notice that is taken as it is. */
let door: Door;
let refund: KnownRefund;
beforeAll(async () => {
  door = await Door.open();
  refund = await door.refund('SUCCESS');
});
afterAll(() => door.close());

const XML = { 'content-type': 'text/xml' };
const genuine = (): string => door.wechat.v2Refund(refund.simulated);
const FAIL = /FAIL/;

/** Refused in the door's words, within the budget, and every table is as it was. */
async function expectRefused(
  name: string,
  { body, headers }: Delivery,
  statuses: readonly number[] = [401],
): Promise<void> {
  const before = await door.holds();
  const answer = await door.refusedNotice(() => name, door.paths.refund, body, headers);
  expect(statuses).toContain(answer.status);
  expect(answer.body).toMatch(FAIL);
  expect(answer.body).not.toMatch(/SUCCESS|at .*\.[tj]s/);
  expect(await door.holds()).toEqual(before);
}

/** What is larger than a notice may be is told so; beyond the server's own limit too. */
const REFUSED = [401, 413];

it.each(HOSTILE_XML.map(([name, change]) => [name, change] as const))('the door refuses %s', async (name, change) => {
  await expectRefused(name, { body: change(genuine()), headers: XML }, REFUSED);
});

it.each(HOSTILE_XML.map(([name, change]) => [name, change] as const))(
  'the door refuses %s inside req_info',
  async (name, change) => {
    const inner = change('<root><out_refund_no>R1</out_refund_no></root>');
    const sealed = sealReqInfo(inner, door.wechat.merchant.apiV2Key);
    const body = genuine().replace(REQ_INFO, (_, head: string) => head + sealed);
    await expectRefused(name, { body, headers: XML }, REFUSED);
  },
);

it.each(V2_DOOR_ROWS.map(([name, make]) => [name, make] as const))('the door refuses %s', async (name, make) => {
  await expectRefused(name, make(door, refund), REFUSED);
});

it.each(V3_DOOR_ROWS.map(([name, make]) => [name, make] as const))('the door refuses %s', async (name, make) => {
  await expectRefused(name, make(door, refund));
});

it('the door takes what these tables change', async () => {
  const letter = door.wechat.v3Refund((await door.refund('SUCCESS', 200, 'v3')).simulated);
  expect((await door.notice(door.paths.refund, letter.body, letter.headers)).status).toBe(204);
  expect((await door.notice(door.paths.refund, genuine())).status).toBe(200);
});

describe('N15 a v3 notice replayed', () => {
  it('under its own id is counted and changes nothing; its content under a new id changes nothing either', async () => {
    const one = await door.refund('SUCCESS', 210, 'v3');
    const letter = door.wechat.v3Refund(one.simulated);
    await door.notice(door.paths.refund, letter.body, letter.headers);
    const before = await door.money();
    for (const again of [letter, letter, door.wechat.v3Refund(one.simulated)])
      expect((await door.notice(door.paths.refund, again.body, again.headers)).status).toBe(204);
    expect(await door.money()).toEqual(before);
    const rows = await door.domain.sql('SELECT deliveries, result FROM notification WHERE refund_id = $1 ORDER BY id', [
      one.uuid,
    ]);
    expect(rows).toEqual([
      { deliveries: 3, result: 'applied' },
      { deliveries: 1, result: 'repeat' },
    ]);
  });
});

describe('N11 a V2 notice about a refund that went over v3', () => {
  it('books nothing by itself', async () => {
    const one = await door.refund('SUCCESS', 220, 'v3');
    const before = await door.money();
    expect((await door.notice(door.paths.refund, door.wechat.v2Refund(one.simulated))).status).toBe(200);
    expect(await door.money()).toEqual(before);
    expect(await door.domain.notices({ uuid: one.uuid, id: '', outRefundNo: '', order: one.order })).toEqual([
      { result: 'waiting_for_query', reason: null },
    ]);
  });
});

describe('N21 a broken padding and a broken XML inside', () => {
  const SAMPLES = 10_000;
  /** Under the noise of any network and far over what decrypting and parsing cost. */
  const SAME_MS = 1;

  it(`are the same from outside, in words and in time: ${SAMPLES} samples`, async () => {
    const notice = genuine();
    const key = door.wechat.merchant.apiV2Key;
    const whole = Buffer.from(REQ_INFO.exec(notice)?.[2] ?? '', 'base64');
    const bodies = {
      padding: notice.replace(REQ_INFO, (_, head: string) => head + whole.subarray(0, -16).toString('base64')),
      xml: notice.replace(REQ_INFO, (_, head: string) => head + sealReqInfo('x'.repeat(whole.length - 1), key)),
    };
    const tookMs: Record<keyof typeof bodies, number[]> = { padding: [], xml: [] };
    const answers = new Set<string>();
    for (let n = 0; n < SAMPLES; n += 1) {
      const kind = n % 2 === 0 ? 'padding' : 'xml';
      const began = performance.now();
      const { status, body } = await door.notice(door.paths.refund, bodies[kind]);
      tookMs[kind].push(performance.now() - began);
      answers.add(`${status} ${body}`);
    }
    const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[times.length >> 1] ?? 0;
    expect([...answers]).toHaveLength(1);
    expect(Math.abs(median(tookMs.padding) - median(tookMs.xml))).toBeLessThan(SAME_MS);
  });
});
