import type { Connection, Exchange, Outgoing } from './connections.js';

/** One call on a connection that `take` gives; a connection that cannot be had has written nothing. Never throws. */
export async function exchangeOn(take: Promise<Connection>, request: Outgoing): Promise<Exchange> {
  try {
    const connection = await take;
    return await connection.exchange(request);
  } catch (error) {
    return {
      answered: false,
      written: false,
      reason: error instanceof Error ? error.message : String(error),
      durationMs: 0,
    };
  }
}

/** The request's nonce_str: the gateway call's id, so that our log and WeChat's can be joined. */
export function nonceOf(callId: string): string {
  return callId.replaceAll('-', '');
}
