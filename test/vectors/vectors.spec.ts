import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fenFromYuanText } from '../../src/common/fen.js';
import { openReqInfo } from '../../src/wechat-pay/v2/req-info.js';
import { type SignType, sign, stringToSign } from '../../src/wechat-pay/v2/signature.js';
import { readXml } from '../../src/wechat-pay/v2/xml.js';
import { openResource } from '../../src/wechat-pay/v3/resource.js';
import { answerMessage, requestMessage, verifiesRsaSha256 } from '../../src/wechat-pay/v3/signature.js';

type Texts = Record<string, string>;
interface Vector {
  readonly name: string;
  readonly kind: string;
  readonly inputs: Record<string, unknown>;
  readonly expected: Record<string, unknown>;
}

const file = JSON.parse(readFileSync(new URL('./vectors.json', import.meta.url), 'utf8')) as {
  vectors: Vector[];
  count: number;
  kinds: Texts;
};

const opened = (inputs: Record<string, unknown>): ReadonlyMap<string, string> =>
  readXml(openReqInfo(String(inputs['req_info']), String(inputs['api_v2_key'])), { root: 'root' });

const resourceOf = (
  inputs: Record<string, unknown>,
): { ciphertext: string; nonce: string; associatedData: string } => ({
  ciphertext: String(inputs['ciphertext_base64']),
  nonce: String(inputs['nonce_utf8']),
  associatedData: String(inputs['aad_utf8']),
});

const isSigned = ({ public_key_pem: pem, headers, body }: Record<string, unknown>): boolean => {
  const {
    'Wechatpay-Timestamp': time = '',
    'Wechatpay-Nonce': nonce = '',
    'Wechatpay-Signature': signature = '',
  } = headers as Texts;
  return verifiesRsaSha256(answerMessage(time, nonce, String(body)), signature, createPublicKey(String(pem)));
};

/** How each kind is proved; a kind that is not here fails. */
const PROOFS: Readonly<Record<string, (vector: Vector) => void>> = {
  'v2-sign': ({ inputs, expected }) => {
    const fields = new Map(Object.entries(inputs['params'] as Texts));
    const text = stringToSign(fields, String(inputs['key']));
    expect(text).toBe(expected['string_to_sign'] ?? text);
    expect(sign(fields, String(inputs['key']), inputs['sign_type'] as SignType)).toBe(expected['sign']);
  },
  'v2-req-info': ({ inputs, expected }) => {
    expect(openReqInfo(String(inputs['req_info']), String(inputs['api_v2_key'])).toString()).toBe(
      expected['plaintext'],
    );
    expect(Object.fromEntries(opened(inputs))).toEqual(expected['plaintext_fields']);
  },
  'v2-req-info-reject': ({ inputs }) => {
    expect(() => opened(inputs)).toThrow();
  },
  'aes-gcm': ({ inputs, expected }) => {
    expect(openResource(String(inputs['key_utf8']), resourceOf(inputs))).toBe(expected['plaintext']);
  },
  'aes-gcm-reject': ({ inputs }) => {
    expect(() => openResource(String(inputs['key_utf8']), resourceOf(inputs))).toThrow('not_decryptable');
  },
  'rsa-sha256-verify': ({ inputs, expected }) => {
    const key = createPublicKey(String(inputs['public_key_pem']));
    const valid = verifiesRsaSha256(String(inputs['message']), String(expected['signature']), key);
    expect(valid).toBe(expected['valid'] ?? true);
  },
  'v3-notify': ({ inputs, expected }) => {
    expect(isSigned(inputs)).toBe(true);
    const { resource } = JSON.parse(String(inputs['body'])) as { resource: Texts };
    const { ciphertext = '', nonce = '', associated_data: associatedData = '' } = resource;
    const text = openResource(String(inputs['api_v3_key']), { ciphertext, nonce, associatedData });
    expect(text).toBe(expected['plaintext']);
  },
  'v3-notify-reject': ({ inputs }) => {
    expect(isSigned(inputs)).toBe(false);
  },
  'v3-request-message': ({ inputs, expected }) => {
    const { method, path_and_query: pathAndQuery, timestamp, nonce, body } = inputs as Texts;
    expect(requestMessage({ method, pathAndQuery, timestamp, nonce, body } as never)).toBe(expected['message']);
  },
  money: ({ inputs, expected }) => {
    expect((inputs['yuan'] as string[]).map(fenFromYuanText)).toEqual(expected['fen']);
  },
};

it('has as many vectors as it says, and a proof for every kind', () => {
  expect(file.vectors).toHaveLength(file.count);
  expect(Object.keys(PROOFS).sort()).toEqual(Object.keys(file.kinds).sort());
});

it.each(file.vectors)('$name', (vector) => {
  expect.hasAssertions();
  const proof = PROOFS[vector.kind];
  if (!proof) throw new Error(`no proof for the kind ${vector.kind}`);
  proof(vector);
});
