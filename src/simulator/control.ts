import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import {
  changeCertificate,
  changeKey,
  changePlatformCertificate,
  merchantOf,
  putMerchant,
  setBalance,
} from './control/merchants.js';
import { refundOf, sendNotices, STATE_WORDS } from './control/notices.js';
import { CALLS, FAULT_KINDS, type FaultPlan } from './faults.js';
import { moveRefund, payOrder } from './life.js';
import { acceptRefund } from './refund-rules.js';
import { BadWish, readWish, type Wish } from './wish.js';
import type { Limits, World } from './world.js';

type Handler = (world: World, wish: Wish, path: readonly string[], faults: FaultPlan) => unknown;

/** Every control call. `:x` in a path is handed over decoded. All bodies are JSON; what is wrong answers 400. */
const ROUTES: Readonly<Record<string, Handler>> = {
  'POST /faults': (_world, wish, _path, faults) => {
    const times = wish.has('times') ? wish.integerOrNull('times') : 1;
    faults.add({
      call: wish.oneOf('call', CALLS),
      fault: wish.oneOf('fault', FAULT_KINDS),
      mchId: wish.optionalText('mch_id'),
      outRefundNo: wish.optionalText('out_refund_no'),
      code: wish.optionalText('code'),
      status: wish.has('status') ? httpStatus(wish) : null,
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
  'POST /merchants/:mch_id/balance': (world, wish, [mchId = '']) => setBalance(world, wish, mchId),
  'POST /merchants/:mch_id/certificate': (world, wish, [mchId = '']) => changeCertificate(world, wish, mchId),
  'POST /merchants/:mch_id/key': (world, wish, [mchId = '']) => changeKey(world, wish, mchId),
  'POST /merchants/:mch_id/platform_certificate': (world, wish, [mchId = '']) =>
    changePlatformCertificate(world, wish, mchId),
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
      noticeForm: 'v2',
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
    const made = acceptRefund(world, order, {
      outRefundNo: number,
      amountFen: amount,
      notifyUrl: merchant.vendorNotifyUrl,
      noticeForm: 'v2',
      source: 'VENDOR_PLATFORM',
    });
    return { out_refund_no: number, refund_id: made.refundId, state: made.state };
  },
  'POST /refunds/:out_refund_no/state': (world, wish, [number = '']) => {
    const refund = refundOf(world, number, wish.optionalText('mch_id'));
    const word = wish.oneOf('state', Object.keys(STATE_WORDS));
    moveRefund(world, refund, STATE_WORDS[word] ?? refund.state);
    return { out_refund_no: number, state: refund.state };
  },
  'POST /notices/:out_refund_no': (world, wish, [number = '']) => sendNotices(world, wish, number),
  'POST /clock': (world, wish) => {
    const rate = wish.has('rate') ? wish.integer('rate') : undefined;
    const signatures = wish.has('signatures') ? wish.oneOf('signatures', ['simulated', 'machine'] as const) : null;
    world.signatureClock = signatures ?? world.signatureClock;
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

function httpStatus(wish: Wish): number {
  const status = wish.integer('status');
  if (status < 200 || status > 599) throw new BadWish('status', 'must be from 200 to 599');
  return status;
}

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
