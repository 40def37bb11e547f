import { createHash, randomUUID } from 'node:crypto';
import { v7 } from 'uuid';

/** The row of a wish: with the digest over its sorted fields that tells a repeat from a conflict. */
export function intakeRowOf({ body, caller, address }) {
  const { order, amount, out_refund_no: outRefundNo, reason = null } = body;
  const sorted = Object.fromEntries(Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1)));
  return {
    id: v7(),
    orderId: order.slice(4),
    outRefundNo,
    amountFen: amount,
    digest: createHash('sha256').update(JSON.stringify(sorted)).digest('hex'),
    reason,
    createdBy: caller,
    address,
    requestId: randomUUID(),
  };
}
