import type { PreparedSend, SendAnswer } from '../refunds/refund-gateway.port.js';
import type { Connection, Exchange, Outgoing } from './connections.js';

/** A send that cannot be made, and says why. */
export function obstructed(outcome: 'not_sent' | 'configuration', code: string, message: string): PreparedSend {
  const nothing = { shown: null, fields: null, pauseSeconds: 0, durationMs: 0, written: false } as const;
  const answer: SendAnswer = { ...nothing, outcome, code, message };
  return { obstacle: answer, send: () => Promise.resolve(answer) };
}

function notWritten({ reason, durationMs }: Extract<Exchange, { answered: false }>): SendAnswer {
  const nothing = { shown: null, fields: null, pauseSeconds: 0, written: false } as const;
  return { ...nothing, outcome: 'not_sent', code: 'not_connected', message: reason, durationMs };
}

/** A signed request on an open connection, to be written at its slot; without a connection nothing was sent. */
export async function prepareOn(
  take: Promise<Connection>,
  outgoing: Outgoing,
  judge: (exchange: Exchange) => SendAnswer | Promise<SendAnswer>,
): Promise<PreparedSend> {
  try {
    const connection = await take;
    return {
      obstacle: null,
      send: async (mayWrite) => {
        let allowed = true;
        const exchange = await connection.exchange(outgoing, () => (allowed = mayWrite()));
        if (!allowed) return null;
        return exchange.answered || exchange.written ? judge(exchange) : notWritten(exchange);
      },
    };
  } catch (error) {
    return obstructed('not_sent', 'not_connected', error instanceof Error ? error.message : String(error));
  }
}
