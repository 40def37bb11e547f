/** The protocol a request or notice speaks. */
export type Version = 'v2' | 'v3';

/** One refund that moved money, once per number. */
export interface AcceptedRow {
  readonly mch_id: string;
  readonly out_refund_no: string;
  readonly out_trade_no: string;
  readonly amount_fen: number;
  readonly at: string;
}

/** One request that came in. */
export interface RequestRow {
  readonly id: number;
  readonly version: Version;
  readonly call: string;
  readonly mch_id: string;
  /** The merchant number of the client certificate; null without one. */
  readonly cert_mch_id: string | null;
  /** The serial that the Authorization header names; null in V2. */
  readonly serial_no: string | null;
  /** The request's own Wechatpay-Serial; null without one. */
  readonly wechatpay_serial: string | null;
  readonly nonce_str: string;
  /** The caller's gateway_call.id: the nonce. */
  readonly attempt_id: string;
  readonly out_refund_no: string | null;
  readonly out_trade_no: string | null;
  /** SHA-256 over the business parameters. */
  readonly param_digest: string;
  readonly received_at: string;
  /** Real milliseconds of a clock that only runs forward; see arrivals.ts. */
  readonly received_ms: number;
  readonly connection: number;
  /** What was answered: SUCCESS, an error code, or the fault. */
  answered: string | null;
  accepted: boolean;
  failing: boolean;
}

/** One delivery of a notice. */
export interface AckRow {
  readonly kind: 'refund' | 'payment';
  readonly mch_id: string;
  readonly out_refund_no: string | null;
  readonly out_trade_no: string;
  readonly attempt: number;
  readonly status: number | null;
  readonly ok: boolean;
  readonly at: string;
}

/** A rule of WeChat that a caller broke. */
export interface ViolationRow {
  readonly rule: 'spacing' | 'requests_per_second' | 'failures_per_second' | 'certificate';
  readonly mch_id: string;
  readonly out_trade_no: string | null;
  readonly at: string;
}

/** The second source of truth: what WeChat saw and did, append-only. */
export class Ledger {
  readonly accepted: AcceptedRow[] = [];
  readonly requests: RequestRow[] = [];
  readonly acks: AckRow[] = [];
  readonly violations: ViolationRow[] = [];

  /** Writes a request down as it came in; what became of it is noted in the row later. */
  receive(
    request: Omit<RequestRow, 'id' | 'attempt_id' | 'received_at' | 'answered' | 'accepted' | 'failing'>,
  ): RequestRow {
    const row: RequestRow = {
      id: this.requests.length + 1,
      ...request,
      attempt_id: request.nonce_str,
      received_at: new Date().toISOString(),
      answered: null,
      accepted: false,
      failing: false,
    };
    this.requests.push(row);
    return row;
  }

  violate(rule: ViolationRow['rule'], mchId: string, outTradeNo: string | null): void {
    this.violations.push({ rule, mch_id: mchId, out_trade_no: outTradeNo, at: new Date().toISOString() });
  }
}
