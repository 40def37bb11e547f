import { setImmediate } from 'node:timers/promises';
import { setLogLevel } from '../../src/common/log.js';
import { publicId } from '../../src/common/ids.js';
import { Steady, withinBudgetAsync } from './support/budget.js';
import { assertFired, Dice, SEED, sizeOf, summary } from './support/campaign.js';
import { type Answered, Door } from './support/door.js';
import { changedBytes, LOG_TEXTS, REFUSED_JSON, SQL_TEXTS } from './support/hostile-json.js';
import { APPID, MCH_ID } from './support/simulated-notices.js';

/** Bodies of the money routes and others (faults.md 2.8). Each is refused as it is too, for a reason of its own: nothing may change. */
interface Target {
  readonly method: 'POST' | 'PUT';
  readonly url: string;
  readonly body: object;
  /** Of the body as it stands here. */
  readonly status: number;
}

let door: Door;
let targets: readonly Target[];
beforeAll(async () => {
  door = await Door.open();
  const { uuid, order } = await door.refund('PROCESSING');
  await door.domain.refund(order, 1000);
  const refund = `/v1/refunds/${publicId('refund', uuid)}`;
  const asked = {
    order: publicId('order', order.id),
    amount: 1,
    out_refund_no: 'R-hostile-1',
    reason: '退款',
    items: [{ ref: 'a', amount: 1 }],
    note: 'x',
    metadata: { a: 'b' },
  };
  const registered = {
    appid: APPID,
    out_trade_no: order.outTradeNo,
    amount: 7,
    verify: false,
    paid_at: '2026-01-31T08:00:00Z',
  };
  targets = [
    { method: 'POST', url: '/v1/refunds', body: asked, status: 422 },
    { method: 'POST', url: '/v1/orders/register', body: registered, status: 409 },
    { method: 'POST', url: '/v1/merchants', body: { mch_id: MCH_ID, name: 'x', api_version: 'v2' }, status: 409 },
    { method: 'POST', url: '/v1/mini_programs', body: { appid: APPID, name: 'x', mch_ids: [MCH_ID] }, status: 409 },
    {
      method: 'POST',
      url: `${refund}/resolve`,
      body: { outcome: 'closed', reason: 'ten letters and more' },
      status: 409,
    },
    { method: 'POST', url: `${refund}/cancel`, body: { reason: 'x' }, status: 409 },
    { method: 'PUT', url: `/v1/merchants/${MCH_ID}/credentials`, body: { api_v3_key: 'short' }, status: 422 },
  ];
});
afterAll(() => door.close());

const REFUSALS = [400, 413];
const ANSWERS = [...REFUSALS, 404, 409, 415, 422];
const send = ({ method, url }: Target, body: string | Buffer, what: string): Promise<Answered> =>
  withinBudgetAsync(
    () => `${what} at ${url} (seed ${SEED})`,
    () => door.call(method, url, body as string),
  );

/** One input at one target; throws unless it is answered so. */
async function expectAnswer(
  target: Target,
  name: string,
  body: string | Buffer,
  among: readonly number[],
): Promise<void> {
  const { status, body: answer } = await send(target, body, name);
  const shown = (): string =>
    `${status} ${answer.slice(0, 200)} for ${name} at ${target.url} (seed ${SEED}): ${body.toString().slice(0, 500)}`;
  if (!among.includes(status)) throw new Error(shown());
  if (!answer.startsWith('{"type":"about:blank"') || /\bat .*\.[tj]s:/.test(answer)) throw new Error(shown());
}

it('the bodies of this file are refused as they stand, each for its own reason', async () => {
  for (const target of targets) {
    const { status, body } = await send(target, JSON.stringify(target.body), 'as it is');
    expect([target.url, status, body]).toEqual([target.url, target.status, expect.any(String)]);
  }
});

it.each(Object.entries(REFUSED_JSON))('%s is refused at every route, and nothing changes', async (name, change) => {
  const before = await door.holds();
  const dice = new Dice(SEED);
  for (const target of targets)
    for (let n = 0; n < 3; n += 1)
      await expectAnswer(target, name, change(JSON.stringify(target.body), dice), REFUSALS);
  expect(await door.holds()).toEqual(before);
});

it.each([
  ['none', undefined],
  ['text/plain', 'text/plain'],
  ['a form', 'application/x-www-form-urlencoded'],
  ['multipart', 'multipart/form-data; boundary=x'],
  ['JSON in UTF-16', 'application/json; charset=utf-16'],
  ['JSON in GBK', 'application/json;charset=gbk'],
  ['XML', 'text/xml'],
  ['nearly JSON', 'application/jsonp'],
  ['two types', 'application/json, text/plain'],
])('J07 a body of the type %s is no JSON', async (_, type) => {
  const before = await door.holds();
  for (const { method, url, body } of targets) {
    const answer = await door.call(method, url, JSON.stringify(body), { 'content-type': type });
    expect([url, answer.status]).toEqual([url, 415]);
  }
  expect(await door.holds()).toEqual(before);
});

it.each(SQL_TEXTS)('J08 %s in any text of a body is a text', async (sql) => {
  const before = await door.holds();
  for (const target of targets) {
    const text = JSON.stringify(target.body);
    for (const { index, 0: whole } of text.matchAll(/:"(?:[^"\\]|\\.)*"/g)) {
      const body = `${text.slice(0, index)}:${JSON.stringify(sql)}${text.slice(index + whole.length)}`;
      await expectAnswer(target, 'J08', body, ANSWERS);
    }
  }
  expect(await door.holds()).toEqual(before);
});

it.each(SQL_TEXTS)('J08 %s in a filter, its name or a path is a text', async (sql) => {
  const before = await door.holds();
  const text = encodeURIComponent(sql);
  for (const list of ['refunds', 'orders', 'notifications', 'merchants', 'events']) {
    for (const url of [
      `/v1/${list}?${text}=1`,
      `/v1/${list}?cursor=${text}`,
      `/v1/${list}?order=${text}`,
      `/v1/${list}?sort=${text}`,
    ])
      expect([url, (await door.call('GET', url)).status]).toEqual([url, 400]);
    expect((await door.call('GET', `/v1/${list}/${text}`)).status).toBe(404);
  }
  expect(await door.holds()).toEqual(before);
});

it.each(LOG_TEXTS)('J10 %j writes no line of its own into the log', async (text) => {
  const lines: string[] = [];
  const { write } = process.stdout;
  process.stdout.write = (text) => lines.push(...String(text).split(/(?<=\n)/)) > 0;
  setLogLevel('trace');
  try {
    for (const { method, url, body } of targets) {
      await door.call(method, url, JSON.stringify({ ...body, reason: text, name: text, note: text }));
      await door.call(method, `${url}?${encodeURIComponent(text)}=1`, JSON.stringify(body), {
        'x-request-id': encodeURIComponent(text),
      });
    }
    await setImmediate();
  } finally {
    setLogLevel('error');
    process.stdout.write = write;
  }
  expect(lines.length).toBeGreaterThanOrEqual(targets.length);
  for (const line of lines) {
    expect(line.endsWith('\n') && line.indexOf('\n') === line.length - 1).toBe(true);
    // eslint-disable-next-line no-control-regex
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u2028]|"message":"forged"/);
    expect(JSON.parse(line)).toMatchObject({ level: expect.any(String) });
  }
});

const BODIES = sizeOf({ ci: 5000, long: 100_000 });

it(`of ${BODIES} hostile bodies none is taken, none is a fault of the service, and nothing changes`, async () => {
  const dice = new Dice(SEED);
  const steady = new Steady();
  const small = Object.entries(REFUSED_JSON).filter(([name]) => !/thousand|megabyte|very many/.test(name));
  const counts: Record<string, number> = Object.fromEntries(small.map(([name]) => [name.slice(0, 3), 0]));
  const [refunds] = targets;
  const before = await door.holds();
  let bytes = 0;
  for (let made = 0; made < BODIES; made += 1) {
    if (refunds && dice.once(3)) {
      bytes += 1;
      await expectAnswer(refunds, `bytes ${made}`, changedBytes(JSON.stringify(refunds.body), dice), ANSWERS);
    } else {
      const [name, change] = dice.pick(small);
      const target = dice.pick(targets);
      await expectAnswer(target, `${name} ${made}`, change(JSON.stringify(target.body), dice), REFUSALS);
      counts[name.slice(0, 3)] = (counts[name.slice(0, 3)] ?? 0) + 1;
    }
    if (made === Math.floor(BODIES / 5)) steady.begin();
  }
  expect(await door.holds()).toEqual(before);
  steady.assertInherited();
  assertFired({ ...counts, bytes }, BODIES / 50);
  summary('JSON bodies', { ...counts, bytes, 'MB grown': steady.assertMemory() });
}, 900_000);
