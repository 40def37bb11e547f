/** `npm run bench:growth`: the service alone at 10 thousand, 100 thousand and 1 million refunds with all their rows; see the README. */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { READ_ROWS, measure, summary } from './rounds.mjs';
import { fillRefunds } from './rows.mjs';
import { Stage } from './stage.mjs';

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10000,100000,1000000' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'string' },
  },
});
const SIZES = options.sizes.split(',').map(Number);
const LOADS = ['intake', 'apply', 'v3', 'get', 'list'];
const PER_ROUND = 1000;
const FILL_AT_ONCE = 100_000;
/** Above everything that was filled, so that the rows of the loads are the same at every size. */
const FIRST = 10_000_000;
const CLAIMS = 30;
const CLAIMED = 15;

/** What the dispatcher asks first: the due refunds of a merchant, the oldest of each order; the statement under the claim. */
const CLAIM_SQL = `
  SELECT r.id FROM refund r WHERE r.mch_id = $1 AND r.next_attempt_at <= tuikuan_now()
  ORDER BY r.next_attempt_at LIMIT ${CLAIMED} FOR NO KEY UPDATE SKIP LOCKED`;

async function filled(stage, size) {
  const database = await stage.copy(`bench_growth_${size}`);
  await stage.sql(database, async (client) => {
    for (let from = 1; from <= size; from += FILL_AT_ONCE) {
      const to = Math.min(from + FILL_AT_ONCE, size + 1);
      await fillRefunds(client, { ...stage.merchants.apply, from, to, state: 'succeeded' });
    }
    await client.query('VACUUM ANALYZE');
    await client.query('CHECKPOINT');
  });
  return database;
}

/** Milliseconds of one claim's search among what waits. */
function claims(stage, database) {
  return stage.sql(database, async (client) => {
    const times = [];
    for (let turn = 0; turn < CLAIMS; turn += 1) {
      const startMs = performance.now();
      await client.query({ name: 'claim', text: CLAIM_SQL, values: [stage.merchants.apply.mchId] });
      times.push(performance.now() - startMs);
    }
    return summary(times).median;
  });
}

const stage = await Stage.open();
try {
  const sides = [];
  for (const size of SIZES) {
    const database = await filled(stage, size);
    sides.push(await stage.service(database, { name: String(size) }));
    process.stderr.write(`${size} refunds: filled\n`);
  }
  const generator = stage.generator();
  const rows = [];
  let first = FIRST;
  for (const name of LOADS) {
    const load = await measure(stage, {
      sides,
      generator,
      name,
      rounds: Number(options.rounds),
      size: PER_ROUND,
      first,
    });
    first += load.used;
    const perSecond = SIZES.map((size) => summary(load.results[size].perSecond).median);
    const cpuMs = SIZES.map((size) => summary(load.results[size].cpuMs).median);
    rows.push({ title: load.title, perSecond, cpuMs, worse: perSecond.map((value) => perSecond[0] / value) });
    process.stderr.write(`${load.title}: done\n`);
  }
  const claimMs = [];
  for (const { database } of sides) claimMs.push(await claims(stage, database));
  const shown = (values, digits) => values.map((value) => value.toFixed(digits)).join(' | ');
  const heads = SIZES.map((size) => `${size}`).join(' | ');
  process.stdout.write(
    [
      `| Load, answers/s | ${heads} | cost against the smallest |`,
      `|---|${'---|'.repeat(SIZES.length + 1)}`,
      ...rows.map(
        ({ title, perSecond, worse }) =>
          `| ${title} | ${shown(perSecond, 0)} | ${shown(worse, 2).replaceAll(' |', ',')} |`,
      ),
      `| claim, ms | ${shown(claimMs, 2)} | ${shown(
        claimMs.map((ms) => ms / claimMs[0]),
        2,
      ).replaceAll(' |', ',')} |`,
      '',
    ].join('\n'),
  );
  if (options.json)
    await writeFile(
      options.json,
      JSON.stringify({ sizes: SIZES, rounds: options.rounds, rows, claimMs, readRows: READ_ROWS }, null, 2),
    );
} finally {
  await stage.close();
}
