import { Webhook } from 'standardwebhooks';
import { newSecretText, signedHeaders } from './signature.js';

const now = (): number => Math.floor(Date.now() / 1000);
const message = (change: { id?: string; timestampSeconds?: number; body?: string } = {}) => ({
  id: 'evt_0190',
  timestampSeconds: now(),
  body: '{"type":"refund.succeeded","data":{"object":{"reason":"商品售罄"}}}',
  ...change,
});

describe('a signature', () => {
  it('is accepted by the independent verifier, which gives the payload back', () => {
    const secret = newSecretText();
    const sent = message();
    expect(new Webhook(secret).verify(sent.body, signedHeaders(sent, [secret]))).toEqual(JSON.parse(sent.body));
  });

  it('equals the one the independent signer makes', () => {
    const secret = newSecretText();
    const sent = message();
    const theirs = new Webhook(secret).sign(sent.id, new Date(sent.timestampSeconds * 1000), sent.body);
    expect(signedHeaders(sent, [secret])['webhook-signature']).toBe(theirs);
  });

  it('agrees with the example of the specification', () => {
    const sent = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestampSeconds: 1614265330, body: '{"test": 2432232314}' };
    expect(signedHeaders(sent, ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'])['webhook-signature']).toBe(
      'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    );
  });

  it('is made with each live secret, and either opens it', () => {
    const [before, current, other] = [newSecretText(), newSecretText(), newSecretText()];
    const sent = message();
    const headers = signedHeaders(sent, [current, before]);
    for (const secret of [before, current]) {
      expect(() => new Webhook(secret).verify(sent.body, headers)).not.toThrow();
    }
    expect(() => new Webhook(other).verify(sent.body, headers)).toThrow('No matching signature');
  });

  it.each<[string, { id?: string; timestampSeconds?: number; body?: string }]>([
    ['another id', { id: 'evt_0191' }],
    ['another time', { timestampSeconds: now() - 1 }],
    ['a blank more', { body: `${message().body} ` }],
  ])('does not hold for %s', (_, change) => {
    const secret = newSecretText();
    const signed = signedHeaders(message(), [secret]);
    const changed = { ...message(), ...change };
    const headers = {
      ...signed,
      'webhook-id': changed.id,
      'webhook-timestamp': String(changed.timestampSeconds),
    };
    expect(() => new Webhook(secret).verify(changed.body, headers)).toThrow('No matching signature');
  });

  it('of a try older than five minutes is not taken', () => {
    const secret = newSecretText();
    const sent = message({ timestampSeconds: now() - 301 });
    expect(() => new Webhook(secret).verify(sent.body, signedHeaders(sent, [secret]))).toThrow('too old');
  });
});

it('a secret has 32 random bytes, and no two are alike', () => {
  const made = new Set(Array.from({ length: 1000 }, newSecretText));
  expect(made.size).toBe(1000);
  for (const secret of made) expect(Buffer.from(secret.replace('whsec_', ''), 'base64')).toHaveLength(32);
});
