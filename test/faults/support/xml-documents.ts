import type { Dice } from './campaign.js';

/** Pieces that two parsers may read differently, or that one of them should not read at all. */
const PIECES: readonly string[] = [
  '<xml>',
  '</xml>',
  '<root>',
  '</root>',
  '<a>',
  '</a>',
  '<b/>',
  '<a b="c">',
  '<a/>',
  '</',
  '<',
  '>',
  '/>',
  '<a ',
  '< a>',
  '</ a>',
  '</a >',
  '<a\n>',
  '<A>',
  '<a:b>',
  '<xmlns:a>',
  '<__proto__>',
  '</__proto__>',
  '<constructor>',
  '</constructor>',
  '<退>',
  '<a-b>',
  '<a.b>',
  '<![CDATA[',
  ']]>',
  ']]',
  ']',
  '<![CDATA[]]>',
  '<![cdata[a]]>',
  '<!',
  '<!-- -->',
  '<!--',
  '-->',
  '<!---->',
  '--',
  '<?xml version="1.0"?>',
  '<?xml version="1.0" encoding="UTF-8"?>',
  "<?xml version='1.1'?>",
  '<?xml version="1.1" encoding="utf-8"?>',
  '<?xml version="1.0" encoding="GBK"?>',
  '<?xml version="1.0" encoding="UTF-16"?>',
  '<?xml version="1.0" standalone="yes"?>',
  '<?xml version="1.0" standalone="no" ?>',
  '<?xml?>',
  '<?a b?>',
  '?>',
  '<?',
  '<!DOCTYPE xml>',
  '<!DOCTYPE xml [<!ENTITY a "SUCCESS">]>',
  '<!DOCTYPE xml SYSTEM "http://127.0.0.1:1/x">',
  '<!ENTITY a "b">',
  '&amp;',
  '&lt;',
  '&gt;',
  '&quot;',
  '&apos;',
  '&a;',
  '&nbsp;',
  '&AMP;',
  '&amp',
  '&',
  '&;',
  '&#;',
  '&#x;',
  '&#65;',
  '&#x41;',
  '&#0065;',
  '&#0;',
  '&#x0;',
  '&#8;',
  '&#9;',
  '&#10;',
  '&#13;',
  '&#x85;',
  '&#xD800;',
  '&#xDFFF;',
  '&#xFFFE;',
  '&#xFFFF;',
  '&#x10FFFF;',
  '&#x110000;',
  '&#1114112;',
  '&#9999999;',
  '&#xFFFFFF;',
  '&#X41;',
  '&#-1;',
  '&#6 5;',
  '&#128;',
  '&#xA0;',
  '&#60;',
  '&#38;',
  '&#38;lt;',
  '&amp;lt;',
  '\r',
  '\r\n',
  '\n',
  '\t',
  ' ',
  '  ',
  '\u000b',
  '\u000c',
  '\u0000',
  '\u0001',
  '\u0008',
  '\u001f',
  '\u007f',
  '\u0080',
  '\u0085',
  '\u00a0',
  '\u1680',
  '\u2003',
  '\u2028',
  '\u2029',
  '\u3000',
  '\ufeff',
  '\u200b',
  '\u202e',
  '\ufffd',
  '\ufffe',
  '\uffff',
  '\ud83d\ude00',
  '\u{1fffe}',
  '１２',
  '٣',
  '0x10',
  '1e3',
  '007',
  '+1',
  '1.0',
  ' 1 ',
  '-0',
  'SUCCESS',
  'FAIL',
  '退款',
  'a',
  '990',
  '"',
  "'",
  '=',
  'toString',
  '<refund_fee>1</refund_fee>',
  '<return_code>FAIL</return_code>',
  '<a><![CDATA[1]]></a>',
  '<a>1</a><a>2</a>',
];

const NAMES: readonly string[] = [
  'return_code',
  'result_code',
  'appid',
  'mch_id',
  'refund_fee',
  'out_refund_no',
  'sign',
  'a',
  'b_1',
  'z9',
  'constructor',
  '__proto__',
  'A',
];

/** Bytes that no UTF-8 text holds there. */
const BAD_BYTES: readonly number[] = [
  0x00, 0x80, 0xbf, 0xc0, 0xc1, 0xc3, 0xe0, 0xed, 0xef, 0xf0, 0xf5, 0xff, 0x3c, 0x26, 0x5d,
];

/** A message written by the grammar, now and then off it. */
function written(dice: Dice): string {
  const space = (): string =>
    dice.once(4) ? dice.pick(['\n', ' ', '\r\n', '\t', '\u00a0', '\u2028', '\ufeff', 'x']) : '';
  const content = (): string =>
    Array.from({ length: dice.below(4) }, () => {
      const piece = dice.once(3)
        ? dice.pick(PIECES)
        : dice.pick(['1', 'SUCCESS', '退款', ' x ', '&lt;', '&#65;', '\r\n', '\r', '\u0085']);
      return dice.once(4) ? `<![CDATA[${piece}]]>` : piece;
    }).join('');
  const element = (): string => {
    const name = dice.pick(NAMES);
    return dice.once(8) ? `<${name}/>` : `<${name}>${content()}</${dice.once(40) ? dice.pick(NAMES) : name}>`;
  };
  const declaration = dice.once(3) ? dice.pick(PIECES.filter((piece) => piece.startsWith('<?xml'))) : '';
  const elements = Array.from({ length: dice.below(6) }, () => element() + space()).join('');
  return `${space()}${declaration}${space()}<xml>${space()}${elements}</xml>${space()}`;
}

type Mutation = (bytes: Buffer, dice: Dice) => Buffer;
const cut = (bytes: Buffer, from: number, to: number, between: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([bytes.subarray(0, from), between, bytes.subarray(to)]);

const MUTATIONS: readonly Mutation[] = [
  (bytes, dice) => cut(bytes, dice.below(bytes.length + 1), bytes.length),
  (bytes, dice) => {
    const at = dice.below(bytes.length);
    return cut(bytes, at, at + 1 + dice.below(8));
  },
  (bytes, dice) => {
    const at = dice.below(bytes.length + 1);
    return cut(bytes, at, at, Buffer.from(dice.pick(PIECES)));
  },
  (bytes, dice) => {
    const at = dice.below(bytes.length);
    return cut(bytes, at, at + dice.below(12), Buffer.from(dice.pick(PIECES)));
  },
  (bytes, dice) => {
    const at = dice.below(bytes.length);
    return cut(bytes, at, at + 1, Buffer.of(dice.once(2) ? dice.pick(BAD_BYTES) : dice.below(256)));
  },
  (bytes, dice) => {
    const at = dice.below(bytes.length);
    const copied = bytes.subarray(at, at + dice.below(60));
    const place = dice.below(bytes.length);
    return cut(bytes, place, place, copied);
  },
];

/** One document: by the grammar, or a genuine one changed in one to five places. */
export function hostileDocument(dice: Dice, genuine: readonly Buffer[]): Buffer {
  let bytes = dice.once(3) ? Buffer.from(written(dice)) : dice.pick(genuine);
  const changes = dice.below(6);
  for (let n = 0; n < changes && bytes.length > 0; n += 1) bytes = dice.pick(MUTATIONS)(bytes, dice);
  return bytes;
}
