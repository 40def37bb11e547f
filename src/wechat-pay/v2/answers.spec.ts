import type { Exchange } from '../connections.js';
import { judgeQuery, judgeSend, readAnswer, shownByQuery } from './answers.js';
import { V2_SEND_OUTCOMES } from './outcomes.js';
import { sign } from './signature.js';
import { writeXml } from './xml.js';

const KEY = 'InventedApiV2KeyForUnitTests0001';
const HEAD = { return_code: 'SUCCESS', appid: 'wx1', mch_id: '1900000001', nonce_str: 'n' };
const SHOWN = {
  ...HEAD,
  result_code: 'SUCCESS',
  out_trade_no: 'T000001',
  out_refund_no: 'R1',
  refund_id: '50',
  transaction_id: '42',
  refund_fee: '300',
  total_fee: '1000',
};

const answered = (body: string, status = 200): Exchange => ({
  answered: true,
  status,
  headers: {},
  body: Buffer.from(body),
  durationMs: 5,
});
const signed = (fields: Record<string, string>): Exchange => {
  const map = new Map(Object.entries(fields));
  return answered(writeXml(new Map([...map, ['sign', sign(map, KEY, 'HMAC-SHA256')]])));
};
const judged = (exchange: Exchange) => judgeSend(readAnswer(exchange, KEY, 'HMAC-SHA256'), 5);

describe('the answer to a refund request', () => {
  it('that is signed and SUCCESS twice shows the refund as accepted, never as done', () => {
    expect(judged(signed(SHOWN))).toMatchObject({
      outcome: 'shown',
      shown: { status: 'accepted', outRefundNo: 'R1', refundFen: 300, totalFen: 1000, refundId: '50' },
    });
  });

  it.each(Object.entries(V2_SEND_OUTCOMES))('%s, signed, is %s', (code, outcome) => {
    const exchange = signed({ ...HEAD, result_code: 'FAIL', err_code: code, err_code_des: 'text' });
    expect(judged(exchange)).toMatchObject({ outcome, code, message: 'text', shown: null });
  });

  it('holds the codes of the contract and no others', () => {
    const of = (outcome: string): string[] =>
      Object.entries(V2_SEND_OUTCOMES)
        .filter(([, other]) => other === outcome)
        .map(([code]) => code)
        .sort();
    expect(of('later')).toEqual(['BIZERR_NEED_RETRY', 'FREQUENCY_LIMITED', 'INVALID_REQ_TOO_MUCH', 'ORDER_NOT_READY']);
    expect(of('balance')).toEqual(['NOTENOUGH']);
    expect(of('configuration')).toEqual([
      'APPID_MCHID_NOT_MATCH',
      'APPID_NOT_EXIST',
      'CERT_ERROR',
      'MCHID_NOT_EXIST',
      'NOAUTH',
      'SIGNERROR',
    ]);
    expect(of('refused')).toEqual([
      'INVALID_REQUEST',
      'INVALID_TRANSACTIONID',
      'ORDERNOTEXIST',
      'PARAM_ERROR',
      'REQUIRE_POST_METHOD',
      'TRADE_OVERDUE',
      'USER_ACCOUNT_ABNORMAL',
      'XML_FORMAT_ERROR',
    ]);
    expect(of('differs')).toEqual(['REFUND_FEE_MISMATCH']);
    expect(of('unknown')).toEqual(['ERROR', 'SYSTEMERROR']);
  });

  it('asks for a pause after INVALID_REQ_TOO_MUCH only', () => {
    const pause = (code: string) => judged(signed({ ...HEAD, result_code: 'FAIL', err_code: code })).pauseSeconds;
    expect([pause('INVALID_REQ_TOO_MUCH'), pause('FREQUENCY_LIMITED')]).toEqual([60, 0]);
  });

  const { refund_fee: _fee, ...withoutFee } = SHOWN;
  const { result_code: _result, ...withoutResult } = SHOWN;
  it.each<[string, Exchange]>([
    ['no answer', { answered: false, written: true, reason: 'reset', durationMs: 1 }],
    ['a code nobody knows', signed({ ...HEAD, result_code: 'FAIL', err_code: 'NEVER_SEEN' })],
    ['no code', signed({ ...HEAD, result_code: 'FAIL' })],
    ['no result_code', signed(withoutResult)],
    ['no amount', signed(withoutFee)],
    ['an amount that is no number of fen', signed({ ...SHOWN, refund_fee: '3.00' })],
    ['a success that is not signed', answered(writeXml(new Map(Object.entries(SHOWN))))],
    [
      'a refusal that is not signed',
      answered(writeXml(new Map(Object.entries({ ...HEAD, result_code: 'FAIL', err_code: 'TRADE_OVERDUE' })))),
    ],
    ['a wrong signature', answered(writeXml(new Map(Object.entries({ ...SHOWN, sign: 'A'.repeat(64) }))))],
    ['an HTML page', answered('<html><body>502 Bad Gateway</body></html>')],
    ['nothing', answered('')],
    ['half an answer', answered('<xml><return_code>SUCC')],
    ['JSON', answered('{"code":"SUCCESS"}')],
    ['a redirect', answered('', 302)],
    ['a redirect with a good body', { ...signed(SHOWN), status: 307 } as Exchange],
    ['an answer over 256 KiB', answered(`<xml>${' '.repeat(256 * 1024)}</xml>`)],
  ])('%s is unknown', (_, exchange) => {
    expect(judged(exchange)).toMatchObject({ outcome: 'unknown', shown: null });
  });

  it.each([
    ['return_code FAIL', '<xml><return_code>FAIL</return_code><return_msg>签名错误</return_msg></xml>', 200],
    ['a page about a missing certificate', '<html><h1>400 No required SSL certificate was sent</h1></html>', 400],
    ['a page about a broken certificate', '<html><h1>400 The SSL certificate error</h1></html>', 400],
  ])('%s is our configuration', (_, body, status) => {
    expect(judged(answered(body, status))).toMatchObject({ outcome: 'configuration' });
  });

  it('keeps no sign and no nonce in the log', () => {
    const { fields } = judged(signed(SHOWN));
    expect(fields).toMatchObject({ refund_fee: '300' });
    expect(Object.keys(fields ?? {})).not.toEqual(expect.arrayContaining(['sign']));
    expect(Object.keys(fields ?? {})).not.toEqual(expect.arrayContaining(['nonce_str']));
  });
});

describe('the answer to a query', () => {
  const record = (n: number, status: string) => ({
    [`out_refund_no_${n}`]: `R${n}`,
    [`refund_id_${n}`]: `50${n}`,
    [`refund_fee_${n}`]: '100',
    [`refund_status_${n}`]: status,
  });
  const list = (...statuses: string[]): Record<string, string> => ({
    ...HEAD,
    result_code: 'SUCCESS',
    out_trade_no: 'T000001',
    transaction_id: '42',
    total_fee: '1000',
    refund_count: String(statuses.length),
    ...statuses.reduce((all, status, n) => ({ ...all, ...record(n, status) }), {}),
  });
  const asked = (fields: Record<string, string>, number: string) =>
    judgeQuery(readAnswer(signed(fields), KEY, 'HMAC-SHA256'), number, 5);

  it.each([
    ['SUCCESS', 'succeeded'],
    ['PROCESSING', 'accepted'],
    ['CHANGE', 'abnormal'],
    ['REFUNDCLOSE', 'closed'],
    ['FAIL', 'closed'],
  ])('%s shows the refund as %s', (word, status) => {
    expect(asked(list('PROCESSING', word), 'R1')).toMatchObject({
      outcome: 'shown',
      shown: { status, outRefundNo: 'R1' },
    });
  });

  it('that speaks of another number only shows that one, so that the ledger sees the difference', () => {
    expect(asked(list('SUCCESS'), 'R9')).toMatchObject({ outcome: 'shown', shown: { outRefundNo: 'R0' } });
  });

  it('not found is a signed REFUNDNOTEXIST and nothing else', () => {
    const refusal = (code: string) => ({ ...HEAD, result_code: 'FAIL', err_code: code });
    expect(asked(refusal('REFUNDNOTEXIST'), 'R1')).toMatchObject({ outcome: 'not_found' });
    for (const code of ['ORDERNOTEXIST', 'SYSTEMERROR', 'PARAM_ERROR']) {
      expect(asked(refusal(code), 'R1')).toMatchObject({ outcome: 'failed' });
    }
    const unsigned = answered(writeXml(new Map(Object.entries(refusal('REFUNDNOTEXIST')))));
    expect(judgeQuery(readAnswer(unsigned, KEY, 'HMAC-SHA256'), 'R1', 5)).toMatchObject({ outcome: 'failed' });
  });

  it('with a status nobody knows shows nothing', () => {
    expect(asked(list('HALFWAY'), 'R0')).toMatchObject({ outcome: 'failed' });
  });

  it('reads the time of success as Beijing time', () => {
    const fields = new Map<string, string>(
      Object.entries({ ...list('SUCCESS'), refund_success_time_0: '2026-01-01 12:05:06' }),
    );
    expect(shownByQuery(fields)[0]?.succeededAt).toBe('2026-01-01T12:05:06+08:00');
  });
});
