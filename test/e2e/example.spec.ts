import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { clientOf, look, nextOf, type Refund, refund } from '../../examples/mini-program-backend/refunds.js';
import { freePort, type Merchant, type Order, Stack, unique } from './support/stack.js';

const ROOT = new URL('../../', import.meta.url).pathname;

it('the types of the example are those of openapi.json (npm run example:types writes them)', () => {
  const bin = `${ROOT}node_modules/openapi-typescript/bin/cli.js`;
  const made = execFileSync(process.execPath, [bin, `${ROOT}openapi.json`], { encoding: 'utf8', cwd: ROOT });
  expect(readFileSync(`${ROOT}examples/mini-program-backend/api.d.ts`, 'utf8')).toBe(made);
});

describe('a mini-program backend that uses the example', () => {
  let stack: Stack;
  let merchant: Merchant;
  let order: Order;
  let client: ReturnType<typeof clientOf>;
  beforeAll(async () => {
    stack = await Stack.start();
    merchant = await stack.merchant({ simulator: { settle_after_ms: 0 }, service: { refund_notify: 'apply' } });
    order = await stack.paidOrder(merchant, 1000);
    const key = await stack.ok('POST', '/v1/api_keys', { name: 'shop', role: 'operator', appids: [merchant.appid] });
    client = clientOf(stack.url, String(key['key']));
  });
  afterAll(() => stack.close());

  const wish = (amount: number, number = `R${unique()}`): Parameters<typeof refund>[1] => ({
    out_trade_no: order.outTradeNo,
    amount,
    out_refund_no: number,
    reason: '商品售罄',
  });

  it('refunds once however often it asks, and tells the customer when the money is back', async () => {
    const wanted = wish(380);
    const first = await refund(client, wanted);
    const again = await refund(client, wanted);
    const id = 'refund' in first ? first.refund.id : '';
    expect(first.do).toBe('wait');
    if (again.do === 'wait') expect(again.refund.id).toBe(id);
    await stack.until(id, 'succeeded');
    expect(await look(client, id)).toEqual({
      do: 'tell_customer',
      text: expect.stringContaining('¥3.80 已退回') as string,
    });
    expect(await stack.accepted(wanted.out_refund_no)).toHaveLength(1);
  });

  it('knows what to do with each refusal', async () => {
    const used = wish(1);
    await refund(client, used);
    const other = clientOf(stack.url, 'none');
    expect((await refund(client, wish(100_000))).do).toBe('tell_customer');
    expect((await refund(client, { ...used, amount: 2 })).do).toBe('repair_program');
    expect((await refund(client, { ...wish(1), out_trade_no: `T${unique()}` })).do).toBe('repair_program');
    expect((await refund(client, wish(-1))).do).toBe('repair_program');
    expect((await refund(other, wish(1))).do).toBe('call_operator');
    expect((await look(client, `re_${'0'.repeat(32)}`)).do).toBe('repair_program');
  });

  it('calls an operator where a service does not answer at all', async () => {
    const nobody = clientOf(`http://127.0.0.1:${await freePort()}`, 'none');
    expect(await refund(nobody, wish(1))).toEqual({ do: 'call_operator', text: 'the refund service does not answer' });
  });

  it.each([
    ['pending', 'wait'],
    ['processing', 'wait'],
    ['requires_action', 'call_operator'],
    ['succeeded', 'tell_customer'],
    ['failed', 'call_operator'],
    ['canceled', 'tell_customer'],
  ] as const)('with a refund that is %s does %s', (status, wanted) => {
    expect(nextOf({ id: 're_1', status, state: 'queued', amount: 5, failure: null } as Refund).do).toBe(wanted);
  });
});
