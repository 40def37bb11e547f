import { readFileSync } from 'node:fs';
import { CRASH_POINTS } from './crash-points.js';

const README = readFileSync(new URL('README.md', import.meta.url), 'utf8');
const told = new Map(
  [...README.matchAll(/^\| (C[0-9]{2}) +\| (.+?) +\|$/gm)].map(([, row = '', text = '']) => [row, text]),
);
const ROWS = Array.from({ length: 36 }, (_, place) => `C${String(place + 1).padStart(2, '0')}`);

it.each(ROWS)('%s of the fault catalogue has its points, or a reason why there is none', (row) => {
  const points = CRASH_POINTS.map(({ id }) => id).filter((id) => id.startsWith(row));
  const text = told.get(row) ?? '';
  expect([...text.matchAll(/`(C[0-9]{2}[a-z]?)`/g)].map(([, id]) => id)).toEqual(points);
  expect(text.length).toBeGreaterThan(10);
});

it('no point stands for a row that the catalogue does not have', () => {
  expect(CRASH_POINTS.filter(({ id }) => !ROWS.includes(id.slice(0, 3)))).toEqual([]);
});
