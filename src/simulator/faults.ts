import type { RequestRow, Version } from './ledger.js';

/** The calls a fault may be planted on; both protocols share the names, the last two are v3's alone. */
export const CALLS = [
  'refund',
  'refundquery',
  'unifiedorder',
  'orderquery',
  'closeorder',
  'abnormal_refund',
  'certificates',
] as const;
export type Call = (typeof CALLS)[number];

/**
 * What can be planted. `works` says whether the request is carried out before the answer goes wrong; `error` and `reset` let the plan
 * choose by `after`. `only` names the protocol that has such an answer; the other one passes the fault by.
 */
export const FAULTS: Readonly<Record<FaultKind, { readonly works: boolean; readonly only?: Version }>> = {
  /** The socket is held and nothing happens. */
  timeout_before: { works: false },
  /** Carried out, never answered. */
  timeout_after: { works: true },
  /** The connection is reset; with `after: false` before anything happens. */
  reset: { works: true },
  /** A refusal with `code`, signed in V2; with `after: true` the request was carried out all the same. */
  error: { works: false },
  /** A page instead of the protocol; with `code: "certificate"` the front server's page about the client certificate. */
  html: { works: false },
  /** A good answer with a wrong signature. */
  bad_sign: { works: true },
  /** A signed answer that speaks of another refund. */
  other_refund: { works: true },
  /** A good answer after `delay_ms`. */
  slow: { works: true },
  /** return_code FAIL with `code` as return_msg; unsigned, nothing happens. */
  return_fail: { works: false, only: 'v2' },
  /** 302 to elsewhere. */
  redirect: { works: false },
  /** An answer without its result: no result_code in V2, no status (trade_state, prepay_id, data) in v3. */
  no_result: { works: true },
  /** A good answer without any Wechatpay header. */
  unsigned: { works: true, only: 'v3' },
  /** A good answer under a signature of the kind WeChat tries its receivers with. */
  signtest: { works: true, only: 'v3' },
  /** A good answer signed with a timestamp `delay_ms` ahead, or behind when negative. */
  skew: { works: true, only: 'v3' },
  /** A good answer whose JSON was written anew, with blanks, after it was signed. */
  reserialised: { works: true, only: 'v3' },
  /** A good answer that names a Wechatpay-Serial nobody knows. */
  wrong_serial: { works: true, only: 'v3' },
};

export const FAULT_KINDS = [
  'timeout_before',
  'timeout_after',
  'reset',
  'error',
  'html',
  'bad_sign',
  'other_refund',
  'slow',
  'return_fail',
  'redirect',
  'no_result',
  'unsigned',
  'signtest',
  'skew',
  'reserialised',
  'wrong_serial',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** A planted fault. `times` null: for ever. */
export interface Fault {
  readonly call: Call;
  readonly fault: FaultKind;
  readonly mchId: string | null;
  readonly outRefundNo: string | null;
  readonly code: string | null;
  /** The HTTP status of a v3 error; null: that of its code. */
  readonly status: number | null;
  readonly delayMs: number;
  readonly after: boolean | null;
  times: number | null;
}

/** The faults that wait for their request. */
export class FaultPlan {
  private faults: Fault[] = [];

  add(fault: Fault): void {
    this.faults.push(fault);
  }

  clear(): void {
    this.faults = [];
  }

  /** The first fault that fits, used once. */
  take(row: RequestRow): Fault | null {
    const found = this.faults.find(
      (fault) =>
        fault.call === row.call &&
        (FAULTS[fault.fault].only ?? row.version) === row.version &&
        (fault.mchId ?? row.mch_id) === row.mch_id &&
        (fault.outRefundNo === null || fault.outRefundNo === row.out_refund_no),
    );
    if (!found) return null;
    if (found.times !== null) found.times -= 1;
    if (found.times === 0) this.faults = this.faults.filter((fault) => fault !== found);
    return found;
  }
}

/** Notes in the ledger what came of a request: SUCCESS or the protocol's code, unless a fault spoke instead. */
export function noteOutcome(row: RequestRow, code: string | null, fault: Fault | null): void {
  row.answered = fault ? `${fault.fault}${fault.code === null ? '' : `:${fault.code}`}` : code;
  row.failing = fault ? ['error', 'return_fail', 'html'].includes(fault.fault) : code !== 'SUCCESS';
}

/** True when the request is carried out although the answer goes wrong. */
export function worksUnder(fault: Fault): boolean {
  return fault.after ?? FAULTS[fault.fault].works;
}
