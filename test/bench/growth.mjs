/** `npm run bench:growth`: the service alone at 10 thousand, 100 thousand and 1 million refunds with all their rows; see the README. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { claimSends } from '../../dist/refunds/claim.js';
import { measure, summary } from './rounds.mjs';
import { fillRefunds } from './rows.mjs';
import { Stage } from './stage.mjs';

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10000,100000,1000000' },
    rounds: { type: 'string', default: '5' },
    loads: { type: 'string', default: 'intake,apply,v3,get,list' },
    json: { type: 'string' },
  },
});
const SIZES = options.sizes.split(',').map(Number);
const LOADS = options.loads.split(',');
const PER_ROUND = 1000;
const FILL_AT_ONCE = 100_000;
/** Above everything that was filled, so that the rows of the loads are the same at every size. */
const FIRST = 10_000_000;
const CLAIMS = 30;
const CLAIMED = 15;
const RATE = 150;
const SETTINGS = {
  refundRatePerSecond: RATE,
  refundFailureRatePerSecond: 6,
  refundSpacingSeconds: 60,
  refundWindowDays: 365,
};

async function filled(stage, size) {
  const database = await stage.copy(`bench_growth_${size}`);
  await stage.sql(database, async (client) => {
    // Foreign keys of rows that are made to fit need not be looked up eight million times.
    await client.query('SET session_replication_role = replica');
    for (let from = 1; from <= size; from += FILL_AT_ONCE) {
      const to = Math.min(from + FILL_AT_ONCE, size + 1);
      await fillRefunds(client, { ...stage.merchants.apply, from, to, state: 'succeeded' });
    }
    await client.query('VACUUM ANALYZE');
    await client.query('CHECKPOINT');
  });
  return database;
}

/** Milliseconds of one claim of the dispatcher, its own code, among the refunds that the intake has left waiting. */
async function claimMs(client, mchId) {
  const tx = { query: (text, values) => rowsOf(client, text, values) };
  const nowMs = Date.now();
  const slots = { nextSlotMs: nowMs, ratePerSecond: RATE, rateChangedMs: nowMs, recentErrorsMs: [] };
  const context = { settings: SETTINGS, clock: { monotonicMs: () => performance.now() }, rate: { nowMs, slots } };
  await client.query('BEGIN');
  const startMs = performance.now();
  const claim = await claimSends(tx, mchId, { count: CLAIMED, probe: null }, context);
  const tookMs = performance.now() - startMs;
  await client.query('COMMIT');
  if (claim?.refunds.length !== CLAIMED) throw new Error(`a claim brought ${claim?.refunds.length} refunds`);
  return tookMs;
}

/** The middle claim of each database, taken in turn. */
async function claims(stage, sides) {
  const clients = sides.map(({ database }) => new pg.Client({ connectionString: stage.urlOf(database) }));
  await Promise.all(clients.map((client) => client.connect()));
  const times = sides.map(() => []);
  for (let turn = 0; turn < CLAIMS; turn += 1) {
    for (const [place, client] of clients.entries()) {
      times[place].push(await claimMs(client, stage.merchants.apply.mchId));
    }
  }
  await Promise.all(clients.map((client) => client.end()));
  return times.map((of) => summary(of).median);
}

/** As TypeORM answers: rows, or for UPDATE rows and their count. */
async function rowsOf(client, text, values) {
  const name = createHash('sha256').update(text).digest('hex').slice(0, 32);
  const { rows, command, rowCount } = await client.query({ name, text, values });
  return command === 'UPDATE' ? [rows, rowCount] : rows;
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
  const readRows = { from: 1, to: SIZES[0] + 1 };
  let first = FIRST;
  for (const name of LOADS) {
    const load = await measure(stage, {
      sides,
      generator,
      name,
      rounds: Number(options.rounds),
      size: PER_ROUND,
      first,
      readRows,
    });
    first += load.used;
    const perSecond = SIZES.map((size) => summary(load.results[size].perSecond).median);
    const cpuMs = SIZES.map((size) => summary(load.results[size].cpuMs).median);
    rows.push({ title: load.title, perSecond, cpuMs, worse: perSecond.map((value) => perSecond[0] / value) });
    process.stderr.write(`${load.title}: done\n`);
  }
  const claimed = await claims(stage, sides);
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
      `| claim, ms | ${shown(claimed, 2)} | ${shown(
        claimed.map((ms) => ms / claimed[0]),
        2,
      ).replaceAll(' |', ',')} |`,
      '',
    ].join('\n'),
  );
  if (options.json)
    await writeFile(
      options.json,
      JSON.stringify({ sizes: SIZES, rounds: options.rounds, rows, claimMs: claimed, readRows }, null, 2),
    );
} finally {
  await stage.close();
}
