import { V2_SEND_OUTCOMES } from '../wechat-pay/v2/outcomes.js';
import { V3_SEND_OUTCOMES } from '../wechat-pay/v3/outcomes.js';
import { explainCall, explainFailure, explainState } from './explain.js';
import { type Explanation, FAILURES, failureOf } from './failures.js';
import { REFUND_STATE_NAMES, REFUND_STATES } from './states.js';
import { WAITING } from './waiting.js';
import { QUERY_CODES, SEND_CODES } from './wechat-codes.js';

/** The codes WeChat documents, written out a second time from protocol.md 1.6, 2 and 6.5. */
const V2 =
  `SYSTEMERROR BIZERR_NEED_RETRY TRADE_OVERDUE ERROR USER_ACCOUNT_ABNORMAL INVALID_REQ_TOO_MUCH NOTENOUGH INVALID_TRANSACTIONID
  PARAM_ERROR APPID_NOT_EXIST MCHID_NOT_EXIST APPID_MCHID_NOT_MATCH ORDERNOTEXIST REQUIRE_POST_METHOD XML_FORMAT_ERROR SIGNERROR
  FREQUENCY_LIMITED NOAUTH CERT_ERROR REFUND_FEE_MISMATCH INVALID_REQUEST ORDER_NOT_READY`.split(/\s+/);
const V3 =
  `INVALID_REQUEST PARAM_ERROR SIGN_ERROR NOT_ENOUGH USER_ACCOUNT_ABNORMAL NO_AUTH RULE_LIMIT REQUEST_BLOCKED MCH_NOT_EXISTS
  RESOURCE_NOT_EXISTS FREQUENCY_LIMITED RATELIMIT_EXCEEDED SYSTEM_ERROR SERVICE_UNAVAILABLE TRADE_OVERDUE REFUND_FEE_MISMATCH
  REFUND_ORDER_STILL_IN_STATE_PAYMENT`.split(/\s+/);
const QUERY =
  `SYSTEMERROR REFUNDNOTEXIST INVALID_TRANSACTIONID PARAM_ERROR APPID_NOT_EXIST MCHID_NOT_EXIST REQUIRE_POST_METHOD SIGNERROR
  XML_FORMAT_ERROR INVALID_REQUEST`.split(/\s+/);

const FAILURE_OF_OUTCOME: Readonly<Record<string, string>> = {
  later: 'wechat_busy',
  balance: 'insufficient_balance',
  configuration: 'configuration',
  refused: 'refused_by_wechat',
  differs: 'mismatch',
  unknown: 'outcome_unknown',
};

const everyExplanation = (): [string, Explanation][] => [
  ...Object.entries(FAILURES),
  ...Object.entries(WAITING).filter(
    (entry): entry is [keyof typeof WAITING, NonNullable<(typeof entry)[1]>] => !!entry[1],
  ),
  ...Object.entries(SEND_CODES.v2),
  ...Object.entries(SEND_CODES.v3),
  ...Object.entries(QUERY_CODES),
];

describe('the table of failures', () => {
  it('holds every code WeChat documents for a refund and for its query', () => {
    expect(Object.keys(SEND_CODES.v2).sort()).toEqual([...V2].sort());
    expect(Object.keys(SEND_CODES.v3).sort()).toEqual([...V3].sort());
    expect(QUERY.filter((code) => !(code in QUERY_CODES))).toEqual([]);
  });

  it('says of every code what the outcome tables make of it', () => {
    for (const [code, outcome] of Object.entries(V2_SEND_OUTCOMES)) {
      expect([code, SEND_CODES.v2[code as keyof typeof SEND_CODES.v2].failure]).toEqual([
        code,
        FAILURE_OF_OUTCOME[outcome],
      ]);
    }
    for (const [code, { failure }] of Object.entries(SEND_CODES.v3)) {
      expect([code, failure]).toEqual([code, FAILURE_OF_OUTCOME[V3_SEND_OUTCOMES[code]?.outcome ?? 'unknown']]);
    }
  });

  it('has four answers in both languages for every code and every state that waits', () => {
    const waiting = REFUND_STATE_NAMES.filter((state) => WAITING[state] !== null);
    expect(waiting).toEqual(REFUND_STATE_NAMES.filter((state) => !REFUND_STATES[state].final));
    for (const [code, { what, why, next, who }] of everyExplanation()) {
      for (const text of [what, why, next]) {
        expect([code, text.en]).toEqual([code, expect.stringMatching(/^[A-Za-z][ -~]+\.$/)]);
        expect([code, text.zh]).toEqual([code, expect.stringMatching(/^[^]*\p{Script=Han}[^]*。$/u)]);
      }
      expect(['nobody', 'operator', 'admin', 'finance', 'developer']).toContain(who);
    }
  });

  it('tells nobody to act where it is tried or asked again by itself, and somebody everywhere else', () => {
    for (const [code, { next, who }] of everyExplanation()) {
      expect([code, who === 'nobody']).toEqual([code, next.en.startsWith('Nothing')]);
    }
  });
});

describe('the explanation of a failure', () => {
  it("is that of WeChat's code where it led to the failure", () => {
    const failure = { code: 'configuration', wechatCode: 'NOAUTH', version: 'v2' } as const;
    expect(explainFailure(failure, 'en')).toMatchObject({ why: expect.stringContaining('allow-list'), who: 'admin' });
    expect(explainFailure(failure, 'zh')).toMatchObject({ why: expect.stringContaining('白名单'), who: '管理员' });
  });

  it('never calls a refund in doubt refused, whatever the last answer said', () => {
    const failure = { code: 'outcome_unknown', wechatCode: 'TRADE_OVERDUE', version: 'v2' } as const;
    expect(explainFailure(failure, 'en')?.next_step).toContain('do not refund again');
  });

  it('tells a busy V2 from a busy v3, where the refund may be in work', () => {
    const next = (code: string, version: 'v2' | 'v3') =>
      explainFailure({ code, wechatCode: 'FREQUENCY_LIMITED', version }, 'en')?.next_step;
    expect(next('wechat_busy', 'v2')).toContain('sent again');
    expect(next('outcome_unknown', 'v3')).toContain('do not refund again');
  });

  it.each(['UNHEARD_OF', 'constructor', null])('falls back on our own code for the WeChat code %s', (wechatCode) => {
    const failure = { code: 'refused_by_wechat', wechatCode, version: 'v3' } as const;
    expect(explainFailure(failure, 'en')?.what).toBe('WeChat refused the refund.');
  });

  it('is none for a failure code of a later version', () => {
    expect(explainFailure({ code: 'new_in_2031', wechatCode: null, version: null }, 'en')).toBeNull();
    expect(failureOf('new_in_2031')).toBeNull();
  });
});

describe('the explanation of a call', () => {
  it('reads the same code differently in a request and in a query', () => {
    const what = (kind: string) => explainCall({ kind, version: 'v3', code: 'RESOURCE_NOT_EXISTS' }, 'en')?.what;
    expect([what('refund'), what('refund_query')]).toEqual([
      'WeChat does not know the order, or it is not paid.',
      'WeChat does not know the refund.',
    ]);
  });

  it('is none where WeChat gave no code', () => {
    expect(explainCall({ kind: 'refund', version: 'v2', code: null }, 'zh')).toBeNull();
    expect(explainCall({ kind: 'refund_query', version: 'v2', code: 'read_timeout' }, 'zh')).toBeNull();
  });
});

describe('the explanation of a state', () => {
  it('is there for what waits and not for what is over', () => {
    expect(explainState('accepted', 'zh')?.who).toBe('无需人工');
    expect(explainState('succeeded', 'en')).toBeNull();
  });
});
