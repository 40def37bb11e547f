/**
 * The states of a refund, their money effect and every edge, as literals (design.md 3).
 * Nothing else in the code knows which state follows which; README's diagram is made from these tables.
 */

/** What the state does to the order's money: holds it back, books it as given back, or lets it go. */
export type MoneyEffect = 'reserved' | 'refunded' | 'released';

interface StateEntry {
  /** The coarse word callers branch on. */
  readonly status: 'pending' | 'processing' | 'requires_action' | 'succeeded' | 'failed' | 'canceled';
  readonly money: MoneyEffect;
  /** No move of ours leaves it by itself; proof from WeChat still may. */
  readonly final: boolean;
  readonly meaning: string;
}

export const REFUND_STATES = {
  queued: { status: 'pending', money: 'reserved', final: false, meaning: 'committed, waiting for its turn' },
  insufficient_balance: {
    status: 'pending',
    money: 'reserved',
    final: false,
    meaning: 'WeChat refused for lack of funds; sent again with the same number',
  },
  submitting: { status: 'processing', money: 'reserved', final: false, meaning: 'a request may be on the wire' },
  outcome_unknown: {
    status: 'processing',
    money: 'reserved',
    final: false,
    meaning: 'the answer was lost or not believable; a query decides',
  },
  accepted: { status: 'processing', money: 'reserved', final: false, meaning: 'WeChat is working on it' },
  abnormal: {
    status: 'requires_action',
    money: 'reserved',
    final: false,
    meaning: "the payer's card cannot take the money",
  },
  blocked: {
    status: 'requires_action',
    money: 'reserved',
    final: false,
    meaning: 'our configuration is at fault, or too many attempts',
  },
  mismatch: {
    status: 'requires_action',
    money: 'reserved',
    final: false,
    meaning: 'WeChat and we disagree about amount, order or identity',
  },
  succeeded: { status: 'succeeded', money: 'refunded', final: true, meaning: 'done' },
  closed: { status: 'failed', money: 'released', final: true, meaning: 'closed by WeChat' },
  rejected: { status: 'failed', money: 'released', final: true, meaning: 'a definite refusal' },
  canceled: { status: 'canceled', money: 'released', final: true, meaning: 'withdrawn before WeChat had it' },
} as const satisfies Record<string, StateEntry>;

export type RefundState = keyof typeof REFUND_STATES;
export type RefundStatus = (typeof REFUND_STATES)[RefundState]['status'];

/** All twelve, in the order of the table. */
export const REFUND_STATE_NAMES = Object.keys(REFUND_STATES) as readonly RefundState[];

/** Moves made by us: under a lease token, or asked for by a caller. */
export const OUR_MOVES: Readonly<Record<RefundState, readonly RefundState[]>> = {
  queued: ['submitting', 'canceled', 'rejected'],
  insufficient_balance: ['submitting', 'canceled'],
  submitting: ['queued', 'insufficient_balance', 'blocked', 'rejected', 'outcome_unknown', 'mismatch'],
  outcome_unknown: ['queued', 'blocked'],
  accepted: [],
  abnormal: [],
  blocked: ['queued', 'canceled'],
  mismatch: ['succeeded', 'closed', 'rejected'],
  succeeded: [],
  closed: [],
  rejected: ['queued'],
  canceled: [],
};

/** What WeChat's word can prove; the name is the state it leads to. */
export type Evidence = 'accepted' | 'abnormal' | 'succeeded' | 'closed' | 'mismatch';

/** `apply` moves the refund; `repeat` and `old_news` change nothing; `incident` changes nothing and a person must hear of it. */
export type Judgement = 'apply' | 'repeat' | 'old_news' | 'incident';

interface EvidenceEntry {
  readonly movesFrom: readonly RefundState[];
  /** States that are left only when WeChat was asked after they were booked. */
  readonly movesIfAskedAfter: readonly RefundState[];
  readonly otherwise: Exclude<Judgement, 'apply'>;
  /** Where the general answer for the rest does not hold. */
  readonly exceptions: Readonly<Partial<Record<RefundState, Exclude<Judgement, 'apply'>>>>;
}

const NOT_FINAL = REFUND_STATE_NAMES.filter((state) => !REFUND_STATES[state].final);
const allBut = (...left: readonly RefundState[]): RefundState[] =>
  REFUND_STATE_NAMES.filter((state) => !left.includes(state));

/** Moves that WeChat proves by a verified answer, query or notice; they need no lease. */
export const EVIDENCE: Readonly<Record<Evidence, EvidenceEntry>> = {
  accepted: {
    movesFrom: [
      'queued',
      'insufficient_balance',
      'submitting',
      'outcome_unknown',
      'blocked',
      'mismatch',
      'rejected',
      'canceled',
    ],
    movesIfAskedAfter: ['abnormal'],
    otherwise: 'old_news',
    exceptions: { accepted: 'repeat' },
  },
  abnormal: {
    movesFrom: allBut('succeeded', 'closed', 'abnormal'),
    movesIfAskedAfter: [],
    otherwise: 'incident',
    exceptions: { abnormal: 'repeat' },
  },
  succeeded: { movesFrom: allBut('succeeded'), movesIfAskedAfter: [], otherwise: 'repeat', exceptions: {} },
  closed: {
    movesFrom: allBut('succeeded', 'closed', 'rejected', 'canceled'),
    movesIfAskedAfter: [],
    otherwise: 'repeat',
    exceptions: { succeeded: 'incident' },
  },
  mismatch: {
    movesFrom: NOT_FINAL.filter((state) => state !== 'mismatch'),
    movesIfAskedAfter: [],
    otherwise: 'incident',
    exceptions: { mismatch: 'repeat' },
  },
};

/** True when a move of ours from one state to the other exists. */
export function isOurMove(from: RefundState, to: RefundState): boolean {
  return OUR_MOVES[from].includes(to);
}

/** What a proof does to a refund in state `from`; `askedAfter`: WeChat was asked after that state was booked. */
export function judgeEvidence(evidence: Evidence, from: RefundState, askedAfter: boolean): Judgement {
  const entry = EVIDENCE[evidence];
  if (entry.movesFrom.includes(from)) return 'apply';
  if (askedAfter && entry.movesIfAskedAfter.includes(from)) return 'apply';
  return entry.exceptions[from] ?? entry.otherwise;
}

/** The states that stand for a public status. */
export function statesOfStatus(status: RefundStatus): RefundState[] {
  return REFUND_STATE_NAMES.filter((state) => REFUND_STATES[state].status === status);
}
