import { isPublicAddress } from './addresses.js';
import { AddressRefused, type Resolve, WebhookTargets } from './webhook-url.js';

const PUBLIC = '93.184.215.14';

/** Names of these tests; every other resolves to a public address, and `*.nowhere` not at all. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  'localhost.': ['127.0.0.1'],
  localhost: ['127.0.0.1', '::1'],
  'rebound.example': ['10.0.0.1'],
  'mixed-first.example': [PUBLIC, '127.0.0.1'],
  'mixed-aaaa.example': [PUBLIC, 'fd00::1'],
  'mixed-a.example': ['2606:2800:220:1::1', '169.254.169.254'],
  'both.example': [PUBLIC, '2606:2800:220:1::1'],
  'mapped.example': ['::ffff:10.0.0.1'],
  'metadata.example': ['169.254.169.254'],
  'empty.example': [],
};

const resolve: Resolve = (hostname) => {
  if (hostname.endsWith('.nowhere')) return Promise.reject(new Error('ENOTFOUND'));
  const addresses = NAMES[hostname] ?? [PUBLIC];
  return Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })));
};

const strict = new WebhookTargets(false, resolve);
const development = new WebhookTargets(true, resolve);

/** Faults S16 and S17 as URLs; the second is a word of the reason. */
const REFUSED: readonly (readonly [url: string, reason: string])[] = [
  ['https://127.0.0.1/', 'public ones only'],
  ['https://127.1/', 'public ones only'],
  ['https://2130706433/', 'public ones only'],
  ['https://0x7f000001/', 'public ones only'],
  ['https://0x7f.0.0.1/', 'public ones only'],
  ['https://0177.0.0.1/', 'public ones only'],
  ['https://017700000001/', 'public ones only'],
  ['https://①②⑦.⓪.⓪.①/', 'public ones only'],
  ['https://１２７.０.０.１/', 'public ones only'],
  ['https://127。0。0。1/', 'public ones only'],
  ['https://0.0.0.0/', 'public ones only'],
  ['https://0/', 'public ones only'],
  ['https://10.1.2.3/', 'public ones only'],
  ['https://172.16.0.1/', 'public ones only'],
  ['https://172.31.255.255/', 'public ones only'],
  ['https://192.168.1.1/', 'public ones only'],
  ['https://169.254.169.254/latest/meta-data/', 'public ones only'],
  ['https://100.64.0.1/', 'public ones only'],
  ['https://100.127.255.255/', 'public ones only'],
  ['https://198.18.0.1/', 'public ones only'],
  ['https://198.19.255.255/', 'public ones only'],
  ['https://192.0.0.8/', 'public ones only'],
  ['https://192.0.2.1/', 'public ones only'],
  ['https://198.51.100.1/', 'public ones only'],
  ['https://203.0.113.1/', 'public ones only'],
  ['https://192.88.99.1/', 'public ones only'],
  ['https://224.0.0.1/', 'public ones only'],
  ['https://240.0.0.1/', 'public ones only'],
  ['https://255.255.255.255/', 'public ones only'],
  ['https://[::1]/', 'public ones only'],
  ['https://[::]/', 'public ones only'],
  ['https://[::127.0.0.1]/', 'public ones only'],
  ['https://[::ffff:127.0.0.1]/', 'public ones only'],
  ['https://[::ffff:7f00:1]/', 'public ones only'],
  ['https://[::ffff:10.0.0.1]/', 'public ones only'],
  ['https://[0:0:0:0:0:ffff:a9fe:a9fe]/', 'public ones only'],
  ['https://[64:ff9b::127.0.0.1]/', 'public ones only'],
  ['https://[64:ff9b::a9fe:a9fe]/', 'public ones only'],
  ['https://[64:ff9b:1::1]/', 'public ones only'],
  ['https://[2002:7f00:1::]/', 'public ones only'],
  ['https://[2002:a9fe:a9fe::1]/', 'public ones only'],
  ['https://[2001::1]/', 'public ones only'],
  ['https://[2001:db8::1]/', 'public ones only'],
  ['https://[3fff::1]/', 'public ones only'],
  ['https://[fd00::1]/', 'public ones only'],
  ['https://[fc00::1]/', 'public ones only'],
  ['https://[fe80::1]/', 'public ones only'],
  ['https://[fec0::1]/', 'public ones only'],
  ['https://[ff02::1]/', 'public ones only'],
  ['https://[100::1]/', 'public ones only'],
  ['https://localhost/', 'public ones only'],
  ['https://localhost./', 'public ones only'],
  ['https://LOCALHOST/', 'public ones only'],
  ['https://rebound.example/', 'public ones only'],
  ['https://mixed-first.example/', 'public ones only'],
  ['https://mixed-aaaa.example/', 'public ones only'],
  ['https://mixed-a.example/', 'public ones only'],
  ['https://mapped.example/', 'public ones only'],
  ['https://empty.example/', 'public ones only'],
  ['https://gone.nowhere/', 'public ones only'],
  ['https://user@shop.example/', 'user or password'],
  ['https://user:word@shop.example/', 'user or password'],
  ['https://shop.example@127.0.0.1/', 'user or password'],
  ['https://shop.example#@127.0.0.1/', 'fragment'],
  ['https://shop.example/#x', 'fragment'],
  ['https://shop.example/#', 'fragment'],
  ['https://shop.example:22/', 'port'],
  ['https://shop.example:25/', 'port'],
  ['https://shop.example:5432/', 'port'],
  ['https://shop.example:80/', 'port'],
  ['https://shop.example:444/', 'port'],
  ['http://shop.example/', 'https://'],
  ['http://shop.example:443/', 'https://'],
  ['ftp://shop.example/', 'https://'],
  ['file:///etc/passwd', 'https://'],
  ['gopher://shop.example/', 'https://'],
  ['data:text/plain,x', 'https://'],
  ['//shop.example/', 'not a URL'],
  ['shop.example', 'not a URL'],
  ['https://', 'not a URL'],
  ['https://[::1', 'not a URL'],
  ['https://[fe80::1%25eth0]/', 'not a URL'],
  ['https://256.1.1.1/', 'not a URL'],
  ['', 'not a URL'],
];

const ALLOWED = [
  'https://shop.example/',
  'https://shop.example/hooks?shop=7',
  'https://shop.example:443/x',
  'https://shop.example:8443/x',
  'https://both.example/',
  `https://${PUBLIC}/`,
  'https://[2606:2800:220:1:248:1893:25c8:1946]/',
  'https://172.15.255.255/',
  'https://172.32.0.1/',
  'https://100.128.0.1/',
  'https://11.0.0.1/',
  'https://退款.example/',
];

describe('a URL that events may not go to', () => {
  it.each(REFUSED)('%s is refused at save: %s', async (url, reason) => {
    expect(await strict.refusalOf(url)).toContain(reason);
  });

  const loopback = /mixed-first|127\.0\.0\.1|①|１|127|2130706433|0x7f|017|localhost\/|LOCALHOST|\[::1\]|localhost\.\//;
  it.each(REFUSED.filter(([url]) => !loopback.test(url)))(
    '%s is refused with the development switch too',
    async (url) => {
      expect(await development.refusalOf(url)).not.toBeNull();
    },
  );
});

it.each(ALLOWED)('%s is a place for events', async (url) => {
  expect(await strict.refusalOf(url)).toBeNull();
});

describe('the development switch', () => {
  it.each(['http://127.0.0.1:3001/x', 'http://localhost:8080/', 'https://[::1]:9000/', 'https://127.0.0.2/'])(
    'lets %s pass, which is refused without it',
    async (url) => {
      expect(await development.refusalOf(url)).toBeNull();
      expect(await strict.refusalOf(url)).not.toBeNull();
    },
  );

  it.each([
    'http://shop.example/',
    'https://shop.example:3001/',
    'http://10.0.0.1:3001/',
    'https://[::ffff:127.0.0.1]/',
    'https://[64:ff9b::127.0.0.1]/',
    'https://[2002:7f00:1::]/',
    'http://user@127.0.0.1:3001/',
    'https://rebound.example/',
  ])('lets nothing else pass: %s', async (url) => {
    expect(await development.refusalOf(url)).not.toBeNull();
  });
});

describe('a connection', () => {
  it('uses every address of a host, if all of them are public', async () => {
    expect(await strict.addressesOf('both.example')).toHaveLength(2);
  });

  it.each(['mixed-first.example', 'mixed-aaaa.example', 'mixed-a.example', 'rebound.example', '127.0.0.1', '::1'])(
    'to %s is refused',
    async (hostname) => {
      await expect(strict.addressesOf(hostname)).rejects.toThrow(AddressRefused);
    },
  );

  it('to a name that was public when its URL was saved and is private now is refused', async () => {
    const answers = [[PUBLIC], ['192.168.0.10']];
    const rebinding = new WebhookTargets(false, () =>
      Promise.resolve((answers.shift() ?? []).map((address) => ({ address, family: 4 }))),
    );
    expect(await rebinding.refusalOf('https://shop.example/')).toBeNull();
    await expect(rebinding.addressesOf('shop.example')).rejects.toThrow(AddressRefused);
  });
});

it.each(['', 'shop.example', '127.0.0.1 ', '0127.0.0.1', '1.2.3', '::g', '2606:4700::1%eth0', 'fe80::1%1'])(
  'text that is no plain address is never public: %p',
  (text) => {
    expect(isPublicAddress(text)).toBe(false);
  },
);
