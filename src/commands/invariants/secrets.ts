import { SEALED_TABLES } from '../../operations/key-rotation.js';
import { type Invariant, quoted } from './invariant.js';

/** Read with their table, through the view over both. */
const ARCHIVE = 'archive.';

/** Every sealed text is under one of these master keys; the secret of a deleted endpoint is empty. */
export function sealedUnder(kids: readonly string[]): Invariant {
  const places = SEALED_TABLES.filter(({ table }) => !table.startsWith(ARCHIVE)).map(({ table, read }) => {
    const column = /\bcontent AS sealed\b/.test(read) ? 'content' : 'sealed';
    return `SELECT '${table}' AS of, kek_id, count(*) AS texts FROM ${table}
      WHERE length(${column}) > 0 AND kek_id NOT IN (${quoted(kids)}) GROUP BY kek_id`;
  });
  return { name: 'I29 no secret is sealed under a key that MASTER_KEYS lacks', sql: places.join(' UNION ALL ') };
}
