import { createCipheriv } from 'node:crypto';
import { Secret } from '../../common/secret.js';
import { NoticeUnreadable } from '../notice-unreadable.js';
import { openResource, openWithAny, sealedResource, type SealedResource } from './resource.js';

const KEY = 'SyntheticApiV3KeyForUnitTests001';
const OTHER = 'x'.repeat(32);
const keys = (...texts: readonly string[]): Secret[] => texts.map((text) => new Secret(text));

function sealed(text: string, key = KEY): SealedResource {
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(key), Buffer.from('fdasflkja484')).setAAD(
    Buffer.from('aad'),
  );
  const body = Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
  return { ciphertext: body.toString('base64'), nonce: 'fdasflkja484', associatedData: 'aad' };
}
const cut = (resource: SealedResource, bytes: number): SealedResource => ({
  ...resource,
  ciphertext: Buffer.from(resource.ciphertext, 'base64').subarray(0, bytes).toString('base64'),
});
function reasonOf(open: () => unknown): { reason: string; cause: boolean } | null {
  try {
    open();
    return null;
  } catch (error) {
    if (!(error instanceof NoticeUnreadable)) throw error;
    return { reason: error.reason, cause: error.cause !== undefined };
  }
}

describe('a sealed resource', () => {
  it.each(['', 'a', '{"退":"款"}'])('opens to %p', (text) => {
    expect(openResource(KEY, sealed(text))).toBe(text);
  });

  it.each<[string, SealedResource, boolean]>([
    ['of another key', sealed('a', OTHER), true],
    ['of other associated data', { ...sealed('a'), associatedData: '' }, true],
    ['with a tag that is cut', cut(sealed('a'), 16), true],
    ['shorter than a tag', cut(sealed(''), 15), false],
    ['of nothing', { ...sealed('a'), ciphertext: '' }, false],
    ['with a nonce of 11 bytes', { ...sealed('a'), nonce: 'fdasflkja48' }, false],
    ['with a nonce of 13 bytes', { ...sealed('a'), nonce: 'fdasflkja4840' }, false],
  ])('%s does not open', (_, resource, cause) => {
    expect(reasonOf(() => openResource(KEY, resource))).toEqual({ reason: 'not_decryptable', cause });
  });

  it('with a nonce of another length does not open under that nonce either', () => {
    const cipher = createCipheriv('aes-256-gcm', Buffer.from(KEY), Buffer.from('0123456789abcdef')).setAAD(
      Buffer.from(''),
    );
    const body = Buffer.concat([cipher.update('a'), cipher.final(), cipher.getAuthTag()]);
    const resource = { ciphertext: body.toString('base64'), nonce: '0123456789abcdef', associatedData: '' };
    expect(reasonOf(() => openResource(KEY, resource))).toEqual({ reason: 'not_decryptable', cause: false });
  });

  it('opens with the first key that fits', () => {
    expect(openWithAny(keys(OTHER, KEY), sealed('a'))).toBe('a');
    expect(reasonOf(() => openWithAny(keys(OTHER), sealed('a')))).toEqual({ reason: 'not_decryptable', cause: false });
    expect(reasonOf(() => openWithAny([], sealed('a')))).toEqual({ reason: 'no_key', cause: false });
  });

  it('that cannot be tried for a reason of its own says so', () => {
    const broken = { ...sealed('a'), nonce: undefined } as unknown as SealedResource;
    expect(() => openWithAny(keys(KEY), broken)).toThrow('first argument must be');
  });

  it('is read from a message, empty where something is missing', () => {
    expect(sealedResource({ ciphertext: 'a', nonce: 'b', associated_data: 'c' })).toEqual({
      ciphertext: 'a',
      nonce: 'b',
      associatedData: 'c',
    });
    expect(sealedResource({ nonce: 1 })).toEqual({ ciphertext: '', nonce: '', associatedData: '' });
  });
});
