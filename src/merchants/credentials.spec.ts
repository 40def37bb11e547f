import forge from 'node-forge';
import { type MadeCertificate, makeCertificate } from '../../test/support/certificate.js';
import { checkCredentials, type CredentialsInput } from './credentials.js';

/** Invented keys and certificates, made for this run. */
const MCH_ID = '1900000001';
const NOW = Date.now();

const pair = (commonName = MCH_ID, wish?: Parameters<typeof makeCertificate>[1]): MadeCertificate =>
  makeCertificate(commonName, wish);

function p12(made: MadeCertificate, password: string, algorithm: 'aes256' | '3des'): string {
  const container = forge.pkcs12.toPkcs12Asn1(
    forge.pki.privateKeyFromPem(made.key),
    [forge.pki.certificateFromPem(made.certificate)],
    password,
    { algorithm },
  );
  return Buffer.from(forge.asn1.toDer(container).getBytes(), 'latin1').toString('base64');
}

const good = pair();
const check = (input: CredentialsInput) => checkCredentials(MCH_ID, input, NOW);
const pem = (made: MadeCertificate): CredentialsInput => ({
  client_certificate_pem: made.certificate,
  client_key_pem: made.key,
});

describe('credentials', () => {
  it.each(['aes256', '3des'] as const)(
    'a p12 with %s opens, by default with the merchant number as password',
    async (algorithm) => {
      const [checked] = await check({ client_certificate_p12: p12(good, MCH_ID, algorithm) });
      expect(checked).toMatchObject({
        kind: 'client_certificate',
        serial: '4A'.repeat(20),
        publicPart: expect.stringContaining('BEGIN CERTIFICATE'),
      });
      expect(checked?.secret).toContain('BEGIN PRIVATE KEY');
      expect(checked?.publicPart).not.toContain('PRIVATE');
    },
  );

  it('a pem pair is taken', async () => {
    expect(await check(pem(good))).toHaveLength(1);
  });

  it.each<[string, () => CredentialsInput, RegExp]>([
    ['a wrong password', () => ({ client_certificate_p12: p12(good, 'another', 'aes256') }), /wrong password/],
    ['junk', () => ({ client_certificate_p12: Buffer.from('junk').toString('base64') }), /not a readable/],
    ['no base64', () => ({ client_certificate_p12: '%%%' }), /base64/],
    ['too large a file', () => ({ client_certificate_p12: Buffer.alloc(100_001).toString('base64') }), /larger than/],
    ['a key that does not fit', () => pem({ ...good, key: pair().key }), /does not fit/],
    ['an expired certificate', () => pem(pair(MCH_ID, { fromDays: -10, toDays: -1 })), /expired on/],
    ['a certificate that is not valid yet', () => pem(pair(MCH_ID, { fromDays: 2 })), /not valid yet/],
    ['a certificate of another merchant', () => pem(pair('1900000002')), /of 1900000002, not of merchant 1900000001/],
    ['a short key', () => pem(pair(MCH_ID, { bits: 1024 })), /2048/],
    ['a certificate that is none', () => pem({ ...good, certificate: 'x' }), /no readable certificate/],
    ['a key of 31 characters', () => ({ api_v2_key: 'k'.repeat(31) }), /exactly 32/],
    ['a key with a blank', () => ({ api_v3_key: `${'k'.repeat(31)} ` }), /exactly 32/],
    [
      'a public key without its prefix',
      () => ({ wechatpay_public_key_id: 'KEY_1', wechatpay_public_key_pem: 'x' }),
      /PUB_KEY_ID_/,
    ],
    [
      'a public key that is none',
      () => ({ wechatpay_public_key_id: 'PUB_KEY_ID_1', wechatpay_public_key_pem: 'x' }),
      /no readable public key/,
    ],
  ])('%s is refused with the reason', async (_, input, reason) => {
    await expect(check(input())).rejects.toMatchObject({
      code: 'credentials_invalid',
      detail: expect.stringMatching(reason),
    });
  });

  it('names every fault at once and no part of a secret', async () => {
    const input = { api_v2_key: 'short-secret', api_v3_key: 'other-secret' };
    const error = await check(input).catch((caught: { detail: string; more: { errors: unknown[] } }) => caught);
    expect(error).toMatchObject({ more: { errors: [{ field: 'api_v2_key' }, { field: 'api_v3_key' }] } });
    expect(JSON.stringify(error)).not.toContain('secret"');
  });
});
