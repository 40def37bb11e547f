import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { BadWish, type Wish } from './wish.js';
import { CALLS, FAULTS, type FaultPlan } from './faults.js';
import { moveRefund, payOrder } from './life.js';
import { accept } from './v2/refunds.js';
import { deliver, FORGERIES, record, refundNotice } from './v2/notices.js';
import { type Limits, REFUND_STATES, type SimulatedMerchant, type SimulatedRefund, type World } from './world.js';
import { readWish } from './wish.js';

type Handler = (world: World, wish: Wish, path: readonly string[], faults: FaultPlan) => unknown;

const DEFAULT_BALANCE_FEN = 1_000_000_000;
const VALID_DAYS = 1825;

/** Every control call. `:x` in a path is handed over decoded. All bodies are JSON; what is wrong answers 400. */
const ROUTES: Readonly<Record<string, Handler>> = {
  'POST /faults': (_world, wish, _path, faults) => {
    const times = wish.has('times') ? wish.integerOrNull('times') : 1;
    faults.add({
      call: wish.oneOf('call', CALLS),
      fault: wish.oneOf('fault', Object.keys(FAULTS) as (keyof typeof FAULTS)[]),
      mchId: wish.optionalText('mch_id'),
      outRefundNo: wish.optionalText('out_refund_no'),
      code: wish.optionalText('code'),
      delayMs: wish.integer('delay_ms', 0),
      after: wish.has('after') ? wish.flag('after', false) : null,
      times,
    });
    return { ok: true };
  },
  'DELETE /faults': (_world, _wish, _path, faults) => {
    faults.clear();
    return { ok: true };
  },
  'POST /merchants': (world, wish) => putMerchant(world, wish),
  'POST /merchants/:mch_id/balance': (world, wish, [mchId = '']) => {
    const merchant = merchantOf(world, mchId);
    merchant.balanceFen = wish.has('balance_fen')
      ? wish.integer('balance_fen', 0)
      : merchant.balanceFen + wish.integer('add_fen', 0);
    return { mch_id: mchId, balance_fen: merchant.balanceFen };
  },
  'POST /merchants/:mch_id/certificate': (world, wish, [mchId = '']) => {
    const merchant = merchantOf(world, mchId);
    const action = wish.oneOf('action', ['revoke', 'restore', 'renew'] as const);
    if (action === 'revoke') merchant.revoked.add(merchant.serial);
    else if (action === 'restore') merchant.revoked.clear();
    else return issued(world, merchant, wish.integer('valid_days', VALID_DAYS));
    return { mch_id: mchId, serial: merchant.serial, revoked: [...merchant.revoked] };
  },
  'POST /merchants/:mch_id/key': (world, wish, [mchId = '']) => {
    const merchant = merchantOf(world, mchId);
    merchant.apiV2Key = wish.optionalText('api_v2_key') ?? randomBytes(16).toString('hex');
    return { mch_id: mchId, api_v2_key: merchant.apiV2Key };
  },
  'POST /limits': (world, wish) => {
    const names: Readonly<Record<string, keyof Limits>> = {
      spacing_seconds: 'spacingSeconds',
      requests_per_second: 'requestsPerSecond',
      failures_per_second: 'failuresPerSecond',
      refunds_per_order: 'refundsPerOrder',
      window_days: 'windowDays',
      latency_ms: 'latencyMs',
    };
    for (const [name, limit] of Object.entries(names)) world.limits[limit] = wish.integer(name, world.limits[limit]);
    return world.limits;
  },
  'POST /orders': (world, wish) => {
    const merchant = merchantOf(world, wish.text('mch_id'));
    const outTradeNo = wish.text('out_trade_no');
    if (world.order(merchant.mchId, outTradeNo)) throw new BadWish('out_trade_no', 'exists');
    const totalFen = wish.integer('total_fee');
    const paidAtMs = wish.has('paid_at') ? Date.parse(wish.text('paid_at')) : world.clock.nowMs();
    if (Number.isNaN(paidAtMs)) throw new BadWish('paid_at', 'must be RFC 3339');
    merchant.balanceFen += totalFen;
    const transactionId = world.nextNumber('4200');
    world.addOrder({
      mchId: merchant.mchId,
      appid: wish.text('appid'),
      outTradeNo,
      totalFen,
      openid: 'oSimulated',
      attach: '',
      notifyUrl: null,
      prepayId: '',
      digest: '',
      transactionId,
      paidAtMs,
      closed: false,
      lastRefundRequestMs: null,
    });
    return { out_trade_no: outTradeNo, transaction_id: transactionId, paid_at: new Date(paidAtMs).toISOString() };
  },
  'POST /payments': (world, wish) => {
    const order = world.order(wish.text('mch_id'), wish.text('out_trade_no'));
    if (!order || order.closed || order.paidAtMs !== null)
      throw new BadWish('out_trade_no', 'names no order that can be paid');
    payOrder(world, order);
    return { out_trade_no: order.outTradeNo, transaction_id: order.transactionId };
  },
  'POST /refunds': (world, wish) => {
    const merchant = merchantOf(world, wish.text('mch_id'));
    const order = world.order(merchant.mchId, wish.text('out_trade_no'));
    if (!order || order.paidAtMs === null) throw new BadWish('out_trade_no', 'names no paid order');
    const amount = wish.integer('amount');
    if (world.refundedFen(order) + amount > order.totalFen) throw new BadWish('amount', 'exceeds what is left');
    const number = wish.optionalText('out_refund_no') ?? `V${randomBytes(10).toString('hex')}`;
    if (world.refund(merchant.mchId, number)) throw new BadWish('out_refund_no', 'exists');
    const made = accept(world, order, {
      outRefundNo: number,
      amountFen: amount,
      notifyUrl: merchant.vendorNotifyUrl,
      source: 'VENDOR_PLATFORM',
    });
    return { out_refund_no: number, refund_id: made.refundId, state: made.state };
  },
  'POST /refunds/:out_refund_no/state': (world, wish, [number = '']) => {
    const refund = refundOf(world, number, wish.optionalText('mch_id'));
    moveRefund(world, refund, wish.oneOf('state', REFUND_STATES));
    return { out_refund_no: number, state: refund.state };
  },
  'POST /notices/:out_refund_no': (world, wish, [number = '']) => sendNotices(world, wish, number),
  'POST /clock': (world, wish) => {
    const rate = wish.has('rate') ? wish.integer('rate') : undefined;
    world.clock.change({ rate, advanceSeconds: wish.integer('advance_s', 0) });
    return { now: new Date(world.clock.nowMs()).toISOString(), rate: world.clock.currentRate };
  },
  'GET /ledger': (world) => ({
    accepted: world.ledger.accepted,
    requests: world.ledger.requests,
    refunds: world.allRefunds().map((refund) => ({
      mch_id: refund.order.mchId,
      out_refund_no: refund.outRefundNo,
      out_trade_no: refund.order.outTradeNo,
      refund_id: refund.refundId,
      amount_fen: refund.amountFen,
      state: refund.state,
      source: refund.source,
    })),
    orders: world.allOrders().map((order) => ({
      mch_id: order.mchId,
      out_trade_no: order.outTradeNo,
      total: order.totalFen,
      refunded: world.refundedFen(order),
      paid: order.paidAtMs !== null,
    })),
    acks: world.ledger.acks,
    violations: world.ledger.violations,
  }),
};

/** The control API on the loopback interface. */
export function createControlServer(world: World, faults: FaultPlan): Server {
  return createServer((request, response) => {
    answer(world, faults, request)
      .catch((error: unknown) => ({
        status: error instanceof BadWish ? 400 : 500,
        body: { error: error instanceof Error ? error.message : String(error) },
      }))
      .then(({ status, body }) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      )
      .catch(() => request.socket.destroy());
  });
}

async function answer(
  world: World,
  faults: FaultPlan,
  request: IncomingMessage,
): Promise<{ status: number; body: unknown }> {
  const given = (request.url ?? '').split('?')[0]?.split('/').slice(1) ?? [];
  for (const [route, handler] of Object.entries(ROUTES)) {
    const [method, path = ''] = route.split(' ');
    const wanted = path.split('/').slice(1);
    const fits =
      wanted.length === given.length && wanted.every((part, place) => part.startsWith(':') || part === given[place]);
    if (method !== request.method || !fits) continue;
    const parameters = given.filter((_, place) => wanted[place]?.startsWith(':')).map(decodeURIComponent);
    return { status: 200, body: await handler(world, await readWish(request), parameters, faults) };
  }
  return { status: 404, body: { error: 'no such control call', calls: Object.keys(ROUTES) } };
}

function merchantOf(world: World, mchId: string): SimulatedMerchant {
  const merchant = world.merchants.get(mchId);
  if (!merchant) throw new BadWish('mch_id', 'names no merchant');
  return merchant;
}

function refundOf(world: World, number: string, mchId: string | null): SimulatedRefund {
  const found = world
    .allRefunds()
    .filter((refund) => refund.outRefundNo === number && (mchId ?? refund.order.mchId) === refund.order.mchId);
  const [refund] = found;
  if (!refund || found.length > 1) throw new BadWish('out_refund_no', refund ? 'needs mch_id' : 'names no refund');
  return refund;
}

function putMerchant(world: World, wish: Wish): unknown {
  const mchId = wish.text('mch_id');
  const known = world.merchants.get(mchId);
  const merchant: SimulatedMerchant = known ?? {
    mchId,
    apiV2Key: randomBytes(16).toString('hex'),
    appids: new Set(),
    balanceFen: DEFAULT_BALANCE_FEN,
    revoked: new Set(),
    serial: '',
    vendorNotifyUrl: null,
    visibilityLagMs: 0,
    settleAfterMs: null,
    muteNotices: false,
    noAuth: false,
  };
  world.merchants.set(mchId, merchant);
  for (const appid of wish.texts('appids')) merchant.appids.add(appid);
  merchant.apiV2Key = wish.optionalText('api_v2_key') ?? merchant.apiV2Key;
  merchant.balanceFen = wish.integer('balance_fen', merchant.balanceFen);
  merchant.vendorNotifyUrl = wish.optionalText('vendor_notify_url') ?? merchant.vendorNotifyUrl;
  merchant.visibilityLagMs = wish.integer('visibility_lag_ms', merchant.visibilityLagMs);
  merchant.settleAfterMs = wish.has('settle_after_ms') ? wish.integerOrNull('settle_after_ms') : merchant.settleAfterMs;
  merchant.muteNotices = wish.flag('mute_notices', merchant.muteNotices);
  merchant.noAuth = wish.flag('no_auth', merchant.noAuth);
  if (known) return { mch_id: mchId, appids: [...merchant.appids], serial: merchant.serial };
  return issued(world, merchant, wish.integer('valid_days', VALID_DAYS));
}

function issued(world: World, merchant: SimulatedMerchant, validDays: number): unknown {
  const certificate = world.authority.issue(merchant.mchId, validDays);
  merchant.serial = certificate.serial;
  return {
    mch_id: merchant.mchId,
    api_v2_key: merchant.apiV2Key,
    appids: [...merchant.appids],
    certificate_pem: certificate.certificatePem,
    private_key_pem: certificate.privateKeyPem,
    certificate_p12: certificate.p12,
    serial: certificate.serial,
  };
}

/** Sends copies of a notice at once, or after `delay_ms`, and says what each was answered. `url` sends them elsewhere. */
async function sendNotices(world: World, wish: Wish, number: string): Promise<unknown> {
  const refund = refundOf(world, number, wish.optionalText('mch_id'));
  const forge = wish.optionalText('forge');
  if (forge !== null && !FORGERIES.includes(forge as (typeof FORGERIES)[number]) && !forge.startsWith('status:')) {
    throw new BadWish('forge', `must be one of ${FORGERIES.join(', ')}, status:<STATUS>`);
  }
  const url = wish.optionalText('url') ?? refund.notifyUrl;
  if (url === null) throw new BadWish('out_refund_no', 'has no notify_url');
  await new Promise((resolve) => setTimeout(resolve, wish.integer('delay_ms', 0)));
  const body = refundNotice(world, refund, forge);
  const answers = await Promise.all(Array.from({ length: wish.integer('times', 1) }, () => deliver(url, body)));
  if (forge === null) {
    for (const delivered of answers) {
      record(world, { kind: 'refund', order: refund.order, outRefundNo: number }, delivered, 1);
    }
  }
  return { answers };
}
