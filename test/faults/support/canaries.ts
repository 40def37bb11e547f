import { createHash } from 'node:crypto';

/** A secret that was used, and the name it is reported by. */
export interface Canary {
  readonly name: string;
  readonly secret: string;
  /** True for base64: the bytes it stands for are looked for too. */
  readonly base64?: true;
  /** An APIv2 key: the hex of its MD5 opens req_info. */
  readonly opensNotices?: true;
}

/** A PEM or p12 is known by any of its lines. */
const LINE_LENGTH = 48;

/** Every spelling in which a secret could stand somewhere, by what it is called. */
function spellings({ secret, base64, opensNotices }: Canary): [string, string][] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString('hex');
  const md5 = createHash('md5').update(secret).digest('hex');
  return [
    ['raw', secret],
    ...aligned(bytes),
    ['hex', hex],
    ['hex in capitals', hex.toUpperCase()],
    ['URL-escaped', encodeURIComponent(secret)],
    ['JSON-escaped', JSON.stringify(secret).slice(1, -1)],
    ...(base64 ? [['hex of its bytes', Buffer.from(secret, 'base64').toString('hex')] as [string, string]] : []),
    ...(opensNotices
      ? ([
          ['MD5', md5],
          ['MD5 in capitals', md5.toUpperCase()],
        ] as [string, string][])
      : []),
  ];
}

/** base64 and base64url of the secret wherever it stands in a longer text: the digits that do not depend on its neighbours. */
function aligned(bytes: Buffer): [string, string][] {
  return [0, 1, 2].flatMap((offset): [string, string][] => {
    const digits = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const own = digits.slice(Math.ceil((offset * 8) / 6), (offset + bytes.length) % 3 === 0 ? undefined : -1);
    return [
      ['base64', own],
      ['base64url', own.replaceAll('+', '-').replaceAll('/', '_')],
    ];
  });
}

/** The canaries of a long secret in base64: lines from its middle, as text and as the bytes they stand for. */
export function linesOf(name: string, base64: string): Canary[] {
  const digits = base64.replace(/-----[^-]+-----|\s/g, '');
  return [0.3, 0.6].map((share) => {
    const at = Math.floor((digits.length * share) / 4) * 4;
    return { name, secret: digits.slice(at, at + LINE_LENGTH), base64: true };
  });
}

/** Where a secret stands, in which spelling; empty when it stands nowhere. */
export function leaks(canaries: readonly Canary[], places: Readonly<Record<string, string>>): string[] {
  return canaries.flatMap((canary) =>
    spellings(canary).flatMap(([spelling, text]) =>
      Object.entries(places)
        .filter(([, place]) => place.includes(text))
        .map(([place]) => `${canary.name}, ${spelling}, in ${place}`),
    ),
  );
}
