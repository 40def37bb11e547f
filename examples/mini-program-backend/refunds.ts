import createClient, { type Client } from 'openapi-fetch';
import type { components, paths } from './api.js';

/** Types of the API, generated from openapi.json: `npm run example:types`. */
export type Refund = components['schemas']['RefundView'];
export type RefundWish = components['schemas']['CreateRefundDto'] & { out_refund_no: string };
export type Problem = components['schemas']['Problem'];

/** What the shop does next. */
export type Next =
  | { readonly do: 'tell_customer'; readonly text: string }
  | { readonly do: 'wait'; readonly refund: Refund }
  | { readonly do: 'call_operator'; readonly text: string }
  | { readonly do: 'repair_program'; readonly text: string };

/** What an error code means for a shop that refunds; a new code makes this table not compile. */
const ON_CODE = {
  // The same request again, with the same number: it can never refund twice.
  idempotency_key_in_use: 'again',
  temporarily_unavailable: 'again',
  wechat_unavailable: 'again',
  internal_error: 'again',
  // The customer can be told.
  amount_exceeds_refundable: 'tell_customer',
  refund_window_expired: 'tell_customer',
  refund_count_exceeded: 'tell_customer',
  order_not_paid: 'tell_customer',
  order_closed: 'tell_customer',
  order_already_paid: 'tell_customer',
  // Somebody who knows the merchant account must look.
  merchant_disabled: 'call_operator',
  credentials_missing: 'call_operator',
  credentials_invalid: 'call_operator',
  mini_program_not_bound: 'call_operator',
  order_mismatch: 'call_operator',
  send_in_doubt: 'call_operator',
  invalid_state: 'call_operator',
  wechat_refused: 'call_operator',
  unauthorized: 'call_operator',
  forbidden: 'call_operator',
  // The shop's own program asks wrongly.
  validation_failed: 'repair_program',
  idempotency_key_required: 'repair_program',
  idempotency_key_reused: 'repair_program',
  out_refund_no_conflict: 'repair_program',
  out_trade_no_conflict: 'repair_program',
  mch_id_required: 'repair_program',
  not_found: 'repair_program',
  order_not_found: 'repair_program',
  refund_not_found: 'repair_program',
  merchant_not_found: 'repair_program',
  mini_program_not_found: 'repair_program',
  notification_not_found: 'repair_program',
  api_key_not_found: 'repair_program',
  webhook_endpoint_not_found: 'repair_program',
  webhook_delivery_not_found: 'repair_program',
  webhook_url_refused: 'repair_program',
  merchant_exists: 'repair_program',
  mini_program_exists: 'repair_program',
  payload_too_large: 'repair_program',
  unsupported_media_type: 'repair_program',
} as const satisfies Record<Problem['code'], Exclude<Next['do'], 'wait'> | 'again'>;

const TRIES_MAX = 5;
const FIRST_WAIT_MS = 200;

/** A client with this backend's key: role operator, bound to its own mini-program. */
export function clientOf(baseUrl: string, apiKey: string): Client<paths> {
  return createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${apiKey}` } });
}

/**
 * Asks for a refund and says what to do next. The number must be stored with the order before this is called, and stays the same however
 * often it is called: after a crash, a timeout or a 503 just call again.
 */
export async function refund(client: Client<paths>, wish: RefundWish): Promise<Next> {
  for (let tries = 1; ; tries += 1) {
    const answer = await client.POST('/v1/refunds', { body: wish }).catch(() => null);
    if (answer?.data) return nextOf(answer.data);
    const action = answer?.error ? ON_CODE[answer.error.code] : 'again';
    const text = answer?.error ? textOf(answer.error) : 'the refund service does not answer';
    if (action !== 'again') return { do: action, text };
    if (tries === TRIES_MAX) return { do: 'call_operator', text };
    await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS * 2 ** tries));
  }
}

/** How a refund stands now; the webhook of README.md tells it without asking. */
export async function look(client: Client<paths>, id: string): Promise<Next> {
  const { data, error } = await client.GET('/v1/refunds/{id}', { params: { path: { id } } });
  if (data) return nextOf(data);
  const action = ON_CODE[error.code];
  return { do: action === 'again' ? 'call_operator' : action, text: textOf(error) };
}

/** Every status; a new one makes this function not compile. */
export function nextOf(refund: Refund): Next {
  const yuan = `¥${Math.trunc(refund.amount / 100)}.${String(refund.amount % 100).padStart(2, '0')}`;
  switch (refund.status) {
    case 'pending':
    case 'processing':
      return { do: 'wait', refund };
    case 'succeeded':
      return { do: 'tell_customer', text: `${yuan} 已退回 ${refund.user_received_account ?? '原支付账户'}` };
    case 'requires_action':
    case 'failed':
      return { do: 'call_operator', text: reasonOf(refund) };
    case 'canceled':
      return { do: 'tell_customer', text: `${yuan} 的退款已撤销` };
  }
}

function reasonOf({ id, state, failure }: Refund): string {
  return failure?.next_step ?? failure?.message ?? `refund ${id} is ${state}`;
}

function textOf({ detail, next_step: step, request_id: request }: Problem): string {
  return `${detail}${step === undefined ? '' : ` ${step}`} (request ${request})`;
}
