import { createCipheriv, createHash } from 'node:crypto';
import { Secret } from '../../common/secret.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { NoticeUnreadable } from '../notice-unreadable.js';
import { openV2PaymentNotice, openV2RefundNotice, shownByNotice, shownPayment } from './notices.js';
import { openReqInfo, ReqInfoUnreadable } from './req-info.js';
import { sign } from './signature.js';

type Texts = Readonly<Record<string, string | undefined>>;
const KEY = '192006250b4c09247ec02edce69f6a2d';
const account = (current = KEY, previous: readonly string[] = []): MerchantAccount =>
  // Opening reads these two fields of an account and no other.
  ({
    mchId: '1900000001',
    apiV2Key: { current: new Secret(current), previous: previous.map((key) => new Secret(key)) },
  }) as unknown as MerchantAccount;

const xml = (root: string, fields: Texts): string =>
  `<${root}>${Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `<${name}>${value}</${name}>`)
    .join('')}</${root}>`;
function seal(text: string, key = KEY): string {
  const cipher = createCipheriv('aes-256-ecb', createHash('md5').update(key).digest('hex'), null);
  return Buffer.concat([cipher.update(text), cipher.final()]).toString('base64');
}

const INNER: Texts = {
  transaction_id: '42',
  out_trade_no: 'T1',
  refund_id: '50',
  out_refund_no: 'R1',
  total_fee: '1000',
  refund_fee: '300',
  refund_status: 'SUCCESS',
  success_time: '2026-01-31 08:00:00',
  refund_recv_accout: '支付用户零钱',
};
const innerOf = (change: Texts): string => xml('root', { ...INNER, ...change });
const OUTER: Texts = { return_code: 'SUCCESS', appid: 'wx1', mch_id: '1900000001', nonce_str: 'n' };
const notice = (change: Texts = {}, outer: Texts = {}): Buffer =>
  Buffer.from(xml('xml', { ...OUTER, req_info: seal(innerOf(change)), ...outer }));

const PAYMENT: Texts = {
  return_code: 'SUCCESS',
  result_code: 'SUCCESS',
  appid: 'wx1',
  mch_id: '1900000001',
  nonce_str: 'n',
  out_trade_no: 'T1',
  transaction_id: '42',
  total_fee: '1000',
  time_end: '20260131080000',
};
function payment(change: Texts = {}, key = KEY, type: 'MD5' | 'HMAC-SHA256' = 'HMAC-SHA256'): Buffer {
  const fields = Object.entries({ ...PAYMENT, ...change }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return Buffer.from(xml('xml', { ...Object.fromEntries(fields), sign: sign(new Map(fields), key, type) }));
}

const reasonOf = (open: () => unknown): string | null => {
  try {
    open();
    return null;
  } catch (error) {
    if (error instanceof NoticeUnreadable) return error.reason;
    throw error;
  }
};
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('a V2 refund notice', () => {
  it('shows the whole refund, its text and the key that tells it from others', () => {
    expect(openV2RefundNotice(notice(), account())).toEqual({
      version: 'v2',
      text: innerOf({}),
      dedupeKey: sha256(innerOf({})),
      shown: {
        status: 'succeeded',
        mchId: '1900000001',
        appid: 'wx1',
        outTradeNo: 'T1',
        transactionId: '42',
        outRefundNo: 'R1',
        refundId: '50',
        refundFen: 300,
        totalFen: 1000,
        userReceivedAccount: '支付用户零钱',
        succeededAt: '2026-01-31T08:00:00+08:00',
        wechatStatus: 'SUCCESS',
      },
    });
  });

  it.each([
    ['SUCCESS', 'succeeded', '2026-01-31T08:00:00+08:00'],
    ['PROCESSING', 'accepted', null],
    ['CHANGE', 'abnormal', null],
    ['REFUNDCLOSE', 'closed', null],
    ['FAIL', 'closed', null],
  ])('that says %s shows %s, with its time only when it succeeded', (refund_status, status, succeededAt) => {
    expect(openV2RefundNotice(notice({ refund_status }), account()).shown).toMatchObject({
      status,
      succeededAt,
      wechatStatus: refund_status,
    });
  });

  it('need not say when, nor where the money went', () => {
    const { shown } = openV2RefundNotice(notice({ success_time: undefined, refund_recv_accout: undefined }), account());
    expect(shown).toMatchObject({ userReceivedAccount: null, succeededAt: null });
  });

  it('opens under the current key and each previous one, and under no other', () => {
    const keys = ['a'.repeat(32), 'b'.repeat(32)];
    for (const key of [KEY, ...keys]) {
      const body = notice({}, { req_info: seal(innerOf({}), key) });
      expect(openV2RefundNotice(body, account(KEY, keys)).shown.outRefundNo).toBe('R1');
    }
    const other = notice({}, { req_info: seal(innerOf({}), 'c'.repeat(32)) });
    expect(reasonOf(() => openV2RefundNotice(other, account(KEY, keys)))).toBe('not_decryptable');
    expect(reasonOf(() => openV2RefundNotice(notice(), { ...account(), apiV2Key: null }))).toBe('no_key');
  });

  it.each<[string, Buffer, string]>([
    ['of another merchant', notice({}, { mch_id: '1900000002' }), 'wrong_merchant'],
    ['without a merchant', notice({}, { mch_id: undefined }), 'wrong_merchant'],
    ['without req_info', notice({}, { req_info: undefined }), 'wrong_kind'],
    ['without an app', notice({}, { appid: undefined }), 'malformed'],
    ['with return_code FAIL', notice({}, { return_code: 'FAIL' }), 'malformed'],
    ['that is no XML', Buffer.from('hello'), 'malformed'],
    ['with another root outside', Buffer.from(xml('root', { ...OUTER, req_info: seal(innerOf({})) })), 'malformed'],
    ['with another root inside', notice({}, { req_info: seal(xml('xml', INNER)) }), 'not_decryptable'],
    ['that is a payment', payment(), 'wrong_kind'],
  ])('%s is refused', (_, body, reason) => {
    expect(reasonOf(() => openV2RefundNotice(body, account()))).toBe(reason);
  });

  it.each(['transaction_id', 'out_trade_no', 'refund_id', 'out_refund_no', 'total_fee', 'refund_fee', 'refund_status'])(
    'without %s, or with another form of it, is refused',
    (name) => {
      for (const value of [undefined, '', ' ', '退款', 'x'.repeat(200)])
        expect(reasonOf(() => openV2RefundNotice(notice({ [name]: value }), account()))).toBe('malformed');
    },
  );

  it.each(['00', '01', '-1', '1.0', '1e3', '0x10', ' 1', '1 ', '1a', 'a1', '12345678901234', '１'])(
    'of %s fen is refused',
    (fee) => {
      expect(reasonOf(() => openV2RefundNotice(notice({ refund_fee: fee }), account()))).toBe('malformed');
    },
  );

  it.each(['0', '1', '10', '300', '9999999999999'])('of %s fen is read', (fee) => {
    expect(openV2RefundNotice(notice({ refund_fee: fee }), account()).shown.refundFen).toBe(Number(fee));
  });

  it.each(['transaction_id', 'out_trade_no', 'refund_id', 'out_refund_no'])(
    'with a line behind its %s is refused',
    (name) => {
      for (const value of [`${INNER[name]}\n`, `\n${INNER[name]}`, `${INNER[name]};`, `;${INNER[name]}`])
        expect(reasonOf(() => openV2RefundNotice(notice({ [name]: value }), account()))).toBe('malformed');
    },
  );

  it.each(['success_time', 'refund_recv_accout'])(
    'takes any text of 200 characters for %s, and no longer one',
    (name) => {
      const shown = (length: number) => () =>
        openV2RefundNotice(notice({ [name]: `\n${'x'.repeat(length - 1)}` }), account());
      expect([reasonOf(shown(200)), reasonOf(shown(201))]).toEqual([null, 'malformed']);
    },
  );

  it('numbers are as WeChat allows them: 32 characters of an order, with its signs', () => {
    for (const out_trade_no of ['A_-|*9', 'x'.repeat(32)])
      expect(openV2RefundNotice(notice({ out_trade_no }), account()).shown.outTradeNo).toBe(out_trade_no);
    for (const out_trade_no of ['x'.repeat(33), 'a@b', 'a b'])
      expect(reasonOf(() => openV2RefundNotice(notice({ out_trade_no }), account()))).toBe('malformed');
  });

  it('stored without an app is read again without one', () => {
    const fields = new Map(Object.entries(INNER) as [string, string][]);
    expect(shownByNotice(fields, '1', null)).toMatchObject({ mchId: '1', appid: null });
  });
});

describe('req_info', () => {
  it('opens to the bytes that were sealed, line ends in its base64 or not', () => {
    const text = 'x'.repeat(64);
    const sealed = seal(text);
    for (const spelling of [sealed, sealed.replace(/(.{20})/g, '$1\r\n')])
      expect(openReqInfo(spelling, KEY).toString()).toBe(text);
    expect(openReqInfo(seal(text, '钥匙'), '钥匙').toString()).toBe(text);
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['no base64', '%%%%'],
    ['base64 with junk', `${seal('a').slice(0, 4)}!${seal('a').slice(4)}`],
    ['base64 with blanks', ` ${seal('a')}`],
    ['base64url', '-_-_'.repeat(16)],
    ['half a block', Buffer.alloc(8).toString('base64')],
    ['a block and a half', Buffer.alloc(24).toString('base64')],
    ['a block of nothing', Buffer.alloc(16).toString('base64')],
    ['another key', seal('a', 'b'.repeat(32))],
  ])('that is %s does not open, and says no more than that', (_, sealed) => {
    expect(() => openReqInfo(sealed, KEY)).toThrow(new ReqInfoUnreadable());
    expect(new ReqInfoUnreadable()).toMatchObject({ name: 'ReqInfoUnreadable', message: 'req_info does not open' });
  });
});

describe('a V2 payment notice', () => {
  const SHOWN = {
    status: 'paid',
    refunded: false,
    mchId: '1900000001',
    appid: 'wx1',
    outTradeNo: 'T1',
    transactionId: '42',
    totalFen: 1000,
    paidAt: '2026-01-31T08:00:00+08:00',
    wechatStatus: 'SUCCESS',
  };

  it.each(['MD5', 'HMAC-SHA256'] as const)('signed by %s shows the whole payment', (type) => {
    const body = payment({}, KEY, type);
    expect(openV2PaymentNotice(body, account())).toEqual({
      version: 'v2',
      shown: SHOWN,
      text: body.toString(),
      dedupeKey: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it('has one dedupe key over all deliveries of it: nonce, sign and the order of the fields do not count', () => {
    const keyOf = (body: Buffer): string => openV2PaymentNotice(body, account()).dedupeKey;
    const { total_fee, ...rest } = PAYMENT;
    const moved = Object.entries({ total_fee, ...rest }).reverse() as [string, string][];
    const turned = Buffer.from(xml('xml', { ...Object.fromEntries(moved), sign: sign(new Map(moved), KEY, 'MD5') }));
    const first = keyOf(payment());
    expect([keyOf(payment({ nonce_str: 'm' })), keyOf(payment({}, KEY, 'MD5')), keyOf(turned)]).toEqual([
      first,
      first,
      first,
    ]);
    expect(keyOf(payment({ total_fee: '1001' }))).not.toBe(first);
    expect(keyOf(payment({ attach: 'x' }))).not.toBe(first);
  });

  it('opens under a previous key, and under no other', () => {
    const body = payment({}, 'b'.repeat(32));
    expect(openV2PaymentNotice(body, account(KEY, ['b'.repeat(32)])).shown).toEqual(SHOWN);
    expect(reasonOf(() => openV2PaymentNotice(body, account()))).toBe('bad_signature');
    expect(reasonOf(() => openV2PaymentNotice(body, { ...account(), apiV2Key: null }))).toBe('no_key');
  });

  it.each<[string, Buffer, string]>([
    ['of another merchant', payment({ mch_id: '1900000002' }), 'wrong_merchant'],
    ['with req_info', payment({ req_info: 'x' }), 'wrong_kind'],
    ['that is changed', Buffer.from(payment().toString().replace('1000', '1001')), 'bad_signature'],
    ['without a sign', Buffer.from(xml('xml', PAYMENT)), 'bad_signature'],
    ['with return_code FAIL', payment({ return_code: 'FAIL' }), 'malformed'],
    ['with result_code FAIL', payment({ result_code: 'FAIL' }), 'malformed'],
    ['with a time that is none', payment({ time_end: '20260231080000' }), 'malformed'],
    ['with a time too long', payment({ time_end: '202601310800001' }), 'malformed'],
    ['with a time behind a line', payment({ time_end: '\n20260131080000' }), 'malformed'],
    ['that is no XML', Buffer.from('{}'), 'malformed'],
  ])('%s is refused', (_, body, reason) => {
    expect(reasonOf(() => openV2PaymentNotice(body, account()))).toBe(reason);
  });

  it.each(['appid', 'out_trade_no', 'transaction_id', 'total_fee', 'time_end'])('without %s is refused', (name) => {
    for (const value of [undefined, '退款'])
      expect(reasonOf(() => openV2PaymentNotice(payment({ [name]: value }), account()))).toBe('malformed');
  });
});

describe('a payment from signed fields', () => {
  it('that is not paid shows no number and no time, and lacks what is not there', () => {
    const fields = new Map(Object.entries(PAYMENT) as [string, string][]);
    expect(shownPayment(fields, 'unpaid', true, 'NOTPAY')).toMatchObject({
      refunded: true,
      transactionId: null,
      paidAt: null,
      wechatStatus: 'NOTPAY',
    });
    expect(shownPayment(new Map(), 'paid', false, 'SUCCESS')).toEqual({
      status: 'paid',
      refunded: false,
      mchId: '',
      appid: null,
      outTradeNo: '',
      transactionId: null,
      totalFen: null,
      paidAt: null,
      wechatStatus: 'SUCCESS',
    });
  });
});
