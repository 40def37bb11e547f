import type { SimulatedOrder, World } from './world.js';
import type { Version } from './ledger.js';

/**
 * Seconds between the deliveries of a notice that is not acknowledged, in both protocols. Source: protocol.md 4.4 and 6.8, 24 h 4 m in
 * all.
 */
export const RETRY_SECONDS = [
  15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600, 21_600,
] as const;
const ANSWER_TIMEOUT_MS = 5000;
const ACKNOWLEDGED = /<return_code>\s*(?:<!\[CDATA\[)?SUCCESS(?:\]\]>)?\s*<\/return_code>/;

/** A notice as it goes over the wire once. */
export interface Letter {
  readonly form: Version;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a receiver answered to one delivery. */
export interface Delivered {
  readonly status: number | null;
  readonly body: string;
}

/** What a notice is about. */
export interface Subject {
  readonly kind: 'refund' | 'payment';
  readonly order: SimulatedOrder;
  readonly outRefundNo: string | null;
}

/** Posts a notice once, as WeChat does. */
export async function deliver(url: string, { headers, body }: Letter): Promise<Delivered> {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'user-agent': 'Mozilla/4.0', ...headers },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    return { status: answer.status, body: await answer.text() };
  } catch {
    return { status: null, body: '' };
  }
}

/** Delivers a notice until it is acknowledged, by WeChat's schedule. `letter` is made anew for each delivery; null ends it. */
export function notify(
  world: World,
  notice: Subject & { readonly url: string; readonly letter: (attempt: number) => Letter | null },
  attempt = 1,
): void {
  const letter = notice.letter(attempt);
  if (letter === null) return;
  void deliver(notice.url, letter).then((delivered) => {
    const ok = record(world, notice, { ...delivered, form: letter.form }, attempt);
    const waitSeconds = RETRY_SECONDS[attempt - 1];
    if (!ok && waitSeconds !== undefined)
      world.clock.after(waitSeconds * 1000, () => notify(world, notice, attempt + 1));
  });
}

/** Writes a delivery into the ledger; true when WeChat counts it as received: V2 wants its words, v3 a status. */
export function record(
  world: World,
  subject: Subject,
  delivered: Delivered & { readonly form: Version },
  attempt: number,
): boolean {
  const { form, status, body } = delivered;
  const ok = form === 'v3' ? status === 200 || status === 204 : status === 200 && ACKNOWLEDGED.test(body);
  world.ledger.acks.push({
    kind: subject.kind,
    mch_id: subject.order.mchId,
    out_refund_no: subject.outRefundNo,
    out_trade_no: subject.order.outTradeNo,
    attempt,
    status,
    ok,
    at: new Date().toISOString(),
  });
  return ok;
}
