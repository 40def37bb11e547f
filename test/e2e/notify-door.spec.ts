import { randomBytes } from 'node:crypto';
import { head, raw, type RawAnswer } from './support/raw-http.js';
import { type Json, type Merchant, Stack } from './support/stack.js';

/** The door WeChat calls at: how it is reached, and that its refusals tell nothing (design.md 6). */
let stack: Stack;
let merchant: Merchant;
let token: string;
beforeAll(async () => {
  stack = await Stack.start();
  merchant = await stack.merchant();
  const { notify_urls: urls } = await stack.ok('GET', `/v1/merchants/${merchant.mchId}`);
  token = new URL(String((urls as Json)['refund'])).pathname.split('/')[3] ?? '';
});
afterAll(() => stack.close());

const V2_FAIL = '<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[FAIL]]></return_msg></xml>';
const V3_FAIL = '{"code":"FAIL","message":"FAIL"}';
const FORM = {
  v2: { type: 'text/xml', body: V2_FAIL },
  v3: { type: 'application/json; charset=utf-8', body: V3_FAIL },
} as const;

const message = (): string =>
  `<xml><return_code>SUCCESS</return_code><appid>${merchant.appid}</appid><mch_id>${merchant.mchId}</mch_id><nonce_str>a</nonce_str><req_info>${randomBytes(64).toString('base64')}</req_info></xml>`;

/** Posts to a target exactly as it is written. */
function deliver(target: string, body: string, ...headers: string[]): Promise<RawAnswer> {
  const length = `Content-Length: ${body.length}`;
  return raw(
    stack.url,
    head(`POST ${target} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: close', length, ...headers) + body,
  );
}
const typeOf = ({ text }: RawAnswer): string => /^content-type: (.*)$/im.exec(text)?.[1]?.trim() ?? '';

const stored = async (): Promise<number> =>
  (await stack.database.query('SELECT 1 FROM notification WHERE mch_id = $1', [merchant.mchId])).rows.length;

describe('the door, however it is reached', () => {
  it.each<[string, () => string]>([
    ['by its own path', () => `/notify/wechat/${token}/refund`],
    ['with a query', () => `/notify/wechat/${token}/refund?a=b&a=c`],
    ['with a forbidden query', () => `/notify/wechat/${token}/refund?constructor=1`],
    ['with half a percent sign in the query', () => `/notify/wechat/${token}/refund?%zz`],
    ['with an encoded letter in its prefix', () => `/%6eotify/wechat/${token}/refund`],
    [
      'with every letter encoded',
      () =>
        `/${[...'notify'].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('')}/wechat/${token}/refund`,
    ],
    ['at another kind', () => `/notify/wechat/${token}/order`],
    ['at a kind in capitals', () => `/notify/wechat/${token}/REFUND`],
    ['at a token in capitals', () => `/notify/wechat/${token.toUpperCase()}/refund`],
    ['at a token that cannot be decoded', () => '/notify/wechat/%zz/refund'],
    ['at a token of bytes that are no text', () => '/notify/wechat/%ff%fe/refund'],
    ['at a token of 200 characters', () => `/notify/wechat/${'a'.repeat(200)}/refund`],
    ['at a token of 5000 characters', () => `/notify/wechat/${'a'.repeat(5000)}/refund`],
    ['at an empty token', () => '/notify/wechat//refund'],
    ['at a token with NUL', () => '/notify/wechat/%00/refund'],
    ['as a whole address', () => `http://127.0.0.1/notify/wechat/${token}/refund`],
  ])('refuses what it cannot believe in its own words: %s', async (_, target) => {
    for (const [form, type] of [
      ['v2', 'text/xml'],
      ['v3', 'application/json'],
    ] as const) {
      const answer = await deliver(target(), form === 'v2' ? message() : '{"id":"1"}', `Content-Type: ${type}`);
      expect([form, answer.status, typeOf(answer), answer.body]).toEqual([form, 401, FORM[form].type, FORM[form].body]);
      expect(answer.text).toMatch(/^cache-control: no-store\r$/im);
      expect(answer.text).toMatch(/^x-content-type-options: nosniff\r$/im);
    }
    expect(await stored()).toBe(0);
  });

  it.each([
    '/notify',
    '/notify/',
    '/notify/wechat',
    '/notify/wechat/',
    '/notify/wechat/x',
    '/Notify/wechat/x/refund',
    '//notify/wechat/x/refund',
    '/notify/../v1/refunds',
    '/%6eotify/wechat/%zz/refund',
  ])('has no neighbours: %s is refused', async (target) => {
    const answer = await deliver(target, message(), 'Content-Type: text/xml');
    expect([400, 401, 404, 415]).toContain(answer.status);
    expect(answer.text).not.toContain('SUCCESS');
  });

  it.each(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])('takes nothing by %s', async (method) => {
    const answer = await raw(
      stack.url,
      head(`${method} /notify/wechat/${token}/refund HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: close'),
    );
    expect([401, 404]).toContain(answer.status);
    expect(answer.text).not.toContain('SUCCESS');
  });
});

describe('the form of a refusal', () => {
  it.each<[string, keyof typeof FORM]>([
    ['application/json', 'v3'],
    ['Application/JSON', 'v3'],
    ['APPLICATION/JSON; charset=UTF-8', 'v3'],
    ['application/json;charset=gbk', 'v3'],
    ['text/xml', 'v2'],
    ['Text/XML; charset=utf-8', 'v2'],
    ['application/xml', 'v2'],
    ['application/x-www-form-urlencoded', 'v2'],
    ['multipart/form-data; boundary=x', 'v2'],
    ['nonsense', 'v2'],
    ['/', 'v2'],
    ['', 'v2'],
  ])('follows the content type %p', async (type, form) => {
    for (const body of [message(), '{"id":"1"}', '']) {
      const answer = await deliver(
        `/notify/wechat/${token}/refund`,
        body,
        ...(type === '' ? [] : [`Content-Type: ${type}`]),
      );
      expect([answer.status, typeOf(answer), answer.body]).toEqual([401, FORM[form].type, FORM[form].body]);
    }
  });
});

/** Everything a forger can try, and what a person of WeChat's would call it. */
const FORGED: readonly [string, () => Promise<RawAnswer>][] = [
  ['an unknown token', () => deliver(`/notify/wechat/${'0'.repeat(32)}/refund`, message())],
  ['no token', () => deliver('/notify/wechat/x/refund', message())],
  ['a kind that is none', () => deliver(`/notify/wechat/${token}/x`, message())],
  ['nothing', () => deliver(`/notify/wechat/${token}/refund`, '')],
  ['no XML', () => deliver(`/notify/wechat/${token}/refund`, 'hello')],
  ['half of the XML', () => deliver(`/notify/wechat/${token}/refund`, message().slice(0, -20))],
  ['a DOCTYPE', () => deliver(`/notify/wechat/${token}/refund`, `<!DOCTYPE x [<!ENTITY a "b">]>${message()}`)],
  [
    'another merchant',
    () => deliver(`/notify/wechat/${token}/refund`, message().replace(merchant.mchId, '1900000000')),
  ],
  ['no merchant', () => deliver(`/notify/wechat/${token}/refund`, message().replace(/<mch_id>.*<\/mch_id>/, ''))],
  ['no app', () => deliver(`/notify/wechat/${token}/refund`, message().replace(/<appid>.*<\/appid>/, ''))],
  ['another key', () => deliver(`/notify/wechat/${token}/refund`, message())],
  [
    'bytes of another length',
    () => deliver(`/notify/wechat/${token}/refund`, message().replace(/<req_info>..../, '<req_info>')),
  ],
  ['no base64', () => deliver(`/notify/wechat/${token}/refund`, message().replace(/<req_info>/, '<req_info>%%%%'))],
  ['no req_info', () => deliver(`/notify/wechat/${token}/refund`, message().replace(/<req_info>.*<\/req_info>/, ''))],
  ['a return_code FAIL', () => deliver(`/notify/wechat/${token}/refund`, message().replace('SUCCESS', 'FAIL'))],
  ['a refund at the payments', () => deliver(`/notify/wechat/${token}/payment`, message())],
  [
    'a payment without a sign',
    () => deliver(`/notify/wechat/${token}/payment`, message().replace(/<req_info>.*<\/req_info>/, '')),
  ],
  [
    'a payment with a wrong sign',
    () =>
      deliver(
        `/notify/wechat/${token}/payment`,
        message().replace(/<req_info>.*<\/req_info>/, `<sign>${'0'.repeat(32)}</sign>`),
      ),
  ],
  ['packed bytes', () => deliver(`/notify/wechat/${token}/refund`, message(), 'Content-Encoding: gzip')],
  [
    'bytes that are no text',
    () => deliver(`/notify/wechat/${token}/refund`, message().replace('<nonce_str>a', '<nonce_str>\u00ff')),
  ],
  ['v3 without a signature', () => deliver(`/notify/wechat/${token}/refund`, '{"id":"1"}')],
  [
    'v3 with a signature of nobody',
    () =>
      deliver(
        `/notify/wechat/${token}/refund`,
        '{"id":"1"}',
        'Wechatpay-Serial: PUB_KEY_ID_0',
        'Wechatpay-Nonce: a',
        `Wechatpay-Timestamp: ${Math.floor(Date.now() / 1000)}`,
        'Wechatpay-Signature: AAAA',
      ),
  ],
];

it('says the same to every forgery, byte for byte, and keeps none', async () => {
  const heads = new Set<string>();
  for (const [name, attempt] of FORGED) {
    const answer = await attempt();
    expect([name, answer.status, answer.body]).toEqual([name, 401, V2_FAIL]);
    const [outer = ''] = answer.text.split('\r\n\r\n');
    heads.add(outer.replace(/^(x-request-id|date): .*$/gim, '$1'));
  }
  expect([...heads]).toHaveLength(1);
  expect(await stored()).toBe(0);
});

it('writes one line per refusal, with its reason and nothing of the message', async () => {
  const mark = `mark${randomBytes(8).toString('hex')}`;
  const before = stack.instances[0]?.log.length ?? 0;
  await deliver(`/notify/wechat/${token}/refund?${mark}`, `<xml><a>${mark}</a></xml>`, `X-Mark: ${mark}`);
  const log = await stack.eventually(
    () => Promise.resolve(stack.instances[0]?.log.slice(before) ?? ''),
    (text) => text.includes('notice refused'),
  );
  expect(log.trim().split('\n')).toHaveLength(1);
  expect(JSON.parse(log)).toMatchObject({ level: 'warn', message: 'notice refused', reason: 'wrong_merchant' });
  expect(log).not.toContain(mark);
});
