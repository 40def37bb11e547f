import { loadNamed } from './loads.mjs';

/** Refunds that reads go over, filled once. */
export const READ_ROWS = { from: 1, to: 20_001 };
const ROUND_MIN = 20;

/** The middle value, the ends of the middle half, and their distance as a share of the middle value. */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => sorted[Math.floor((sorted.length - 1) * share + 0.5)];
  const [low, median, high] = [at(0.25), at(0.5), at(0.75)];
  return { median, low, high, spread: (high - low) / median };
}

/**
 * Runs one load on all sides in turn, A B C, B C A, C A B, each time with the same requests on databases of the same rows: of three or
 * more sides each follows each other and none itself, whose garbage it would clear. The first rounds, as many as `warm`, are not counted.
 * Answers per second, processor time and latencies of every side, as lists by round. Throws when one answer is not what it should be.
 * `used` is how many orders it took from `first` on.
 */
export async function measure(
  stage,
  { sides, generator, name, rounds, warm = 1, size, first, readRows = READ_ROWS, beforeRound, afterRound },
) {
  const load = loadNamed(name);
  const perRound = Math.max(ROUND_MIN, Math.round(size * load.share));
  const count = perRound * (warm + rounds);
  await prepare(stage, { sides, generator, load, count, first, readRows });
  const results = Object.fromEntries(sides.map((side) => [side.name, { perSecond: [], cpuMs: [], p50: [], p99: [] }]));
  for (let round = 0; round < warm + rounds; round += 1) {
    const part = { from: round * perRound, to: (round + 1) * perRound };
    const counts = round >= warm;
    for (const side of inTurn(sides, round)) {
      if (counts) await beforeRound?.(side);
      const ran = await oneRound(side, generator, load, part);
      if (!counts) continue;
      note(results[side.name], ran);
      await afterRound?.(side);
    }
  }
  return { name, title: load.title, results, used: load.reads ? 0 : count };
}

const inTurn = (sides, round) => sides.map((_, place) => sides[(place + round) % sides.length]);

async function prepare(stage, { sides, generator, load, count, first, readRows }) {
  const range = load.reads ? readRows : { from: first, to: first + count };
  if (load.fill) for (const { database } of sides) await fill(stage, database, load, range);
  const merchant = stage.merchants[load.merchant];
  await generator.ask({ kind: 'prepare', load: load.requests, ...range, count, merchant, apiKey: stage.apiKey });
}

function note(result, ran) {
  for (const [figure, values] of Object.entries(result)) values.push(ran[figure]);
}

async function oneRound(side, generator, { connections, status, name }, part) {
  const before = await side.cpuSeconds();
  const ran = await generator.ask({ kind: 'run', port: side.port, connections, status, ...part });
  if (ran.bad > 0) throw new Error(`${side.name}, ${name}: ${ran.bad} of ${ran.count} went wrong: ${ran.firstBad}`);
  const cpuMs = (((await side.cpuSeconds()) - before) * 1000) / ran.count;
  return { perSecond: ran.perSecond, cpuMs, ...ran.latencyMs };
}

async function fill(stage, database, load, range) {
  const merchant = stage.merchants[load.merchant];
  await stage.sql(database, async (client) => {
    await load.fill(client, { ...merchant, ...range });
    await client.query('VACUUM ANALYZE');
    await client.query('CHECKPOINT');
  });
}
