import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keepKeysAt, newKey } from './rsa-keys.js';

const directory = mkdtempSync(join(tmpdir(), 'tuikuan-keys-'));
afterAll(() => rmSync(directory, { recursive: true }));

const text = (): string => newKey().export({ type: 'pkcs8', format: 'pem' }).toString();

it('gives out what was kept, each once, and then new ones, which it keeps', () => {
  const path = join(directory, 'keys.pem');
  keepKeysAt(path);
  const first = [text(), text()];
  expect(new Set(first).size).toBe(2);
  expect(readFileSync(path, 'utf8')).toBe(first.join(''));
  keepKeysAt(path);
  const again = [text(), text(), text()];
  expect(again.slice(0, 2)).toEqual(first);
  expect(first).not.toContain(again[2]);
});

it('leaves a key that is only half written', () => {
  const path = join(directory, 'half.pem');
  keepKeysAt(join(directory, 'other.pem'));
  const whole = text();
  writeFileSync(path, whole);
  appendFileSync(path, whole.slice(0, 300));
  keepKeysAt(path);
  expect(text()).toBe(whole);
  expect(text()).not.toBe(whole);
});
