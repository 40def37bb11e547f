import type {
  ListAnswer,
  PreparedSend,
  QueryAnswer,
  RefundGateway,
  RefundListQuery,
  RefundQuery,
  RefundRequest,
  RepairRequest,
  SendAnswer,
  ShownRefund,
} from '../../src/refunds/refund-gateway.port.js';

type Script<Request, Reply> = (request: Request) => Reply | Promise<Reply>;
type Timed<Request> = Request & { readonly atMs: number };

const FACTS = { code: null, message: null, fields: null, durationMs: 1 } as const;

/** An answer to a send that shows nothing. */
export function sendAnswer(
  outcome: Exclude<SendAnswer['outcome'], 'shown'>,
  code: string,
  change: Partial<SendAnswer> = {},
): SendAnswer {
  return { ...FACTS, outcome, code, shown: null, pauseSeconds: 0, written: outcome !== 'not_sent', ...change };
}

/** An answer to a send that shows the refund. */
export function shownSend(shown: ShownRefund): SendAnswer {
  return { ...FACTS, outcome: 'shown', shown, pauseSeconds: 0, written: true };
}

/** WeChat's word about the refund that a request asks for. */
export function shownOf(request: RefundRequest, change: Partial<ShownRefund> = {}): ShownRefund {
  const { mchId, appid, outTradeNo, outRefundNo, refundFen, totalFen } = request;
  const status = change.status ?? 'accepted';
  return {
    status,
    mchId,
    appid,
    outTradeNo,
    transactionId: null,
    outRefundNo,
    refundId: `50${outRefundNo}`,
    refundFen,
    totalFen,
    userReceivedAccount: null,
    succeededAt: status === 'succeeded' ? '2026-01-01T00:00:00+08:00' : null,
    wechatStatus: status.toUpperCase(),
    ...change,
  };
}

/**
 * The gateway port with answers by script; no protocol, no wire. Unless a test says otherwise it takes every refund, shows it as accepted
 * and answers questions from what it has taken, or "not found".
 */
export class ScriptedGateway implements RefundGateway {
  readonly sends: Timed<RefundRequest>[] = [];
  readonly queries: Timed<RefundQuery>[] = [];
  /** How many connections each call of `warm` asked for. */
  readonly warmed: { readonly mchId: string; readonly count: number }[] = [];
  /** Merchants that no script reaches. */
  readonly exempt = new Set<string>();
  /** What WeChat holds, by out_refund_no. */
  readonly holds = new Map<string, ShownRefund>();

  /** What a send is answered. */
  onSend: Script<RefundRequest, SendAnswer> = (request) => this.take(request);
  /** What happens between the claim of a send and its slot; an answer is an obstacle. */
  onPrepare: Script<RefundRequest, SendAnswer | null> = () => null;
  /** What a question is answered. */
  onQuery: Script<RefundQuery, QueryAnswer> = (query) => this.told(query);

  /** Back to taking everything; what it holds stays. */
  behave(): void {
    this.onSend = (request) => this.take(request);
    this.onPrepare = () => null;
    this.onQuery = (query) => this.told(query);
  }

  sendsOf(outRefundNo: string): Timed<RefundRequest>[] {
    return this.sends.filter((request) => request.outRefundNo === outRefundNo);
  }

  queriesOf(outRefundNo: string): Timed<RefundQuery>[] {
    return this.queries.filter((query) => query.outRefundNo === outRefundNo);
  }

  /** Takes a refund as WeChat does: once per number. */
  take(request: RefundRequest): SendAnswer {
    const held = this.holds.get(request.outRefundNo) ?? shownOf(request);
    this.holds.set(request.outRefundNo, held);
    return shownSend(held);
  }

  told({ outRefundNo }: RefundQuery): QueryAnswer {
    const shown = this.holds.get(outRefundNo);
    if (shown) return { ...FACTS, outcome: 'shown', shown };
    return { ...FACTS, outcome: 'not_found', code: 'REFUNDNOTEXIST', shown: null };
  }

  warm(mchId: string, count: number): Promise<number> {
    this.warmed.push({ mchId, count });
    return Promise.resolve(count);
  }

  async prepare(request: RefundRequest): Promise<PreparedSend> {
    const scripted = !this.exempt.has(request.mchId);
    const obstacle = scripted ? await this.onPrepare(request) : null;
    return {
      obstacle,
      send: async (mayWrite) => {
        if (!mayWrite()) return null;
        this.sends.push({ ...request, atMs: performance.now() });
        return scripted ? this.onSend(request) : this.take(request);
      },
    };
  }

  async query(request: RefundQuery): Promise<QueryAnswer> {
    this.queries.push({ ...request, atMs: performance.now() });
    return this.exempt.has(request.mchId) ? this.told(request) : this.onQuery(request);
  }

  list(_request: RefundListQuery): Promise<ListAnswer> {
    return Promise.resolve({ ...FACTS, outcome: 'not_found', complete: true, refunds: [] });
  }

  repair(_request: RepairRequest): Promise<SendAnswer> {
    return Promise.resolve(sendAnswer('refused', 'INVALID_REQUEST'));
  }
}

/** A question that WeChat did not answer. */
export const NO_ANSWER: QueryAnswer = { ...FACTS, outcome: 'failed', code: 'SYSTEMERROR', shown: null };
/** WeChat does not know the number. */
export const NOT_FOUND: QueryAnswer = { ...FACTS, outcome: 'not_found', code: 'REFUNDNOTEXIST', shown: null };
/** A signed answer that shows this. */
export const queryShows = (shown: ShownRefund): QueryAnswer => ({ ...FACTS, outcome: 'shown', shown });
