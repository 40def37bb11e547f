import type { Clock } from '../../common/clock.js';
import type { Settings } from '../../config/settings.js';
import { Connections } from '../../wechat-pay/connections.js';
import { exchangeOn } from '../../wechat-pay/exchange-on.js';
import { type Check, fail, ok, warn } from './check.js';
import { describe } from './database.js';

const SKEW_WARN_MS = 60_000;
/** WeChat refuses v3 signatures that are older. */
const SKEW_FAIL_MS = 300_000;
/** An answer's Date has whole seconds and is as old as its way back. */
const SKEW_UNSURE_MS = 2000;

/** Whether WeChat answers over TLS that we trust, with the connections that refunds use, and what its clock shows. */
export async function checkWechat(settings: Settings, clock: Clock): Promise<Check[]> {
  const origin = new URL(settings.wechatpayBaseUrl);
  const connections = new Connections(origin, clock);
  try {
    const caller = { mchId: 'doctor', clientCertificate: null };
    const exchange = await exchangeOn(connections.take(caller), {
      method: 'GET',
      path: '/v3/certificates',
      headers: { accept: 'application/json', 'user-agent': 'tuikuan' },
      body: null,
    });
    if (!exchange.answered) {
      const todo = settings.wechatpayHostIsReal
        ? `let this machine reach ${origin.host}:443`
        : 'start it, or set NODE_EXTRA_CA_CERTS to its certificate authority';
      return [fail('WeChat', `${origin.host} does not answer: ${exchange.reason}`, todo)];
    }
    const reached = `${origin.host} answers over TLS in ${Math.round(exchange.durationMs)} ms`;
    return [
      settings.wechatpayHostIsReal
        ? ok('WeChat', reached)
        : warn('WeChat', `${reached}, and is not WeChat`, 'leave WECHATPAY_BASE_URL out for real refunds'),
      clockCheck(connections.skew.ms),
    ];
  } finally {
    connections.close();
  }
}

function clockCheck(skewMs: number | null): Check {
  const name = 'WeChat clock';
  if (skewMs === null) return warn(name, 'the answer has no date', 'see whether something stands between');
  const todo = 'let this machine follow a time server: five minutes off and WeChat refuses every v3 request';
  const message = `this machine is ${describe(skewMs)} WeChat`;
  if (Math.abs(skewMs) >= SKEW_FAIL_MS) return fail(name, message, todo);
  if (Math.abs(skewMs) >= SKEW_WARN_MS) return warn(name, message, todo);
  return ok(name, Math.abs(skewMs) <= SKEW_UNSURE_MS ? 'this machine and WeChat agree' : message);
}
