import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { ERROR_CODES } from '../../src/common/problem.js';
import { ENV_NAMES } from '../../src/config/env.js';
import { failuresSection } from './failures-section.js';
import { statesSection } from './states-section.js';

const ROOT = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');
/** README's generated sections: what stands between `<!-- name: … -->` and `<!-- /name -->`. */
const SECTIONS = { states: statesSection, failures: failuresSection };

describe('README.md', () => {
  it.each(Object.entries(SECTIONS))('shows the %s of the code (UPDATE_README=1 writes them)', (name, section) => {
    const place = new RegExp(`(<!-- ${name}: .*-->\n)[^]*?(<!-- /${name} -->)`);
    const wanted = read('README.md').replace(
      place,
      (_, open: string, end: string) => `${open}\n${section()}\n\n${end}`,
    );
    if (process.env['UPDATE_README'] === '1') writeFileSync(new URL('README.md', ROOT), wanted);
    expect(read('README.md')).toMatch(place);
    expect(read('README.md')).toBe(wanted);
  });

  it('names every variable', () => {
    const text = read('README.md');
    expect(ENV_NAMES.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it('names files and tests that exist', () => {
    const text = read('README.md');
    const paths = [...text.matchAll(/`((?:src|test|migrations)\/[\w./-]+)`/g)].map(([, path]) => path ?? '');
    expect(paths.length).toBeGreaterThan(10);
    expect(paths.filter((path) => !existsSync(new URL(path, ROOT)))).toEqual([]);
    const quoted = [...text.matchAll(/`(test\/[\w./-]+\.spec\.ts)` "([^"]+)"(?:, "([^"]+)")*/g)];
    expect(quoted.length).toBeGreaterThan(3);
    for (const [whole, path = ''] of quoted) {
      const source = read(path).replaceAll('%s', '…').replaceAll('$label', '…');
      for (const [, title = ''] of whole.matchAll(/"([^"]+)"/g)) {
        const words = title.split('…').map((part) => part.trim());
        expect([path, title, words.every((part) => source.includes(part))]).toEqual([path, title, true]);
      }
    }
  });

  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...read('README.md').matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name ?? '');
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe('the tree', () => {
  it('keeps the import rules of the modules', () => {
    const cruiser = new URL('node_modules/dependency-cruiser/bin/dependency-cruise.mjs', ROOT).pathname;
    const out = execFileSync(process.execPath, [cruiser, '--config', '.dependency-cruiser.cjs', 'src'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect(out).toContain('no dependency violations found');
  });

  it('has no source file over 300 lines', () => {
    const files = readdirSync(new URL('src', ROOT), { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    );
    const long = files.filter((file) => !file.endsWith('.spec.ts') && read(`src/${file}`).split('\n').length > 301);
    expect(long).toEqual([]);
  });

  it('uses every error code it declares', () => {
    const files = readdirSync(new URL('src', ROOT), { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.ts'),
    );
    const source = files
      .filter((file) => !file.endsWith('problem.ts'))
      .map((file) => read(`src/${file}`))
      .join('\n');
    expect(Object.keys(ERROR_CODES).filter((code) => !source.includes(`'${code}'`))).toEqual([]);
  });
});
