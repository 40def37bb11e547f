import { brokenInvariants } from '../../support/invariants.js';
import type { Stack } from './stack.js';

/** Ends a stack and expects that nothing it was put through has broken a counter or a history. */
export async function closeWhole(stack: Stack): Promise<void> {
  const broken = await brokenInvariants(async (sql) => (await stack.database.query(sql)).rows as unknown[]);
  await stack.close();
  expect(broken).toEqual({});
}
