import { readdirSync, readFileSync } from 'node:fs';
import ts from 'typescript';
import { withinBudget } from './support/budget.js';

/** As long as the longest body that is read; a quadratic expression would take seconds over it. */
const LENGTH = 64 * 1024;

/** Every expression written in the service, the simulator left out: nobody but us talks to it. */
function expressions(): [string, RegExp][] {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts') && !file.startsWith('simulator/'))
    .sort();
  return files.flatMap((file) => {
    const found: [string, RegExp][] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isRegularExpressionLiteral(node)) {
        const [, source = '', flags = ''] = /^\/(.*)\/([a-z]*)$/s.exec(node.text) ?? [];
        found.push([`${file}: ${node.text.slice(0, 80)}`, new RegExp(source, flags)]);
      }
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(file, readFileSync(`src/${file}`, 'utf8'), ts.ScriptTarget.ES2022));
    return found;
  });
}

/** Texts that make an expression go back: what it likes, over and over, and then an end that it does not like. */
function attacks({ source }: RegExp): string[] {
  const liked = [
    ...new Set([
      ...source.replace(/\\[a-zA-Z]/g, '').replace(/[\\^$.*+?()[\]{}|]/g, ''),
      'a',
      '0',
      ' ',
      'A',
      '"',
      '<',
      '.',
      '-',
      '/',
    ]),
  ];
  const once = liked.map((letter) => letter.repeat(LENGTH));
  const pairs = liked.slice(1).map((letter, place) => `${liked[place]}${letter}`.repeat(LENGTH / 2));
  return [...once, ...pairs].flatMap((text) => [`${text}\u0007`, `\u0007${text}`]);
}

it('J09 no expression of the service takes long over any text, however it is made to fail', () => {
  const all = expressions();
  expect(all.length).toBeGreaterThan(60);
  for (const [name, expression] of all) {
    for (const text of attacks(expression)) {
      withinBudget(
        () => `${name} over ${JSON.stringify(text.slice(0, 12))}…`,
        () => {
          expression.lastIndex = 0;
          return expression.test(text);
        },
      );
    }
  }
});
