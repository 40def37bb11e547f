/**
 * `npm run mutation`: changes what decides about money and belief in every way Stryker knows, one change at a time, and looks whether
 * the unit specs beside the file notice. About 25 minutes on two cores; not part of CI. `-- states.ts xml.ts` takes some files only.
 * Prints the score of every file, none left out, and every survivor. Exit code 1 when a file is below 90 %, or when a survivor in a file
 * of states and money is not named in mutation.md.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import process from 'node:process';
import { URL } from 'node:url';
import { Stryker } from '@stryker-mutator/core';

const SCORE_MIN = 90;
const VECTORS = 'test/vectors/vectors.spec.ts';

/** Files and the specs that must notice their changes. */
const GROUPS = [
  { of: 'src/refunds/', files: ['states.ts'], specs: ['states.spec.ts'], money: true },
  { of: 'src/refunds/', files: ['money.ts'], specs: ['money.spec.ts', 'decide.spec.ts'], money: true },
  { of: 'src/refunds/', files: ['slots.ts'], specs: ['slots.spec.ts', 'merchant-rate.spec.ts'], money: true },
  { of: 'src/refunds/', files: ['limits.ts'], specs: ['limits.spec.ts'], money: true },
  {
    of: 'src/refunds/',
    files: ['decide.ts', 'decide-move.ts', 'decide-proof.ts', 'decide-send.ts', 'change.ts'],
    specs: ['decide.spec.ts', 'decide-*.spec.ts'],
    money: true,
  },
  { of: 'src/wechat-pay/v2/', files: ['outcomes.ts', 'answers.ts'], specs: ['answers.spec.ts'] },
  {
    of: 'src/wechat-pay/v2/',
    files: ['notices.ts', 'req-info.ts', 'signature.ts'],
    specs: ['notices.spec.ts', 'signature.spec.ts'],
  },
  { of: 'src/wechat-pay/v2/', files: ['xml.ts'], specs: ['xml.spec.ts'] },
  { of: 'src/wechat-pay/v3/', files: ['outcomes.ts', 'answers.ts'], specs: ['answers.spec.ts'] },
  { of: 'src/wechat-pay/v3/', files: ['notices.ts', 'resource.ts'], specs: ['notices.spec.ts', 'resource.spec.ts'] },
  { of: 'src/wechat-pay/v3/', files: ['signature.ts', 'verifier.ts'], specs: ['verifier.spec.ts'] },
  { of: 'src/merchants/', files: ['sealing.ts'], specs: ['sealing.spec.ts'] },
];

const justified = readFileSync(new URL('../faults/mutation.md', import.meta.url), 'utf8');
const wanted = process.argv.slice(2);
const failures = [];
// The name of a random test holds its seed, and Stryker finds tests by name.
process.env.SEED ??= '1';
for (const group of GROUPS) {
  const files = group.files.filter((file) => wanted.length === 0 || wanted.includes(file));
  if (files.length === 0) continue;
  process.env.MUTATION_SPECS = [...group.specs.map((spec) => group.of + spec), VECTORS].join(' ');
  const results = await new Stryker(optionsFor(files.map((file) => group.of + file))).runMutationTest();
  for (const file of files) report(group, file, results);
}
say(failures.length === 0 ? 'mutation: every file holds' : `mutation: FAILED\n${failures.join('\n')}`);
process.exitCode = failures.length === 0 ? 0 : 1;

function say(line) {
  process.stdout.write(`${line}\n`);
}

function optionsFor(mutate) {
  return {
    mutate,
    testRunner: 'jest',
    testRunnerNodeArgs: ['--experimental-vm-modules', '--no-warnings'],
    jest: { configFile: 'test/mutation/jest.config.mjs', enableFindRelatedTests: false },
    coverageAnalysis: 'perTest',
    concurrency: 2,
    reporters: [],
    logLevel: 'warn',
    tempDirName: '.data/stryker',
    cleanTempDir: 'always',
    ignorePatterns: ['dist', '.data', 'examples', 'ops', 'migrations'],
  };
}

function report(group, file, results) {
  const path = group.of + file;
  const of = results.filter(({ fileName }) => fileName.endsWith(path));
  const count = (...statuses) => of.filter(({ status }) => statuses.includes(status)).length;
  const [killed, survived, errors] = [
    count('Killed', 'Timeout'),
    count('Survived', 'NoCoverage'),
    count('CompileError', 'RuntimeError'),
  ];
  const score = killed + survived === 0 ? 100 : (100 * killed) / (killed + survived);
  say(`${path}: ${score.toFixed(1)} % of ${killed + survived} (${survived} survived, ${errors} did not run)`);
  if (score < SCORE_MIN) failures.push(`${path} is below ${SCORE_MIN} %`);
  for (const mutant of of.filter(({ status }) => status === 'Survived' || status === 'NoCoverage')) {
    const name = nameOf(path, mutant);
    say(`  ${mutant.status}: line ${mutant.location.start.line}: ${name}`);
    if (group.money && !justified.includes(name)) failures.push(`not named in mutation.md: ${name}`);
  }
}

/** What a survivor is called: its file, what stood there and what stands there instead. */
function nameOf(path, { location: { start, end }, replacement }) {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines.at(-1).slice(0, end.column - 1);
  lines[0] = lines[0].slice(start.column - 1);
  const flat = (text) => text.replace(/\s+/g, ' ');
  return `${basename(path)}: ${flat(lines.join('\n'))} → ${flat(replacement ?? '')}`;
}
