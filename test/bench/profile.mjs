/** `npm run bench:profile`: where the service's processor time goes under each load, by a sampling profiler that sees the load only. */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { WebSocket } from 'undici';
import { LOADS } from './loads.mjs';
import { measure, READ_ROWS } from './rounds.mjs';
import { fillRefunds } from './rows.mjs';
import { freePort, Stage } from './stage.mjs';

const { values: options } = parseArgs({
  options: {
    loads: { type: 'string' },
    size: { type: 'string', default: '4000' },
    out: { type: 'string' },
    floor: { type: 'boolean' },
  },
});
const SAMPLE_US = 500;
const SHOWN = 45;
const names = options.loads?.split(',') ?? Object.keys(LOADS);

/** The profiler of a process started with --inspect. */
class Profiler {
  #asked = new Map();
  #next = 1;

  static async of(port) {
    const [{ webSocketDebuggerUrl }] = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
    const profiler = new Profiler();
    profiler.socket = new WebSocket(webSocketDebuggerUrl);
    await new Promise((resolve) => profiler.socket.addEventListener('open', resolve));
    profiler.socket.addEventListener('message', ({ data }) => {
      const { id, result } = JSON.parse(data);
      profiler.#asked.get(id)?.(result);
    });
    await profiler.ask('Profiler.enable');
    await profiler.ask('Profiler.setSamplingInterval', { interval: SAMPLE_US });
    return profiler;
  }

  ask(method, params = {}) {
    const id = this.#next++;
    this.socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => this.#asked.set(id, resolve));
  }
}

const place = ({ functionName, url, lineNumber }) => {
  const file = url.replace(/^file:\/\//, '').replace(/^.*?\/(node_modules|dist|floor)\//, '$1/');
  return `${functionName || '(anonymous)'}  ${file}${file && `:${lineNumber + 1}`}`;
};

/** `@nestjs/core`, `dist/refunds`, `node:internal`: who the code belongs to. */
function ownerOf({ functionName, url }) {
  const inModules = /node_modules\/((?:@[^/]+\/)?[^/]+)(?!.*node_modules)/.exec(url);
  if (inModules) return inModules[1];
  const ours = /\/(dist\/[^/]+|floor)(?:\/|$)/.exec(url);
  if (ours) return ours[1];
  return url === '' ? `v8 ${functionName}` : url.split('/')[0].replace(/^node:.*/, 'node');
}

/** Shares of the time that is not idle: by function alone, by function with all it calls, and by owner. */
function summarise({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parent = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id])));
  const self = new Map();
  const inclusive = new Map();
  const owners = new Map();
  const add = (map, key, us) => map.set(key, (map.get(key) ?? 0) + us);
  let busyUs = 0;
  let idleUs = 0;
  samples.forEach((id, index) => {
    const us = timeDeltas[index];
    const { callFrame } = byId.get(id);
    if (callFrame.functionName === '(idle)') return (idleUs += us);
    busyUs += us;
    add(self, place(callFrame), us);
    add(owners, ownerOf(callFrame), us);
    const seen = new Set();
    for (let at = id; at !== undefined; at = parent.get(at)) seen.add(place(byId.get(at).callFrame));
    for (const key of seen) add(inclusive, key, us);
  });
  const top = (map) =>
    [...map]
      .sort(([, a], [, b]) => b - a)
      .slice(0, SHOWN)
      .map(([key, us]) => `${((us * 100) / busyUs).toFixed(1).padStart(6)} %  ${key}`)
      .join('\n');
  return {
    busyUs,
    idleUs,
    text: `by owner, self\n${top(owners)}\n\nby function, self\n${top(self)}\n\nby function, with what it calls\n${top(inclusive)}`,
  };
}

const stage = await Stage.open();
try {
  const sections = [];
  const database = await stage.copy('bench_profile');
  await stage.sql(database, (client) =>
    fillRefunds(client, { ...stage.merchants.apply, ...READ_ROWS, state: 'succeeded' }),
  );
  const port = await freePort();
  const flags = [`--inspect=127.0.0.1:${port}`];
  const side = await (options.floor ? stage.floor(database, 'batched', { flags }) : stage.service(database, { flags }));
  const profiler = await Profiler.of(port);
  const generator = stage.generator();
  let first = READ_ROWS.to;
  for (const name of names) {
    const size = Number(options.size);
    let started = false;
    const startOnce = async () => {
      if (!started) await profiler.ask('Profiler.start');
      started = true;
    };
    const { results, used, title } = await measure(stage, {
      sides: [side],
      generator,
      name,
      rounds: 2,
      size,
      first,
      beforeRound: startOnce,
    });
    const { profile } = await profiler.ask('Profiler.stop');
    first += used;
    const { text, busyUs, idleUs } = summarise(profile);
    const [result] = Object.values(results);
    const rate = result.perSecond.map((value) => value.toFixed(0)).join(', ');
    sections.push(
      `==== ${title}: ${rate}/s under the profiler; ${((busyUs * 100) / (busyUs + idleUs)).toFixed(0)} % busy\n\n${text}\n`,
    );
    process.stderr.write(`${title}: done\n`);
  }
  const whole = sections.join('\n\n');
  if (options.out) await writeFile(options.out, whole);
  else process.stdout.write(whole);
} finally {
  await stage.close();
}
