import { type Exchange, page } from './exchange.js';
import type { Fault } from './faults.js';

const HTML_PAGE = '<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>';

type WrongAnswer = (exchange: Exchange, fault: Fault) => void;

/** Faults whose answer does not depend on what was asked, nor in which protocol. */
const WRONG_ANSWERS: Readonly<Partial<Record<Fault['fault'], WrongAnswer>>> = {
  timeout_before: () => undefined,
  timeout_after: () => undefined,
  reset: ({ tcp }) => void tcp.resetAndDestroy(),
  html: ({ response }, { code }) => {
    if (code === 'certificate') page(response, 400, '400 The SSL certificate error');
    else response.writeHead(200, { 'content-type': 'text/html' }).end(HTML_PAGE);
  },
  redirect: ({ response }) => void response.writeHead(302, { location: 'https://example.invalid/' }).end(),
};

/** Answers below the protocol as the fault wants it; false when the fault is none of these. */
export function answeredBelow(exchange: Exchange, fault: Fault): boolean {
  const wrong = WRONG_ANSWERS[fault.fault];
  wrong?.(exchange, fault);
  return wrong !== undefined;
}
