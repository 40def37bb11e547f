import type { Exchange } from '../connections.js';
import { factsOf, judgeQuery, judgeSend, readAnswer, type Reading, shownByQuery } from './answers.js';
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

describe('what is read from a V2 answer before anything in it is believed', () => {
  const read = (exchange: Exchange): Reading => readAnswer(exchange, KEY, 'HMAC-SHA256');
  const nothing = (code: string | null, message: string): Reading => ({ kind: 'nothing', code, message });
  const turnedAway = (code: string, message: string, fields: object | null): object => ({
    kind: 'turned_away',
    code,
    message,
    fields,
  });
  const page = (text: string): string => `<html><body>${text}</body></html>`;

  it.each<[string, Exchange, Reading]>([
    ['nothing came', { answered: false, written: true, reason: 'reset', durationMs: 1 }, nothing(null, 'reset')],
    ['299 and no XML', answered('x', 299), nothing('http_299', 'not readable')],
    ['300', { ...signed(SHOWN), status: 300 } as Exchange, nothing('http_300', 'a redirect, not followed')],
    ['399', answered('x', 399), nothing('http_399', 'a redirect, not followed')],
    ['400 and no XML', answered('x', 400), nothing('http_400', 'not readable')],
    ['a page', answered(page('502'), 502), nothing('http_502', 'an HTML page')],
    ['a page behind blanks', answered(` \n${page('502')}`, 502), nothing('http_502', 'an HTML page')],
    ['a page with its type', answered(`<!DOCTYPE html>${page('502')}`, 502), nothing('http_502', 'an HTML page')],
    ['a page behind a text', answered(`x${page('SSL certificate')}`, 400), nothing('http_400', 'not readable')],
    [
      'a wrong sign',
      answered(writeXml(new Map(Object.entries({ ...SHOWN, sign: 'A' })))),
      nothing('bad_sign', 'the sign does not verify'),
    ],
    ['no return_code', signed({ a: 'b' }), nothing(null, 'no return_code')],
    ['another return_code', signed({ ...SHOWN, return_code: 'OK' }), nothing(null, 'no return_code')],
    ['another result_code', signed({ ...HEAD, result_code: 'OK', err_code: 'X' }), nothing(null, 'no result_code')],
  ])('%s', (_, exchange, reading) => {
    expect(read(exchange)).toEqual(reading);
  });

  it('is a refusal of the front server when it is a page about the certificate', () => {
    expect(read(answered(page('No required SSL certificate was sent'), 400))).toEqual(
      turnedAway('certificate_page', 'a page about the client certificate', null),
    );
  });

  it('is turned away by return_code FAIL, with its message if there is one', () => {
    for (const message of ['签名错误', undefined]) {
      const fields = { return_code: 'FAIL', ...(message !== undefined && { return_msg: message }) };
      const answer = read(answered(writeXml(new Map(Object.entries(fields)))));
      expect(answer).toEqual(turnedAway('return_fail', message ?? '', new Map(Object.entries(fields))));
    }
  });

  it('may be longer than a notice', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`field_${n}`, 'x'.repeat(100)]));
    expect(read(signed({ ...SHOWN, ...many })).kind).toBe('success');
  });

  it('goes into the call log without sign and nonce, whatever it was', () => {
    const facts = (exchange: Exchange): object => factsOf(read(exchange), 7);
    const refusal = { ...HEAD, result_code: 'FAIL', err_code: 'X', err_code_des: 'why' };
    const { nonce_str: _, ...head } = HEAD;
    expect(facts(answered('x'))).toEqual({ code: 'http_200', message: 'not readable', fields: null, durationMs: 7 });
    expect(facts(signed(refusal))).toEqual({
      code: 'X',
      message: 'why',
      fields: { ...head, result_code: 'FAIL', err_code: 'X', err_code_des: 'why' },
      durationMs: 7,
    });
    expect(facts(signed(SHOWN))).toMatchObject({ code: null, message: null });
  });

  it('with a code that only a query knows is found by no other reading', () => {
    const reading: Reading = { kind: 'turned_away', code: 'REFUNDNOTEXIST', message: '', fields: null };
    expect(judgeQuery(reading, 'R1', 1).outcome).toBe('failed');
    expect(judgeSend({ kind: 'nothing', code: null, message: '' }, 1)).toEqual({
      code: null,
      message: '',
      fields: null,
      durationMs: 1,
      shown: null,
      pauseSeconds: 0,
      written: true,
      outcome: 'unknown',
    });
  });
});

describe('the whole of a refund that a V2 answer shows', () => {
  const RECORD = {
    ...SHOWN,
    refund_count: '1',
    out_refund_no_0: 'R0',
    refund_id_0: '500',
    refund_fee_0: '100',
    refund_status_0: 'SUCCESS',
    refund_recv_accout_0: '零钱',
    refund_success_time_0: '2026-01-01 12:05:06',
    out_refund_no_1: 'R9',
    refund_id_1: '509',
    refund_fee_1: '100',
    refund_status_1: 'SUCCESS',
  };
  const COMMON = { mchId: '1900000001', appid: 'wx1', outTradeNo: 'T000001', transactionId: '42', totalFen: 1000 };
  const records = (change: Record<string, string | undefined>): unknown =>
    shownByQuery(
      new Map(
        Object.entries({ ...RECORD, ...change }).filter((entry): entry is [string, string] => entry[1] !== undefined),
      ),
    );

  it('by the request itself', () => {
    expect(
      judged(signed({ ...SHOWN, refund_recv_accout: '零钱', refund_success_time: '2026-01-01 12:05:06' })).shown,
    ).toEqual({
      ...COMMON,
      status: 'accepted',
      wechatStatus: 'SUCCESS',
      outRefundNo: 'R1',
      refundId: '50',
      refundFen: 300,
      userReceivedAccount: '零钱',
      succeededAt: null,
    });
  });

  it('by a query: as many records as it counts, and only whole ones', () => {
    const first = {
      ...COMMON,
      status: 'succeeded',
      wechatStatus: 'SUCCESS',
      outRefundNo: 'R0',
      refundId: '500',
      refundFen: 100,
      userReceivedAccount: '零钱',
      succeededAt: '2026-01-01T12:05:06+08:00',
    };
    expect(records({})).toEqual([first]);
    expect(records({ refund_status_0: 'CHANGE' })).toEqual([
      { ...first, status: 'abnormal', wechatStatus: 'CHANGE', succeededAt: null },
    ]);
    expect(records({ refund_count: '2' })).toHaveLength(2);
    expect(records({ refund_count: '9' })).toHaveLength(2);
    expect(records({ refund_count: undefined })).toEqual([]);
    expect(records({ refund_count: '2', refund_fee_0: undefined })).toHaveLength(1);
    expect(records({ appid: undefined, transaction_id: undefined, refund_id_0: undefined })).toEqual([
      { ...first, appid: null, transactionId: null, refundId: null },
    ]);
  });

  it('in parts is none, and says so', () => {
    const message = 'ids or amounts missing';
    expect(judged(signed({ ...HEAD, result_code: 'SUCCESS' }))).toMatchObject({ outcome: 'unknown', message });
    const answer = readAnswer(signed({ ...HEAD, result_code: 'SUCCESS' }), KEY, 'HMAC-SHA256');
    expect(judgeQuery(answer, 'R1', 1)).toMatchObject({ outcome: 'failed', message, shown: null });
  });
});
