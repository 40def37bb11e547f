import { createCipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Secret } from '../../common/secret.js';
import type { MerchantAccount } from '../../merchants/merchant-account.js';
import { openV3PaymentNotice, openV3RefundNotice, shownByV3Notice } from './notices.js';

interface Vector {
  readonly name: string;
  readonly kind: string;
  readonly inputs: { readonly api_v3_key: string; readonly body: string };
}
const { vectors } = JSON.parse(
  readFileSync(new URL('../../../test/vectors/vectors.json', import.meta.url), 'utf8'),
) as {
  vectors: Vector[];
};
const KEY = 'SyntheticApiV3KeyForUnitTests001';
const account = (change: object = {}): MerchantAccount =>
  // Opening reads these two fields of an account and no other.
  ({
    mchId: '1900000001',
    apiV3Key: { current: new Secret(KEY), previous: [] },
    ...change,
  }) as unknown as MerchantAccount;
const vector = (name: string): Buffer => Buffer.from(vectors.find((entry) => entry.name === name)?.inputs.body ?? '');

const CONTENT = {
  mchid: '1900000001',
  transaction_id: '42',
  out_trade_no: 'T000001',
  refund_id: '50',
  out_refund_no: 'R1',
  refund_status: 'SUCCESS',
  success_time: '2026-01-01T12:05:06+08:00',
  user_received_account: '零钱',
  amount: { total: 1000, refund: 300, payer_total: 1000, payer_refund: 300 },
};
const PAYMENT = {
  mchid: '1900000001',
  appid: 'wx1',
  out_trade_no: 'T000001',
  transaction_id: '42',
  trade_state: 'SUCCESS',
  success_time: '2026-01-01T12:05:06+08:00',
  amount: { total: 1000, payer_total: 1000 },
  payer: { openid: 'o' },
};

function sealed(content: unknown, type: 'refund' | 'transaction', tagBytes = 16): object {
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(KEY), Buffer.from('fdasflkja484'), { authTagLength: 16 });
  cipher.setAAD(Buffer.from('aad'));
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  const body = Buffer.concat([cipher.update(text), cipher.final()]);
  const ciphertext = Buffer.concat([body, cipher.getAuthTag().subarray(0, tagBytes)]).toString('base64');
  return {
    original_type: type,
    algorithm: 'AEAD_AES_256_GCM',
    ciphertext,
    associated_data: 'aad',
    nonce: 'fdasflkja484',
  };
}
const envelope = (resource: object, change: object = {}): Buffer =>
  Buffer.from(
    JSON.stringify({
      id: 'EV-1',
      event_type: 'REFUND.SUCCESS',
      resource_type: 'encrypt-resource',
      resource,
      ...change,
    }),
  );
const refund = (content: unknown, change: object = {}): Buffer => envelope(sealed(content, 'refund'), change);
const payment = (content: unknown, change: object = {}): Buffer =>
  envelope(sealed(content, 'transaction'), { event_type: 'TRANSACTION.SUCCESS', ...change });

describe('a v3 refund notice', () => {
  it.each([
    ['syn-v3-refund-notify-success', 'succeeded', '2026-01-01T12:05:06+08:00'],
    ['syn-v3-refund-notify-abnormal', 'abnormal', null],
    ['syn-v3-refund-notify-closed-empty-aad', 'closed', null],
  ])('%s opens as %s', (name, status, succeededAt) => {
    expect(openV3RefundNotice(vector(name), account())).toMatchObject({
      version: 'v3',
      dedupeKey: 'EV-2026010112050600001',
      shown: { status, succeededAt, mchId: '1900000001', appid: null, refundFen: 990, totalFen: 1990 },
    });
  });

  it('opens with a previous key too', () => {
    const keys = { current: new Secret('x'.repeat(32)), previous: [new Secret('y'.repeat(32)), new Secret(KEY)] };
    expect(openV3RefundNotice(refund(CONTENT), account({ apiV3Key: keys }))).toMatchObject({
      shown: { refundFen: 300 },
    });
  });

  it.each<[string, Buffer, string]>([
    ['for a partner', vector('syn-v3-refund-notify-partner-success'), 'wrong_merchant'],
    ['of another merchant', refund({ ...CONTENT, mchid: '1900000002' }), 'wrong_merchant'],
    ['of a payment', payment(PAYMENT), 'wrong_kind'],
    ['that is no JSON', Buffer.from('{"id":'), 'malformed'],
    ['with a doubled key', Buffer.from('{"id":"1","id":"2"}'), 'malformed'],
    [
      'with an algorithm of its own',
      refund(CONTENT, { resource: { ...sealed(CONTENT, 'refund'), algorithm: 'NONE' } }),
      'malformed',
    ],
    ['with a tag of 4 bytes', envelope(sealed(CONTENT, 'refund', 4)), 'not_decryptable'],
    ['with a tag of 12 bytes', envelope(sealed(CONTENT, 'refund', 12)), 'not_decryptable'],
    ['whose content has a doubled key', refund('{"mchid":"1900000001","mchid":"1900000001"}'), 'malformed'],
    ['whose content is a list', refund('[1]'), 'malformed'],
    ['that is a list', Buffer.from('[]'), 'malformed'],
    ['whose amounts are a list', refund({ ...CONTENT, amount: [] }), 'malformed'],
    ['whose event says otherwise', refund({ ...CONTENT, refund_status: 'CLOSED' }), 'events_disagree'],
    ['whose event is unknown', refund(CONTENT, { event_type: 'REFUND.DONE' }), 'events_disagree'],
    ['whose event every object inherits', refund(CONTENT, { event_type: 'constructor' }), 'events_disagree'],
    ['with PROCESSING inside', refund({ ...CONTENT, refund_status: 'PROCESSING' }), 'events_disagree'],
    ['with an amount as text', refund({ ...CONTENT, amount: { total: 1000, refund: '300' } }), 'malformed'],
    ['with an amount of nothing', refund({ ...CONTENT, amount: { total: 1000, refund: 0 } }), 'malformed'],
    ['without an amount', refund({ ...CONTENT, amount: undefined }), 'malformed'],
    ['without a refund_id', refund({ ...CONTENT, refund_id: undefined }), 'malformed'],
    ['with a number that is none', refund({ ...CONTENT, out_refund_no: 'R 1' }), 'malformed'],
  ])('%s is refused', (_, raw, reason) => {
    expect(() => openV3RefundNotice(raw, account())).toThrow(`notice refused: ${reason}`);
  });

  it('of a merchant without an APIv3 key is refused', () => {
    expect(() => openV3RefundNotice(refund(CONTENT), account({ apiV3Key: null }))).toThrow('no_key');
  });

  it('cut anywhere is refused', () => {
    const raw = refund(CONTENT);
    for (let bytes = 0; bytes < raw.length; bytes += 1)
      expect(() => openV3RefundNotice(raw.subarray(0, bytes), account())).toThrow('notice refused');
  });
});

describe('a v3 payment notice', () => {
  it('opens', () => {
    expect(openV3PaymentNotice(payment(PAYMENT), account())).toMatchObject({
      version: 'v3',
      shown: { status: 'paid', appid: 'wx1', transactionId: '42', totalFen: 1000, paidAt: PAYMENT.success_time },
    });
  });

  it.each<[string, Buffer, string]>([
    ['of a refund', refund(CONTENT), 'wrong_kind'],
    ['that is not paid', payment({ ...PAYMENT, trade_state: 'NOTPAY' }), 'malformed'],
    ['that was refunded', payment({ ...PAYMENT, trade_state: 'REFUND' }), 'events_disagree'],
    ['with another event', payment(PAYMENT, { event_type: 'TRANSACTION.FAIL' }), 'events_disagree'],
    ['without an amount', payment({ ...PAYMENT, amount: {} }), 'malformed'],
    ['without a transaction_id', payment({ ...PAYMENT, transaction_id: undefined }), 'malformed'],
    ['without a time', payment({ ...PAYMENT, success_time: 'yesterday' }), 'malformed'],
    ['of another merchant', payment({ ...PAYMENT, mchid: '1' }), 'wrong_merchant'],
  ])('%s is refused', (_, raw, reason) => {
    expect(() => openV3PaymentNotice(raw, account())).toThrow(`notice refused: ${reason}`);
  });
});

describe('stored v3 content', () => {
  it.each([null, undefined, 'x', 1, [], [CONTENT]])('that is %p shows no refund', (content) => {
    expect(() => shownByV3Notice(content, '1')).toThrow('notice refused: malformed');
  });
});
