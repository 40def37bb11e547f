import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import { Buffer } from 'node:buffer';
import process from 'node:process';
import { URL } from 'node:url';
import { transformSync } from '@swc/core';

/**
 * Laid over the built service by `node --import`: the process kills itself at a point of crash-points.ts, the nth time it passes it.
 * `CRASH_AT=C15:2` names the point from the start; one that was started over a channel is told later, by the same words.
 */
const TYPESCRIPT = { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } };

/** These files import nothing but types. */
async function load(name) {
  const { code } = transformSync(readFileSync(new URL(name, import.meta.url), 'utf8'), TYPESCRIPT);
  return import(`data:text/javascript;base64,${Buffer.from(code).toString('base64')}`);
}

const [{ Life }, { installSeams }, { CRASH_POINTS }] = await Promise.all(
  ['life.ts', 'seams.ts', 'crash-points.ts'].map(load),
);
const life = new Life(() => process.kill(process.pid, 'SIGKILL'));

function arm(words) {
  const [id, nth = '1'] = words.split(':');
  const point = CRASH_POINTS.find((one) => one.id === id);
  if (!point) throw new Error(`there is no crash point ${id}`);
  life.arm(point.trap, Number(nth));
}

const { Client, Pool } = createRequire(import.meta.url)('pg');
installSeams(
  { Client, Pool, net, http },
  () => life,
  () => undefined,
);
if (process.env.CRASH_AT) arm(process.env.CRASH_AT);
if (process.channel) process.on('message', arm);
