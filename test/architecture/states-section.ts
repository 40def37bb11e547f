import {
  EVIDENCE,
  type Evidence,
  OUR_MOVES,
  REFUND_STATE_NAMES,
  REFUND_STATES,
  type RefundState,
} from '../../src/refunds/states.js';

/** README's section about the states: a table, our moves as a picture, and what WeChat proves; made from the literals alone. */
export function statesSection(): string {
  return [...statesTable(), '', ...movesDiagram(), '', ...evidenceTable()].join('\n');
}

function statesTable(): string[] {
  const rows = REFUND_STATE_NAMES.map((name) => {
    const { status, money, final, meaning } = REFUND_STATES[name];
    return `| \`${name}\`${final ? ' (final)' : ''} | \`${status}\` | ${money} | ${meaning} |`;
  });
  return ['| state | public `status` | its money | meaning |', '|---|---|---|---|', ...rows];
}

function movesDiagram(): string[] {
  const edges = REFUND_STATE_NAMES.flatMap((from) => OUR_MOVES[from].map((to) => `  ${from} --> ${to}`));
  const proven = Object.keys(EVIDENCE).filter((to) => to !== 'mismatch');
  const proofs = proven.flatMap((to) =>
    ['submitting', 'outcome_unknown'].map((from) => `  ${from} -. proof .-> ${to}`),
  );
  return ['```mermaid', 'flowchart LR', ...edges, ...proofs, '```'];
}

function evidenceTable(): string[] {
  const rows = (Object.keys(EVIDENCE) as Evidence[]).map((evidence) => {
    const { movesFrom, movesIfAskedAfter, otherwise, exceptions } = EVIDENCE[evidence];
    const asked = movesIfAskedAfter.map((from) => `; \`${from}\` if asked after it was booked`).join('');
    const differing = Object.entries(exceptions).map(([from, judgement]) => `${words(judgement)} in \`${from}\``);
    return `| ${evidence} | ${statesOf(movesFrom)}${asked} | ${[words(otherwise), ...differing].join('; ')} |`;
  });
  return ['| WeChat proves | moves a refund from | in any other state |', '|---|---|---|', ...rows];
}

/** The shorter of the list and "every state but …". */
function statesOf(names: readonly RefundState[]): string {
  const left = REFUND_STATE_NAMES.filter((name) => !names.includes(name));
  const list = (some: readonly RefundState[]): string => some.map((name) => `\`${name}\``).join(', ');
  return left.length < names.length ? `every state but ${list(left)}` : list(names);
}

function words(judgement: string): string {
  return judgement.replace('_', ' ');
}
