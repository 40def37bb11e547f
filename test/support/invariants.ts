import { ALWAYS } from '../../src/commands/invariants/check-invariants.js';
import { findingsOf, type Query } from '../../src/commands/invariants/invariant.js';

/** Those that a refund planted without a past cannot keep: nobody asked for it, nobody was told, no worker has it on a list. */
const OF_A_PAST = /^I(05|13|13b|15|20|26b) /;

/** What holds at every moment and does not, each with some of its rows; empty when all is well. */
export async function brokenInvariants(
  query: Query,
  { planted = false } = {},
): Promise<Record<string, readonly unknown[]>> {
  const invariants = ALWAYS.filter(({ name }) => !planted || !OF_A_PAST.test(name));
  const findings = await findingsOf(query, invariants);
  return Object.fromEntries(findings.map(({ name, rows }) => [name, rows]));
}
