import type { Fen } from '../common/fen.js';
import type { ApiVersion, SendOutcome, ShownRefund } from './refund-gateway.port.js';
import type { RefundState } from './states.js';

/** The columns of a refund that may change, as read under its lock. Times are database times. */
export interface RefundFields {
  state: RefundState;
  stateSince: Date;
  bookedOutside: boolean;
  outsideShownFen: Fen | null;
  refundId: string | null;
  inDoubtSince: Date | null;
  leaseToken: string | null;
  leaseUntil: Date | null;
  nextAttemptAt: Date | null;
  firstSentAt: Date | null;
  attempts: number;
  notSentCount: number;
  nextQueryAt: Date | null;
  queryStep: number;
  failureCode: string | null;
  failureWechatCode: string | null;
  failureMessage: string | null;
  userReceivedAccount: string | null;
  succeededAt: string | null;
  /** The number of its last outgoing event, and those told once that have been. */
  eventSequence: number;
  toldOnce: readonly string[];
}

/** A refund under its lock. */
export interface LockedRefund extends RefundFields {
  readonly id: string;
  readonly orderId: string;
  readonly mchId: string;
  readonly appid: string;
  readonly outRefundNo: string;
  readonly amountFen: Fen;
  readonly source: 'api' | 'external';
  readonly apiVersion: ApiVersion | null;
  version: number;
}

/** An order's identity and counters under its lock. */
export interface LockedOrder {
  readonly id: string;
  readonly outTradeNo: string;
  readonly transactionId: string | null;
  readonly paidFen: Fen;
  readonly paidAt: Date | null;
  readonly nextSendAt: Date | null;
  reservedFen: Fen;
  refundedFen: Fen;
  outsideFen: Fen;
  refundCount: number;
  eventSequence: number;
}

/** Why a refund changed: the column of refund_event. */
export type Cause =
  'request' | 'claim' | 'answer' | 'query' | 'notice' | 'operator' | 'lease' | 'window' | 'configuration';

interface Booking {
  readonly orderId: string;
  readonly refundId: string;
  readonly cause: Cause;
  /** The gateway_call or notification that taught us; null for callers and the clock. */
  readonly sourceId: string | null;
  /** The caller's key id for operator moves. */
  readonly actor?: string;
}

/** WeChat's verified word; needs no lease. `askedAt` is when the question left, null for a notice. */
export interface ProofBooking extends Booking {
  readonly kind: 'proof';
  readonly shown: ShownRefund;
  readonly askedAt: Date | null;
}

/** A send that ended without proof; counts only while its lease token still holds. */
export interface SendBooking extends Booking {
  readonly kind: 'send';
  readonly outcome: Exclude<SendOutcome, 'shown'>;
  readonly code: string | null;
  readonly message: string | null;
  readonly leaseToken: string;
  /** The doubt before this send, from its gateway_call. */
  readonly inDoubtBefore: Date | null;
  /** False when for certain not a byte left. */
  readonly written: boolean;
  /** True when nothing had been sent before this claim. */
  readonly firstSend: boolean;
  /** When its turn had come; whoever missed a slot keeps it. */
  readonly dueAt: Date;
}

/** A query that ended without proof. `found` null: WeChat gave no usable answer. */
export interface NotShownBooking extends Booking {
  readonly kind: 'not_shown';
  readonly found: false | null;
  readonly leaseToken: string;
  readonly askedAt: Date;
  /** A question of the refund's own list; a caller's leaves the list as it is. */
  readonly planned: boolean;
}

/** A move of ours outside a send: by a caller, the clock or a repaired configuration. */
export interface MoveBooking extends Booking {
  readonly kind: 'move';
  readonly to: RefundState;
  /** Only from these states; in any other nothing happens and the result says so. */
  readonly from: readonly RefundState[];
  readonly detail?: Readonly<Record<string, unknown>>;
  /** What WeChat gave back under this number beyond what the move books: outside money of the order, counted once per refund. */
  readonly outsideFen?: Fen;
}

/** An unsigned notice: it proves nothing and wakes a query, unless the refund is known to be what it says. */
export interface WakeBooking extends Booking {
  readonly kind: 'wake';
  readonly shown: ShownRefund;
}

export type AnyBooking = ProofBooking | SendBooking | NotShownBooking | MoveBooking | WakeBooking;

/** What the door did with one booking. `result` words are those of a notification where it came from one. */
export interface Booked {
  readonly refundId: string;
  readonly result: 'applied' | 'repeat' | 'refused' | 'stale';
  readonly reason?: string;
  readonly from: RefundState;
  readonly to: RefundState;
  /** Incident codes to report once the transaction has committed. */
  readonly incidents: readonly string[];
}
