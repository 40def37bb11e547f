/** The calls a fault may be planted on. */
export const CALLS = ['refund', 'refundquery', 'unifiedorder', 'orderquery', 'closeorder'] as const;
export type Call = (typeof CALLS)[number];

/**
 * What can be planted. `works` says whether the request is carried out before the answer goes wrong; `error` and `reset` let the plan
 * choose by `after`.
 */
export const FAULTS = {
  /** The socket is held and nothing happens. */
  timeout_before: { works: false },
  /** Carried out, never answered. */
  timeout_after: { works: true },
  /** The connection is reset; with `after: false` before anything happens. */
  reset: { works: true },
  /** A signed refusal with `code`; with `after: true` the request was carried out all the same. */
  error: { works: false },
  /** A page instead of XML; with `code: "certificate"` the front server's page about the client certificate. */
  html: { works: false },
  /** A good answer with a wrong sign. */
  bad_sign: { works: true },
  /** A signed answer that speaks of another refund. */
  other_refund: { works: true },
  /** A good answer after `delay_ms`. */
  slow: { works: true },
  /** return_code FAIL with `code` as return_msg; unsigned, nothing happens. */
  return_fail: { works: false },
  /** 302 to elsewhere. */
  redirect: { works: false },
  /** return_code SUCCESS and no result_code. */
  no_result: { works: true },
} as const;

export type FaultKind = keyof typeof FAULTS;

/** A planted fault. `times` null: for ever. */
export interface Fault {
  readonly call: Call;
  readonly fault: FaultKind;
  readonly mchId: string | null;
  readonly outRefundNo: string | null;
  readonly code: string | null;
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
  take(call: string, mchId: string, outRefundNo: string | null): Fault | null {
    const found = this.faults.find(
      (fault) =>
        fault.call === call &&
        (fault.mchId ?? mchId) === mchId &&
        (fault.outRefundNo === null || fault.outRefundNo === outRefundNo),
    );
    if (!found) return null;
    if (found.times !== null) found.times -= 1;
    if (found.times === 0) this.faults = this.faults.filter((fault) => fault !== found);
    return found;
  }
}

/** True when the request is carried out although the answer goes wrong. */
export function worksUnder(fault: Fault): boolean {
  return fault.after ?? FAULTS[fault.fault].works;
}
