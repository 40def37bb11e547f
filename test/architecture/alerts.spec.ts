import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url).pathname;
const RULES = `${ROOT}ops/alerts.yml`;

/** Names of the metrics that the code declares. */
function declared(): Set<string> {
  const files = readdirSync(`${ROOT}src`, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const source = files.map((file) => readFileSync(`${ROOT}src/${file}`, 'utf8')).join('\n');
  const counters = [...source.matchAll(/name: '(tuikuan_\w+)'/g)].map(([, name]) => name ?? '');
  const table = /const GAUGES = \{([^]*?)\n\}/.exec(source)?.[1] ?? '';
  const gauges = [...table.matchAll(/^ {2}(\w+):/gm)].map(([, name]) => `tuikuan_${name ?? ''}`);
  const elsewhere = [...source.matchAll(/countedElsewhere\('(\w+)'/g)].map(([, name]) => `tuikuan_${name ?? ''}_total`);
  return new Set([...counters, ...gauges, ...elsewhere]);
}

describe('ops/alerts.yml', () => {
  it('asks only for metrics that exist', () => {
    const named = [...readFileSync(RULES, 'utf8').matchAll(/tuikuan_\w+/g)].map(([name]) => name);
    expect(named.length).toBeGreaterThan(14);
    expect(named.filter((name) => !declared().has(name))).toEqual([]);
  });

  it('is taken by promtool', () => {
    if (spawnSync('promtool', ['--version']).error) {
      process.stdout.write('skipped: promtool is not installed (Debian: apt-get install prometheus)\n');
      return;
    }
    expect(execFileSync('promtool', ['check', 'rules', RULES], { encoding: 'utf8' })).toContain('SUCCESS: 15 rules');
  });
});
