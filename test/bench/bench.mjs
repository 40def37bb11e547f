/** `npm run bench`: the doors of the built service beside the hand-written floors, in one run on this machine; see the README. */
import { writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { fillRefunds } from './rows.mjs';
import { LOADS } from './loads.mjs';
import { measure, READ_ROWS } from './rounds.mjs';
import { dispatchRate, endToEnd } from './sending.mjs';
import { Stage } from './stage.mjs';
import { tableOf } from './table.mjs';
import { verify } from './verify.mjs';

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
    verify: { type: 'boolean', default: false },
    loads: { type: 'string' },
    rounds: { type: 'string' },
    size: { type: 'string' },
  },
});

const short = options.quick || options.verify;
const rounds = Number(options.rounds ?? (options.verify ? 1 : options.quick ? 3 : 15));
/** Rounds that are not counted: V8 compiles what is used again and again. */
const warm = short ? 1 : 15;
const size = Number(options.size ?? (options.verify ? 200 : options.quick ? 300 : 1000));
const names = options.loads?.split(',') ?? Object.keys(LOADS).filter((name) => !options.verify || !LOADS[name].reads);

/** What is read between rounds: the service's connections and the delay of its event loop, whose histogram a scrape empties. */
async function noted(stage, service, notes) {
  notes.delaysMs.push(await stage.eventLoopDelayMs(service));
  notes.connections = Math.max(notes.connections, await stage.connectionsOf(service));
}

/** The doors, on the service and both floors. */
async function doors(stage) {
  const sides = [];
  const kinds = ['service', 'batched', 'classic'];
  for (const kind of kinds) {
    const database = await stage.copy(`bench_${kind}`);
    await stage.sql(database, (client) =>
      fillRefunds(client, {
        ...stage.merchants.apply,
        ...READ_ROWS,
        to: options.verify ? 101 : READ_ROWS.to,
        state: 'succeeded',
      }),
    );
    sides.push(await (kind === 'service' ? stage.service(database) : stage.floor(database, kind)));
  }
  const [service] = sides;
  const generator = stage.generator();
  const loads = [];
  const notes = { delaysMs: [], connections: 0 };
  let first = READ_ROWS.to;
  for (const name of names) {
    await stage.eventLoopDelayMs(service);
    const afterRound = (side) => (side === service ? noted(stage, service, notes) : undefined);
    const load = await measure(stage, { sides, generator, name, rounds, warm, size, first, afterRound });
    first += load.used;
    loads.push(load);
    process.stderr.write(`${load.title}: done\n`);
  }
  const rssMb = {};
  for (const side of sides) rssMb[side.name] = await side.rssMb();
  const compared = await verify(stage, sides);
  for (const side of sides) await side.end();
  const machine = { cores: cpus().length, memoryGb: Math.round(totalmem() / 2 ** 30), node: process.version };
  return { machine, rounds, size, loads, rssMb, ...notes, rows: compared };
}

/** What has no floor: WeChat's rate and the whole life of a refund. */
async function sending(stage) {
  if (options.verify || options.loads) return {};
  const count = options.quick ? 300 : 1500;
  return { dispatch: await dispatchRate(stage, count), lives: await endToEnd(stage, Math.min(count, 1000)) };
}

const stage = await Stage.open();
try {
  const result = { ...(await doors(stage)), ...(await sending(stage)) };
  process.stdout.write(`${tableOf(result, { speeds: !options.verify })}\n`);
  if (options.json) await writeFile(options.json, JSON.stringify(result, null, 2));
  if (result.rows.differences.length > 0) process.exitCode = 1;
} finally {
  await stage.close();
}
if (short) process.stderr.write('a short run: figures of the full one are steadier\n');
