import type { Language } from '../common/http/language.js';
import { type Explanation, failureOf, WHO } from './failures.js';
import { WAITING } from './waiting.js';
import { QUERY_CODES, SEND_CODES, type WechatCode } from './wechat-codes.js';
import type { RefundState } from './states.js';

/** An explanation in one language, as callers read it. */
export interface Explained {
  readonly what: string;
  readonly why: string;
  readonly next_step: string;
  readonly who: string;
}

/** The words of an explanation. */
export function inLanguage({ what, why, next, who }: Explanation, language: Language): Explained {
  return { what: what[language], why: why[language], next_step: next[language], who: WHO[who][language] };
}

/**
 * What a failure means. WeChat's code tells it where it is what led to this failure; where it is not (a refusal that is not believed of a
 * refund in doubt, the last of too many tries) our own code does. Null for a failure code of a later version.
 */
export function explainFailure(
  failure: { readonly code: string; readonly wechatCode: string | null; readonly version: 'v2' | 'v3' | null },
  language: Language,
): Explained | null {
  const told = sendCode(failure.version, failure.wechatCode);
  const explanation = told?.failure === failure.code ? told : failureOf(failure.code);
  return explanation && inLanguage(explanation, language);
}

/** What a code in the log of calls means; null for one WeChat does not document. */
export function explainCall(
  call: { readonly kind: string; readonly version: 'v2' | 'v3'; readonly code: string | null },
  language: Language,
): Explained | null {
  const told = call.kind === 'refund_query' ? QUERY_CODES[call.code ?? ''] : sendCode(call.version, call.code);
  return told ? inLanguage(told, language) : null;
}

/** What a refund in this state waits for; null for the final states. */
export function explainState(state: RefundState, language: Language): Explained | null {
  const waiting = WAITING[state];
  return waiting && inLanguage(waiting, language);
}

function sendCode(version: 'v2' | 'v3' | null, code: string | null): WechatCode | null {
  if (version === null || code === null) return null;
  const codes: Readonly<Record<string, WechatCode>> = SEND_CODES[version];
  return Object.hasOwn(codes, code) ? (codes[code] ?? null) : null;
}
