import type { Dice } from './campaign.js';

/** A well-formed body as JSON text, and what a hostile hand makes of it. */
type Change = (body: string, dice: Dice) => string;

/** Every key with its value, written so that it can be put anywhere in an object. */
const MEMBERS = /"(?:[^"\\]|\\.)*":(?:"(?:[^"\\]|\\.)*"|-?\d+|true|false)/g;
const NUMBER = /(?<="):-?\d+/g;
const TEXT = /:"(?:[^"\\]|\\.)*"/g;

/** Replaces one of the places that `pattern` finds; the body with one more member where it finds none. */
function put(body: string, dice: Dice, pattern: RegExp, by: string): string {
  const found = [...body.matchAll(pattern)];
  if (found.length === 0) return body.replace('{', `{"amount":${by},`);
  const { index, 0: whole } = dice.pick(found);
  return `${body.slice(0, index)}:${by}${body.slice(index + whole.length)}`;
}

const within =
  (member: string): Change =>
  (body, dice) => {
    const { index } = dice.pick([...body.matchAll(/\{/g)]);
    return `${body.slice(0, index + 1)}${member}${body[index + 1] === '}' ? '' : ','}${body.slice(index + 1)}`;
  };
const pickOf =
  (pattern: RegExp, values: readonly string[]): Change =>
  (body, dice) =>
    put(body, dice, pattern, dice.pick(values));

/** The same member twice in its object, the second time as it is or with its key escaped. */
const doubled: Change = (body, dice) => {
  const { index, 0: member } = dice.pick([...body.matchAll(MEMBERS)]);
  const again = dice.once(2)
    ? member
    : member.replace(/^"(.)/, (_, letter: string) => `"\\u00${letter.charCodeAt(0).toString(16)}`);
  return `${body.slice(0, index)}${again},${body.slice(index)}`;
};

const DEEP = 10_000;
const NOT_INTEGERS = [
  '9007199254740993',
  '1e400',
  '-0',
  '1.0000000000000001',
  '1.5',
  '1e2',
  '1.0',
  '1E0',
  '-1.0',
  '0.1e1',
  '01',
  '+1',
  '0x10',
  'NaN',
  'Infinity',
  '1_000',
  '٣',
];
const NOT_TEXTS = ['["a"]', '{"a":"b"}', '{"$ne":"x"}', '[]', '{}', '1', 'true', 'null', '[["a"]]', '{"length":1}'];
const EXTRA = [
  '"state":"succeeded"',
  '"merchantId":"1"',
  '"isAdmin":true',
  '"id":"re_1"',
  '"amount_refunded":1',
  '"toString":"x"',
  '"valueOf":"x"',
  '"hasOwnProperty":"x"',
  '"":"x"',
  '"a.b":1',
];
const PROTOTYPES = [
  '"__proto__":{"isAdmin":true}',
  '"constructor":{"prototype":{"isAdmin":true}}',
  '"prototype":1',
  '"__proto__":null',
  '"\\u005f_proto__":{"a":1}',
];
const BROKEN = [
  '"\\u0000"',
  '"\\ud800"',
  '"\\udc00x"',
  '"\u0001"',
  '"\\ufffe"',
  '"a',
  '"\\x41"',
  "'a'",
  'undefined',
  '"a" "b"',
  '/* */ 1',
  '"\t"',
];

/** By row of faults.md 2.8: changes after which no route takes the body. */
export const REFUSED_JSON: Readonly<Record<string, Change>> = {
  'J01 a doubled key': doubled,
  'J02 a prototype key': (body, dice) => within(dice.pick(PROTOTYPES))(body, dice),
  'J03 ten thousand levels': (body) => body.replace('{', `{"a":${'['.repeat(DEEP)}${']'.repeat(DEEP)},`),
  'J03 forty levels': (body) => body.replace('{', `{"a":${'{"a":'.repeat(40)}1${'}'.repeat(40)},`),
  'J03 a megabyte': (body) => body.replace('{', `{"a":"${'x'.repeat(2 ** 20)}",`),
  'J03 very many keys': (body) =>
    body.replace('{', `{${Array.from({ length: 100_000 }, (_, n) => `"k${n}":1,`).join('')}`),
  'J04 a number that is no whole one': pickOf(NUMBER, NOT_INTEGERS),
  'J05 a property too many': (body, dice) => body.replace('{', `{${dice.pick(EXTRA)},`),
  'J06 something else where a text belongs': pickOf(TEXT, NOT_TEXTS),
  'J10 a text that no line may hold': pickOf(TEXT, BROKEN),
};

export const SQL_TEXTS = [
  `'; DROP TABLE refund; --`,
  `' OR '1'='1`,
  `1; SELECT pg_sleep(10)`,
  `$1`,
  `") UNION SELECT * FROM credential --`,
  `\\'; DELETE FROM refund_event; --`,
  `%27%20OR%201=1`,
] as const;

/** Texts that would break a line of a log into two, or write one of their own. */
export const LOG_TEXTS = [
  'a\r\n{"level":"error","message":"forged"}',
  '\u001b[2J\u001b[31m',
  '"},{"a":"',
  '\u2028forged\u2029',
  'a\tb',
] as const;

/** One byte or a few of a body are others, wherever they stand. */
export function changedBytes(body: string, dice: Dice): Buffer {
  const bytes = Buffer.from(body);
  for (let n = 0; n <= dice.below(3); n += 1)
    bytes[dice.below(bytes.length)] = dice.once(2)
      ? dice.below(256)
      : dice.pick([0x22, 0x2c, 0x3a, 0x5b, 0x7b, 0x7d, 0x5c]);
  return bytes;
}
