import { createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';
const KEY_BYTES = 32;

/** A new signing secret, as it is shown to its endpoint's owner: `whsec_` and 32 random bytes in base64. */
export function newSecretText(): string {
  return PREFIX + randomBytes(KEY_BYTES).toString('base64');
}

/** What is signed: the message's id, the time of this try in seconds, the exact body. */
export interface Message {
  readonly id: string;
  readonly timestampSeconds: number;
  readonly body: string;
}

/**
 * The three headers of a message, with one signature per secret, so that a receiver that knows either accepts it while they rotate.
 * Source: Standard Webhooks 1.0, "Signature scheme", symmetric (v1).
 */
export function signedHeaders(message: Message, secrets: readonly string[]): Record<string, string> {
  const signatures = secrets.map((secret) => `v1,${signatureOf(message, secret)}`);
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.timestampSeconds),
    'webhook-signature': signatures.join(' '),
  };
}

function signatureOf({ id, timestampSeconds, body }: Message, secret: string): string {
  const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
  return createHmac('sha256', key).update(`${id}.${timestampSeconds}.${body}`).digest('base64');
}
