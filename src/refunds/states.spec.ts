import {
  type Evidence,
  EVIDENCE as PROVEN,
  isOurMove,
  judgeEvidence,
  OUR_MOVES as MOVES,
  REFUND_STATE_NAMES,
  REFUND_STATES,
  type RefundState,
  statesOfStatus,
} from './states.js';

/** design.md 3, written out a second time: rows are the state before, columns the state after, in the order of this list. */
const STATES: readonly RefundState[] = [
  'queued',
  'insufficient_balance',
  'submitting',
  'outcome_unknown',
  'accepted',
  'abnormal',
  'blocked',
  'mismatch',
  'succeeded',
  'closed',
  'rejected',
  'canceled',
];

const OUR_MOVES: Readonly<Record<RefundState, string>> = {
  //                     que ins sub unk acc abn blo mis suc clo rej can
  queued: '               .   .   x   .   .   .   .   .   .   .   x   x ',
  insufficient_balance: ' .   .   x   .   .   .   .   .   .   .   .   x ',
  submitting: '           x   x   .   x   .   .   x   x   .   .   x   . ',
  outcome_unknown: '      x   .   .   .   .   .   x   .   .   .   .   . ',
  accepted: '             .   .   .   .   .   .   .   .   .   .   .   . ',
  abnormal: '             .   .   .   .   .   .   .   .   .   .   .   . ',
  blocked: '              x   .   .   .   .   .   .   .   .   .   .   x ',
  mismatch: '             .   .   .   .   .   .   .   .   x   x   x   . ',
  succeeded: '            .   .   .   .   .   .   .   .   .   .   .   . ',
  closed: '               .   .   .   .   .   .   .   .   .   .   .   . ',
  rejected: '             x   .   .   .   .   .   .   .   .   .   .   . ',
  canceled: '             .   .   .   .   .   .   .   .   .   .   .   . ',
};

/** a apply, r repeat, o old news, i incident, q apply only if asked after the state was booked. */
const EVIDENCE: Readonly<Record<RefundState, string>> = {
  //                     acc abn suc clo mis
  queued: '               a   a   a   a   a ',
  insufficient_balance: ' a   a   a   a   a ',
  submitting: '           a   a   a   a   a ',
  outcome_unknown: '      a   a   a   a   a ',
  accepted: '             r   a   a   a   a ',
  abnormal: '             q   r   a   a   a ',
  blocked: '              a   a   a   a   a ',
  mismatch: '             a   a   a   a   r ',
  succeeded: '            o   i   r   i   i ',
  closed: '               o   i   a   r   i ',
  rejected: '             a   a   a   r   i ',
  canceled: '             a   a   a   r   i ',
};
const PROOFS: readonly Evidence[] = ['accepted', 'abnormal', 'succeeded', 'closed', 'mismatch'];
const WORDS = { apply: 'a', repeat: 'r', old_news: 'o', incident: 'i' } as const;

const marks = (row: string): string[] => row.split(/\s+/).filter((mark) => mark !== '');

describe('the state table', () => {
  it('has the twelve states of the contract', () => {
    expect([...REFUND_STATE_NAMES]).toEqual([...STATES]);
  });

  const pairs = STATES.flatMap((from) =>
    STATES.map((to, place) => ({ from, to, mark: marks(OUR_MOVES[from])[place] })),
  );
  it.each(pairs)('our move from $from to $to is $mark', ({ from, to, mark }) => {
    expect(isOurMove(from, to) ? 'x' : '.').toBe(mark);
  });

  const proofs = STATES.flatMap((from) =>
    PROOFS.map((evidence, place) => ({ from, evidence, mark: marks(EVIDENCE[from])[place] })),
  );
  it.each(proofs)('proof of $evidence in state $from is judged $mark', ({ from, evidence, mark }) => {
    const asked = WORDS[judgeEvidence(evidence, from, true)];
    const unasked = WORDS[judgeEvidence(evidence, from, false)];
    expect([asked, unasked]).toEqual(mark === 'q' ? ['a', 'o'] : [mark, mark]);
  });

  it('covers all pairs of both lists', () => {
    expect(pairs).toHaveLength(144);
    expect(proofs).toHaveLength(60);
  });

  it('names no state that is none', () => {
    const named = [
      ...Object.values(MOVES).flat(),
      ...Object.values(PROVEN).flatMap(({ movesFrom, movesIfAskedAfter, exceptions }) => [
        ...movesFrom,
        ...movesIfAskedAfter,
        ...Object.keys(exceptions),
      ]),
    ];
    for (const state of named) expect(STATES).toContain(state);
  });
});

describe('a state', () => {
  it('is one of its public status', () => {
    expect(statesOfStatus('pending')).toEqual(['queued', 'insufficient_balance']);
    expect(statesOfStatus('processing')).toEqual(['submitting', 'outcome_unknown', 'accepted']);
    expect(statesOfStatus('requires_action')).toEqual(['abnormal', 'blocked', 'mismatch']);
    expect(statesOfStatus('succeeded')).toEqual(['succeeded']);
    expect(statesOfStatus('failed')).toEqual(['closed', 'rejected']);
    expect(statesOfStatus('canceled')).toEqual(['canceled']);
  });

  it('holds money back until it is final, and then books it or lets it go', () => {
    for (const state of STATES) {
      const { final, money } = REFUND_STATES[state];
      expect([state, money, final]).toEqual([
        state,
        state === 'succeeded'
          ? 'refunded'
          : ['closed', 'rejected', 'canceled'].includes(state)
            ? 'released'
            : 'reserved',
        money !== 'reserved',
      ]);
    }
  });

  it('has a meaning that people can read', () => {
    const meanings = STATES.map((state) => REFUND_STATES[state].meaning);
    expect(new Set(meanings).size).toBe(STATES.length);
    for (const meaning of meanings) expect(meaning).toMatch(/^\S.{3,}/);
  });
});
