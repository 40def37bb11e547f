interface ErrorCode {
  readonly status: number;
  readonly title: string;
  readonly retryable?: true;
  readonly nextStep?: string;
}

/** Every error code of the REST API with its HTTP status (design.md 8). Clients branch on the code. */
export const ERROR_CODES = {
  validation_failed: {
    status: 400,
    title: 'The request is not valid',
    nextStep: 'Correct the fields named in errors.',
  },
  idempotency_key_required: {
    status: 400,
    title: 'out_refund_no or Idempotency-Key is needed',
    nextStep: 'Send your own out_refund_no, or an Idempotency-Key header, so that a repeat cannot refund twice.',
  },
  unauthorized: { status: 401, title: 'No valid API key', nextStep: 'Send Authorization: Bearer <api key>.' },
  forbidden: { status: 403, title: 'This key may not do that' },
  not_found: { status: 404, title: 'No such resource' },
  order_not_found: { status: 404, title: 'No such order' },
  refund_not_found: { status: 404, title: 'No such refund' },
  merchant_not_found: { status: 404, title: 'No such merchant' },
  mini_program_not_found: { status: 404, title: 'No such mini-program' },
  notification_not_found: { status: 404, title: 'No such notification' },
  api_key_not_found: { status: 404, title: 'No such API key' },
  webhook_endpoint_not_found: { status: 404, title: 'No such webhook endpoint' },
  webhook_delivery_not_found: { status: 404, title: 'No such webhook delivery' },
  out_refund_no_conflict: {
    status: 409,
    title: 'This out_refund_no stands for another refund',
    nextStep: 'Repeat the first request unchanged, or use a number of its own for this refund.',
  },
  out_trade_no_conflict: { status: 409, title: 'This out_trade_no stands for another order' },
  idempotency_key_in_use: {
    status: 409,
    title: 'A request with this number or key is being worked on',
    retryable: true,
    nextStep: 'Repeat the same request in a second.',
  },
  invalid_state: { status: 409, title: 'Not possible in the present state' },
  send_in_doubt: {
    status: 409,
    title: 'WeChat may have the refund',
    nextStep: 'Wait: the refund is queried by itself until WeChat has shown whether it exists.',
  },
  merchant_disabled: { status: 409, title: 'The merchant is disabled' },
  merchant_exists: { status: 409, title: 'The merchant exists' },
  mini_program_exists: { status: 409, title: 'The mini-program exists' },
  order_already_paid: { status: 409, title: 'The order is paid' },
  order_closed: { status: 409, title: 'The order is closed' },
  order_mismatch: { status: 422, title: 'WeChat shows another order than asked for' },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: {
    status: 415,
    title: 'The content type is not supported',
    nextStep: 'Send application/json in UTF-8.',
  },
  order_not_paid: { status: 422, title: 'The order is not paid' },
  refund_window_expired: { status: 422, title: 'The time to refund this order is over' },
  amount_exceeds_refundable: { status: 422, title: 'More than what can still be refunded' },
  refund_count_exceeded: { status: 422, title: 'The order has as many refunds as WeChat allows' },
  idempotency_key_reused: {
    status: 422,
    title: 'This Idempotency-Key came with another request',
    nextStep: 'Repeat the first request unchanged, or use a fresh key.',
  },
  mini_program_not_bound: { status: 422, title: 'The mini-program is not bound to the merchant' },
  mch_id_required: { status: 422, title: 'Two merchants match', nextStep: 'Send mch_id.' },
  credentials_missing: { status: 422, title: 'The merchant lacks credentials' },
  credentials_invalid: { status: 422, title: 'The credentials are not usable' },
  webhook_url_refused: {
    status: 422,
    title: 'Events are not sent to this URL',
    nextStep: 'Use https, port 443 or 8443, and a host with public addresses only.',
  },
  wechat_refused: { status: 422, title: 'WeChat refused the call' },
  internal_error: {
    status: 500,
    title: 'Something broke on our side',
    nextStep: 'Repeat the same request; report request_id if it stays.',
  },
  wechat_unavailable: {
    status: 503,
    title: 'WeChat did not answer',
    retryable: true,
    nextStep: 'Repeat the same request.',
  },
  temporarily_unavailable: {
    status: 503,
    title: 'The service is not ready',
    retryable: true,
    nextStep: 'Repeat the same request after Retry-After seconds.',
  },
} as const satisfies Record<string, ErrorCode>;

export type ProblemCode = keyof typeof ERROR_CODES;

/** One faulty field of a request. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** The body of every error answer (RFC 9457). */
export interface Problem {
  type: 'about:blank';
  title: string;
  status: number;
  detail: string;
  code: ProblemCode;
  request_id: string;
  errors?: readonly FieldError[];
  retryable?: boolean;
  next_step?: string;
}

/**
 * A refusal with a stable code. `detail` is safe for callers: it names what was asked for and never a secret.
 * `status` overrides the table where one code has two homes (order_mismatch is 409 in sync, 422 in register).
 */
export class AppError extends Error {
  override readonly name = 'AppError';

  constructor(
    readonly code: ProblemCode,
    readonly detail: string,
    readonly more: { errors?: readonly FieldError[]; status?: number; cause?: unknown } = {},
  ) {
    super(`${code}: ${detail}`, { cause: more.cause });
  }

  get status(): number {
    return this.more.status ?? ERROR_CODES[this.code].status;
  }
}

/** The process ends: nothing is begun any more. Nothing is wrong, and nobody has to know but the caller. */
export class Stopping extends AppError {
  constructor(detail = 'The service is stopping.') {
    super('temporarily_unavailable', detail);
  }
}

/** The answer body for a refusal. */
export function problemOf(error: AppError, requestId: string): Problem {
  const entry: ErrorCode = ERROR_CODES[error.code];
  return {
    type: 'about:blank',
    title: entry.title,
    status: error.status,
    detail: error.detail,
    code: error.code,
    request_id: requestId,
    ...(error.more.errors && { errors: error.more.errors }),
    ...(entry.retryable && { retryable: true }),
    ...(entry.nextStep !== undefined && { next_step: entry.nextStep }),
  };
}
