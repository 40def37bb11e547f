import { createHash, createHmac } from 'node:crypto';
import { type Json, type Merchant, Stack } from './support/stack.js';
import { type KeyedMerchant, keyedMerchant } from './support/v2-notices.js';

/** What becomes of an order in minutes, hours and days, on a database clock that the test moves. One stack, since its time is one. */
let stack: Stack;
let offsetSeconds = 0;
beforeAll(async () => {
  stack = await Stack.start();
});
afterAll(() => stack.close());

async function forward(seconds: number): Promise<void> {
  offsetSeconds += seconds;
  await stack.shiftClock(`${offsetSeconds} seconds`);
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const wishFor = ({ appid }: Merchant): Json => ({ appid, amount: 500, description: 'x', openid: 'o' });
const made = (merchant: Merchant): Promise<Json> => stack.ok('POST', '/v1/orders', wishFor(merchant));
const now = (order: Json): Promise<Json> => stack.ok('GET', `/v1/orders/${String(order['id'])}`);

async function asked(order: Json): Promise<number> {
  const { requests } = (await stack.control('GET', '/ledger')) as { requests: Json[] };
  return requests.filter((row) => row['call'] === 'orderquery' && row['out_trade_no'] === order['out_trade_no']).length;
}

/** Seconds from the order's making until WeChat is asked next; null when it is asked no more. */
async function nextAfter(order: Json): Promise<number | null> {
  const { rows } = await stack.database.query<{ seconds: string | null }>(
    'SELECT extract(epoch FROM next_query_at - created_at) AS seconds FROM payment_order WHERE out_trade_no = $1',
    [order['out_trade_no']],
  );
  const seconds = rows[0]?.seconds ?? null;
  return seconds === null ? null : Number(seconds);
}

describe('an order that is not paid', () => {
  it('is asked for after 1, 5, 15 minutes, an hour, then every 6 hours, and no more after 7 days', async () => {
    const order = await made(await stack.merchant({ simulator: { mute_notices: true } }));
    const ages = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 7 * HOUR, 13 * HOUR, 19 * HOUR];
    let age = 0;
    for (const [place, due] of ages.entries()) {
      // Some real seconds pass as well.
      const next = Number(await nextAfter(order));
      expect([due, next >= due - 1, next < due + 40]).toEqual([due, true, true]);
      expect(await asked(order)).toBe(place);
      await forward(next - age + 1);
      age = next + 1;
      expect(
        await stack.eventually(
          () => asked(order),
          (count) => count > place,
        ),
      ).toBe(place + 1);
      await stack.eventually(
        () => nextAfter(order),
        (value) => value !== next,
      );
    }
    await forward(7 * DAY - age + 1);
    expect(
      await stack.eventually(
        () => nextAfter(order),
        (next) => next === null,
      ),
    ).toBeNull();
    expect(await now(order)).toMatchObject({ status: 'created', amount_paid: 0 });
    const last = await asked(order);
    expect(last).toBe(ages.length + 1);
    await forward(2 * DAY);
    const later = await made(await stack.merchant({ simulator: { mute_notices: true } }));
    await forward(MINUTE + 1);
    expect(
      await stack.eventually(
        () => asked(later),
        (count) => count > 0,
      ),
    ).toBe(1);
    expect(await asked(order)).toBe(last);
  });

  it('and that WeChat no longer knows after 7 days is closed', async () => {
    const merchant = await stack.merchant({ simulator: { mute_notices: true } });
    const order = await made(merchant);
    await stack.fault({
      call: 'orderquery',
      fault: 'error',
      code: 'ORDERNOTEXIST',
      mch_id: merchant.mchId,
      times: null,
    });
    await forward(MINUTE + 1);
    await stack.eventually(
      () => asked(order),
      (count) => count > 0,
    );
    expect(await now(order)).toMatchObject({ status: 'created' });
    await forward(7 * DAY);
    expect(
      await stack.eventually(
        () => now(order),
        ({ status }) => status === 'closed',
      ),
    ).toMatchObject({
      status: 'closed',
    });
  });

  it('is found paid with a refund made in the merchant platform, which is taken in', async () => {
    const merchant = await stack.merchant({ simulator: { mute_notices: true } });
    const order = await made(merchant);
    const number = { mch_id: merchant.mchId, out_trade_no: order['out_trade_no'] };
    await stack.control('POST', '/payments', number);
    const { out_refund_no: outside } = await stack.control('POST', '/refunds', { ...number, amount: 120 });
    await forward(MINUTE + 1);
    const paid = await stack.eventually(
      () => now(order),
      ({ amount_refunded: refunded }) => refunded === 120,
    );
    expect(paid).toMatchObject({ status: 'paid', verified: true, amount_paid: 500, amount_refunded: 120 });
    const { data } = await stack.ok('GET', `/v1/refunds?order=${String(order['id'])}`);
    expect(data).toEqual([expect.objectContaining({ out_refund_no: outside, amount: 120, source: 'external' })]);
    expect(await nextAfter(order)).toBeNull();
  });
});

/** The sign over what wx.requestPayment is given, by the kind it names. */
function paySignOf(merchant: KeyedMerchant, payment: Record<string, string>): string {
  const { paySign: _, ...fields } = payment;
  const text = Object.entries({ ...fields, appId: merchant.appid })
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
  const whole = `${text}&key=${merchant.key}`;
  const hash = fields['signType'] === 'MD5' ? createHash('md5') : createHmac('sha256', merchant.key);
  return hash.update(whole).digest('hex').toUpperCase();
}

describe('a prepay_id', () => {
  it.each([
    ['HMAC-SHA256', 'MD5'],
    ['MD5', 'HMAC-SHA256'],
  ])(
    'asked for with %s is signed with it while it lives, though the merchant has gone over to %s',
    async (before, after) => {
      const merchant = await keyedMerchant(stack, { service: { sign_type: before } });
      const wish = { ...wishFor(merchant), out_trade_no: `T${merchant.mchId}${before.slice(0, 3)}` };
      const payment = async (): Promise<Record<string, string>> => {
        const { payment: given } = (await stack.ok('POST', '/v1/orders', wish)) as { payment: Record<string, string> };
        expect(given['paySign']).toBe(paySignOf(merchant, given));
        return given;
      };
      const first = await payment();
      expect(first['signType']).toBe(before);
      await stack.ok('PATCH', `/v1/merchants/${merchant.mchId}`, { sign_type: after });
      expect(await payment()).toMatchObject({ signType: before, package: first['package'] });
      await forward(2 * HOUR + 1);
      expect(await payment()).toMatchObject({ signType: after });
      expect((await payment())['signType']).toBe(after);
    },
  );
});
