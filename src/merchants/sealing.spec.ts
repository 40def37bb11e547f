import { randomBytes } from 'node:crypto';
import { Secret } from '../common/secret.js';
import type { Settings } from '../config/settings.js';
import { Sealer } from './sealing.js';

const ring = (active: string): Settings =>
  ({
    masterKeyActive: active,
    masterKeys: KEYS,
  }) as unknown as Settings;
const KEYS = new Map(['a', 'b'].map((kid) => [kid, new Secret(randomBytes(32).toString('base64'))]));
const CONTEXT = { mchId: '1900000001', kind: 'api_v2_key', version: '1' };

describe('a sealed secret', () => {
  const sealer = new Sealer(ring('a'));
  const sealed = sealer.seal(CONTEXT, 'the secret');

  it('opens in its own place, also after another master key became the active one', () => {
    expect(new Sealer(ring('b')).open(CONTEXT, sealed).reveal()).toBe('the secret');
  });

  it.each(Object.entries({ mchId: '1900000002', kind: 'api_v3_key', version: '2' }))(
    'does not open with another %s',
    (name, value) => {
      expect(() => sealer.open({ ...CONTEXT, [name]: value }, sealed)).toThrow();
    },
  );

  it('does not open under another master key, or with any byte changed', () => {
    expect(() => sealer.open(CONTEXT, { ...sealed, kekId: 'b' })).toThrow();
    for (let place = 0; place < sealed.sealed.length; place += 1) {
      const changed = Buffer.from(sealed.sealed);
      changed[place] = (changed[place] ?? 0) ^ 1;
      expect(() => sealer.open(CONTEXT, { ...sealed, sealed: changed })).toThrow();
    }
    expect(() => sealer.open(CONTEXT, { ...sealed, sealed: sealed.sealed.subarray(0, -1) })).toThrow();
  });

  it('does not open when cut off anywhere, also within the tag of an empty text', () => {
    const empty = sealer.seal(CONTEXT, '');
    expect(sealer.open(CONTEXT, empty).reveal()).toBe('');
    for (let length = 0; length < empty.sealed.length; length += 1)
      expect(() => sealer.open(CONTEXT, { ...empty, sealed: empty.sealed.subarray(0, length) })).toThrow();
  });

  it('under a master key that is gone names that key; of another format, that', () => {
    expect(() => sealer.open(CONTEXT, { ...sealed, kekId: 'gone' })).toThrow('MASTER_KEYS holds the key gone');
    const other = Buffer.concat([Buffer.of(2), sealed.sealed.subarray(1)]);
    expect(() => sealer.open(CONTEXT, { ...sealed, sealed: other })).toThrow('a sealed text has a known format');
  });

  it('never looks the same twice and never holds the text', () => {
    const all = Array.from({ length: 2000 }, () => sealer.seal(CONTEXT, 'the secret').sealed);
    expect(new Set(all.map((bytes) => bytes.subarray(1, 13).toString('hex'))).size).toBe(2000);
    expect(all.some((bytes) => bytes.includes('the secret'))).toBe(false);
  });

  it('prints as [secret] in every way of printing', () => {
    const secret = sealer.open(CONTEXT, sealed);
    expect([String(secret), JSON.stringify({ secret })]).toEqual(['[secret]', '{"secret":"[secret]"}']);
  });
});
