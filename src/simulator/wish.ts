import type { IncomingMessage } from 'node:http';

/** A control call that cannot be carried out; answered 400. */
export class BadWish extends Error {
  constructor(field: string, message: string) {
    super(`${field} ${message}`);
  }
}

/** The fields of a control call, each read as what it must be. */
export class Wish {
  constructor(private readonly fields: Readonly<Record<string, unknown>>) {}

  has(name: string): boolean {
    return this.fields[name] !== undefined;
  }

  text(name: string): string {
    const value = this.fields[name];
    if (typeof value !== 'string' || value === '') throw new BadWish(name, 'must be a text');
    return value;
  }

  optionalText(name: string): string | null {
    return this.has(name) ? this.text(name) : null;
  }

  textOrNull(name: string): string | null {
    return this.fields[name] === null ? null : this.text(name);
  }

  texts(name: string): string[] {
    const value = this.fields[name] ?? [];
    if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string'))
      throw new BadWish(name, 'must be a list of texts');
    return value;
  }

  integer(name: string, fallback?: number): number {
    const value = this.fields[name] ?? fallback;
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new BadWish(name, 'must be a whole number');
    return value;
  }

  integerOrNull(name: string): number | null {
    return this.fields[name] === null ? null : this.integer(name);
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.fields[name] ?? fallback;
    if (typeof value !== 'boolean') throw new BadWish(name, 'must be true or false');
    return value;
  }

  oneOf<T extends string>(name: string, words: readonly T[]): T {
    const found = words.find((word) => word === this.fields[name]);
    if (found === undefined) throw new BadWish(name, `must be one of ${words.join(', ')}`);
    return found;
  }
}

/** The JSON object of a request; none is an empty one. */
export async function readWish(request: IncomingMessage): Promise<Wish> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  try {
    const parsed: unknown = text === '' ? {} : JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new Error('no object');
    return new Wish(parsed as Record<string, unknown>);
  } catch {
    throw new BadWish('the body', 'must be a JSON object');
  }
}
