import type {
  ListAnswer,
  QueryAnswer,
  RefundListQuery,
  RefundQuery,
  RefundRequest,
  RepairRequest,
  SendAnswer,
  ShownRefund,
  ShownStatus,
} from '../../src/refunds/refund-gateway.port.js';
import {
  NO_ANSWER,
  NOT_FOUND,
  queryShows,
  ScriptedGateway,
  sendAnswer,
  shownOf,
  shownSend,
} from './scripted-gateway.js';

/** What can go wrong with a send. */
export type SendFault =
  | 'not_sent'
  | 'lost_before'
  | 'lost_after'
  | 'lingers'
  | 'answer_held'
  | 'refusal_held'
  | 'swapped'
  | 'later'
  | 'too_much'
  | 'configuration'
  | 'refused';
/** What can go wrong with a question; `lags`: WeChat does not find yet what it took within the last two minutes. */
export type QueryFault = 'no_answer' | 'lags' | 'swapped';

/** A notice that WeChat has sent off. */
export interface WechatNotice {
  readonly key: string;
  readonly shown: ShownRefund;
}

interface Lingering {
  readonly request: RefundRequest;
  readonly sinceSeconds: number;
}

const LAG_SECONDS = 120;
const REFUNDS_PER_ORDER_MAX = 50;
/** A request cannot linger for 20 minutes (design.md 3, Doubt). */
export const LINGERS_SECONDS = 1100;

/**
 * WeChat for one merchant, honest and in this process: takes a number once, refuses it with other parameters, gives back no more than was
 * paid and than the merchant has, fifty refunds an order, and keeps the ledger. Only its answers and its way suffer faults.
 */
export class LittleWechat extends ScriptedGateway {
  /** When it took what it holds, in seconds of its own time. */
  private readonly takenAt = new Map<string, number>();
  /** Numbers that somebody else than the service made it hold. */
  readonly byHand = new Set<string>();
  readonly notices: WechatNotice[] = [];
  /** Sent and timed out, but still on their way. */
  readonly lingering: Lingering[] = [];
  /** Answers of what it took that their askers still wait for, by number. */
  readonly heldAnswers: { readonly outRefundNo: string; readonly callId: string; release(): void }[] = [];
  /** Numbers it was asked for with other parameters, and orders it was asked to give more for than was paid. */
  readonly otherParameters: string[] = [];
  readonly overAsked: string[] = [];
  /** Faults that took place. */
  readonly suffered: (SendFault | QueryFault | 'balance')[] = [];
  balanceFen = Infinity;
  sendFault: { readonly fault: SendFault; times: number } | null = null;
  queryFault: { readonly fault: QueryFault; times: number } | null = null;

  constructor(
    private readonly nowSeconds: () => number,
    private readonly isV3: boolean,
  ) {
    super();
    this.onPrepare = () => this.obstacle();
    this.onSend = (request) => this.answerTo(request);
    this.onQuery = (query) => this.answerToQuery(query);
  }

  /** Nothing goes wrong from now on, and nothing is under way any more. */
  calm(): void {
    this.sendFault = null;
    this.queryFault = null;
    this.balanceFen = Infinity;
    this.arrive();
    for (const answer of this.heldAnswers.splice(0)) answer.release();
  }

  /** What lingered arrives: all of it, or what would linger too long in `aheadSeconds`. */
  arrive(aheadSeconds = Infinity): void {
    const due = this.lingering.filter(
      ({ sinceSeconds }) => this.nowSeconds() + aheadSeconds > sinceSeconds + LINGERS_SECONDS,
    );
    for (const one of due) {
      this.lingering.splice(this.lingering.indexOf(one), 1);
      this.take(one.request);
    }
  }

  override take(request: RefundRequest): SendAnswer {
    const { outRefundNo, outTradeNo, refundFen, totalFen } = request;
    const held = this.holds.get(outRefundNo);
    if (held) {
      const same = held.refundFen === refundFen && held.outTradeNo === outTradeNo && held.totalFen === totalFen;
      if (!same) this.otherParameters.push(outRefundNo);
      return same ? shownSend(this.inAnswer(held)) : sendAnswer('differs', 'REFUND_FEE_MISMATCH');
    }
    const refusal = this.refusal(outTradeNo, refundFen, totalFen);
    if (refusal?.code === 'INVALID_REQUEST') this.overAsked.push(outTradeNo);
    if (refusal) return refusal;
    const shown = shownOf(request);
    this.hold(shown);
    return shownSend(this.inAnswer(shown));
  }

  override told({ outRefundNo }: RefundQuery): QueryAnswer {
    const shown = this.holds.get(outRefundNo);
    return shown ? queryShows(shown) : NOT_FOUND;
  }

  override list({ outTradeNo }: RefundListQuery): Promise<ListAnswer> {
    const refunds = this.isV3 ? [] : [...this.holds.values()].filter((shown) => shown.outTradeNo === outTradeNo);
    const outcome = refunds.length > 0 ? 'shown' : 'not_found';
    return Promise.resolve({ ...NOT_FOUND, outcome, complete: true, refunds });
  }

  override repair({ outRefundNo }: RepairRequest): Promise<SendAnswer> {
    const held = this.holds.get(outRefundNo);
    if (held?.status !== 'abnormal') return Promise.resolve(sendAnswer('refused', 'INVALID_REQUEST'));
    return Promise.resolve(shownSend(this.become(held, 'accepted')));
  }

  /** A refund that is not the service's; false when the order has no room for it. */
  makeByHand(shown: ShownRefund): boolean {
    if (this.holds.has(shown.outRefundNo)) return false;
    if (this.refusal(shown.outTradeNo, shown.refundFen, shown.totalFen)) return false;
    this.byHand.add(shown.outRefundNo);
    this.hold(shown);
    if (shown.status !== 'accepted') this.tell(shown);
    return true;
  }

  /** A refund comes to an end, or stops at the payer's card, and WeChat sends a notice off. */
  finish(outRefundNo: string, status: Exclude<ShownStatus, 'accepted'>): void {
    const held = this.holds.get(outRefundNo);
    if (held) this.tell(this.become(held, status));
  }

  /** What was given back of an order or is about to be. */
  givenFen(outTradeNo: string): number {
    return this.ofOrder(outTradeNo).reduce((sum, { refundFen }) => sum + refundFen, 0);
  }

  private ofOrder(outTradeNo: string): ShownRefund[] {
    return [...this.holds.values()].filter((shown) => shown.outTradeNo === outTradeNo && shown.status !== 'closed');
  }

  private refusal(outTradeNo: string, refundFen: number, totalFen: number): SendAnswer | null {
    const tooMany = this.ofOrder(outTradeNo).length >= REFUNDS_PER_ORDER_MAX;
    if (tooMany || this.givenFen(outTradeNo) + refundFen > totalFen) return sendAnswer('refused', 'INVALID_REQUEST');
    if (refundFen <= this.balanceFen) return null;
    this.suffered.push('balance');
    return sendAnswer('balance', 'NOTENOUGH');
  }

  private hold(shown: ShownRefund): void {
    this.holds.set(shown.outRefundNo, shown);
    this.takenAt.set(shown.outRefundNo, this.nowSeconds());
    this.balanceFen -= shown.refundFen;
  }

  private become(held: ShownRefund, status: ShownStatus): ShownRefund {
    const succeededAt = status === 'succeeded' ? '2026-01-01T00:00:00+08:00' : null;
    const shown = { ...held, status, succeededAt, wechatStatus: status.toUpperCase() };
    this.holds.set(held.outRefundNo, shown);
    if (status === 'closed') this.balanceFen += held.refundFen;
    return shown;
  }

  private tell(shown: ShownRefund): void {
    this.notices.push({ key: `n${this.notices.length}-${shown.mchId}`, shown });
  }

  /** V2 answers a send with "taken" only; v3 says how it stands. */
  private inAnswer(shown: ShownRefund): ShownRefund {
    return this.isV3 ? shown : { ...shown, status: 'accepted', wechatStatus: 'SUCCESS', succeededAt: null };
  }

  private struck<Fault extends SendFault | QueryFault>(
    by: { readonly fault: Fault; times: number } | null,
  ): Fault | null {
    if (by === null || by.times <= 0) return null;
    by.times -= 1;
    this.suffered.push(by.fault);
    return by.fault;
  }

  private obstacle(): SendAnswer | null {
    if (this.sendFault?.fault !== 'not_sent' || this.struck(this.sendFault) === null) return null;
    return sendAnswer('not_sent', 'ECONNREFUSED');
  }

  private answerTo(request: RefundRequest): SendAnswer | Promise<SendAnswer> {
    const fault = this.sendFault?.fault === 'not_sent' ? null : this.struck(this.sendFault);
    return fault === null ? this.take(request) : this.faulty[fault](request);
  }

  private readonly faulty: Readonly<Record<SendFault, (request: RefundRequest) => SendAnswer | Promise<SendAnswer>>> = {
    not_sent: () => sendAnswer('not_sent', 'ECONNREFUSED'),
    lost_before: () => sendAnswer('unknown', 'timeout'),
    lost_after: (request) => {
      this.take(request);
      return sendAnswer('unknown', 'SYSTEMERROR');
    },
    lingers: (request) => {
      this.lingering.push({ request, sinceSeconds: this.nowSeconds() });
      return sendAnswer('unknown', 'timeout');
    },
    answer_held: (request) => this.held(request, this.take(request)),
    // The refusal of a worker that stands still; by then the next one may have sent the refund again.
    refusal_held: (request) => {
      const isAgain = this.heldAnswers.some(({ outRefundNo }) => outRefundNo === request.outRefundNo);
      const taken = isAgain || this.holds.has(request.outRefundNo);
      return this.held(request, taken ? this.take(request) : sendAnswer('refused', 'USER_ACCOUNT_ABNORMAL'));
    },
    swapped: (request) => {
      const answer = this.take(request);
      const other = this.otherThan(request.outRefundNo);
      return other && answer.shown ? shownSend(other) : answer;
    },
    later: () => sendAnswer('later', 'BIZERR_NEED_RETRY'),
    too_much: () => sendAnswer('later', 'INVALID_REQ_TOO_MUCH', { pauseSeconds: 60 }),
    configuration: () => sendAnswer('configuration', 'SIGNERROR'),
    refused: (request) =>
      this.holds.has(request.outRefundNo) ? this.take(request) : sendAnswer('refused', 'USER_ACCOUNT_ABNORMAL'),
  };

  private held({ outRefundNo, callId }: RefundRequest, answer: SendAnswer): Promise<SendAnswer> {
    return new Promise((resolve) => this.heldAnswers.push({ outRefundNo, callId, release: () => resolve(answer) }));
  }

  private otherThan(outRefundNo: string): ShownRefund | undefined {
    return [...this.holds.values()].find((shown) => shown.outRefundNo !== outRefundNo);
  }

  private answerToQuery(query: RefundQuery): QueryAnswer {
    switch (this.struck(this.queryFault)) {
      case 'no_answer':
        return NO_ANSWER;
      case 'lags': {
        const takenAt = this.takenAt.get(query.outRefundNo);
        const seen = takenAt === undefined || this.nowSeconds() - takenAt >= LAG_SECONDS;
        return seen ? this.told(query) : NOT_FOUND;
      }
      case 'swapped': {
        const other = this.otherThan(query.outRefundNo);
        return other ? queryShows(other) : this.told(query);
      }
      case null:
        return this.told(query);
    }
  }
}
