import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { record } from '../access/audit-log.js';
import type { Caller } from '../access/caller.js';
import { newUuid } from '../common/ids.js';
import { AppError } from '../common/problem.js';
import { Secret } from '../common/secret.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { finishCall } from '../orders/gateway-call-log.js';
import type { AnyBooking } from './bookings.js';
import { LEASE_SECONDS, SYNC_WAIT_SECONDS } from './limits.js';
import { REFUND_GATEWAY, type RefundGateway, type RepairRequest, type SendAnswer } from './refund-gateway.port.js';
import { RefundLedger } from './refund-ledger.js';
import { RefundReads } from './refund-reads.js';
import type { RefundRow } from './refund.view.js';
import type { RepairRefundDto } from './refunds.dto.js';

const POLL_MS = 200;

/** Takes the refund's lease and commits the intent. $1 refund, $2 token and call id, $3 lease s. */
const CLAIM_REPAIR_SQL = `
  WITH clock AS MATERIALIZED (SELECT tuikuan_now() AS now),
  claimed AS (
    UPDATE refund r SET lease_token = $2, lease_until = c.now + make_interval(secs => $3), updated_at = c.now
    FROM clock c
    WHERE r.id = $1 AND r.state = 'abnormal' AND (r.lease_until IS NULL OR r.lease_until < c.now)
    RETURNING r.id, r.order_id, r.mch_id, r.api_version, c.now),
  called AS (
    INSERT INTO gateway_call (id, mch_id, refund_id, order_id, kind, api_version, intent_at)
    SELECT $2, k.mch_id, k.id, k.order_id, 'abnormal_refund', k.api_version, k.now FROM claimed k)
  SELECT now FROM claimed`;

/** Pays an abnormal refund out in another way: to the payer's bank card or to the merchant's own account. Only API v3 has the call. */
@Injectable()
export class RefundRepair {
  constructor(
    private readonly uow: UnitOfWork,
    private readonly ledger: RefundLedger,
    private readonly reads: RefundReads,
    @Inject(REFUND_GATEWAY) private readonly gateway: RefundGateway,
  ) {}

  /**
   * The refund after WeChat's answer: accepted again where WeChat took it. The card is handed to WeChat encrypted and kept nowhere.
   * 409 invalid_state unless abnormal and sent over v3, 422 wechat_refused, 503 when the answer proves nothing (sync tells).
   */
  async repair(caller: Caller, id: string, wish: RepairRefundDto): Promise<RefundRow> {
    const card = cardOf(wish);
    const row = await this.reads.get(caller, id);
    const callId = newUuid();
    const askedAt = await this.claim(caller, { id, callId, type: wish.type });
    const { mch_id: mchId, out_refund_no: outRefundNo, refund_id: refundId } = row;
    const answer = await this.gateway.repair({ callId, mchId, outRefundNo, refundId: refundId ?? '', card });
    const booking = bookingOf(row, { callId, askedAt, actor: caller.id }, answer);
    const booked = await this.uow.run((tx) => this.ledger.book(tx, [booking], () => finishCall(tx, callId, answer)));
    this.ledger.report(booked);
    if (answer.outcome !== 'shown') throw refusalOf(answer);
    return this.reads.get(caller, id);
  }

  /** The time of the intent, once the refund's lease is ours. */
  private async claim(
    caller: Caller,
    { id, callId, type }: { readonly id: string; readonly callId: string; readonly type: RepairRefundDto['type'] },
  ): Promise<Date> {
    for (let waitedMs = 0; waitedMs <= SYNC_WAIT_SECONDS * 1000; waitedMs += POLL_MS) {
      const row = await this.reads.get(caller, id);
      assertRepairable(row);
      const claimed = await this.uow.run(async (tx) => {
        const [taken] = await tx.query<{ now: Date }[]>(CLAIM_REPAIR_SQL, [row.id, callId, LEASE_SECONDS]);
        const change = {
          action: 'refund.repair',
          object: id,
          before: { state: row.state, type },
          after: null,
        } as const;
        if (taken) await record(tx, caller, change);
        return taken;
      });
      if (claimed) return claimed.now;
      await sleep(POLL_MS);
    }
    throw new AppError('temporarily_unavailable', 'The refund is being worked on; its turn did not come in time.');
  }
}

function assertRepairable(row: RefundRow): void {
  if (row.state === 'abnormal' && row.api_version === 'v3' && row.refund_id !== null) return;
  const why = row.state === 'abnormal' ? `was sent over ${row.api_version ?? 'v2'}` : `is ${row.state}`;
  throw new AppError('invalid_state', `Only an abnormal refund of API v3 can be repaired; this one ${why}.`);
}

/** The payer's card needs all three of its fields, the merchant's account none. */
function cardOf({ type, bank_type, bank_account, real_name }: RepairRefundDto): RepairRequest['card'] {
  const given = { bank_type, bank_account, real_name };
  const wanted = type === 'USER_BANK_CARD';
  const wrong = Object.entries(given).filter(([, value]) => (value !== undefined) !== wanted);
  if (wrong.length > 0) {
    const message = wanted ? 'is needed with USER_BANK_CARD' : 'goes with USER_BANK_CARD only';
    const errors = wrong.map(([field]) => ({ field, message }));
    throw new AppError('validation_failed', `A repair with ${type} ${wanted ? 'needs a whole' : 'takes no'} card.`, {
      errors,
    });
  }
  if (!wanted) return null;
  return {
    bankType: bank_type ?? '',
    bankAccount: new Secret(bank_account ?? ''),
    realName: new Secret(real_name ?? ''),
  };
}

function bookingOf(
  row: RefundRow,
  call: { readonly callId: string; readonly askedAt: Date; readonly actor: string },
  answer: SendAnswer,
): AnyBooking {
  const { callId, askedAt, actor } = call;
  const booking = { refundId: row.id, orderId: row.order_id, cause: 'answer', sourceId: callId, actor } as const;
  if (answer.shown) return { ...booking, kind: 'proof', shown: answer.shown, askedAt };
  return { ...booking, kind: 'not_shown', found: null, leaseToken: callId, askedAt, planned: false };
}

function refusalOf(answer: SendAnswer): AppError {
  const said = `${answer.code ?? ''} ${answer.message ?? ''}`.trim();
  if (answer.outcome === 'refused') return new AppError('wechat_refused', `WeChat refused the repair: ${said}`);
  if (answer.outcome === 'configuration') return new AppError('credentials_missing', said);
  return new AppError('wechat_unavailable', 'WeChat gave no usable answer; sync the refund before the next try.');
}
