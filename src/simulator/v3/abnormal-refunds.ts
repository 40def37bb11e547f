import { Rsa } from 'wechatpay-axios-plugin';
import { moveRefund } from '../life.js';
import type { SigningKey } from '../platform-keys.js';
import { isRefundNumber } from '../refund-rules.js';
import type { World } from '../world.js';
import { refuse, refuseField, type Result } from './answer.js';
import { refundObject } from './refunds.js';
import type { V3Request } from './request.js';
import { type Check, misshapen, oneOf, shape, text, upTo } from './shape.js';

/** The banks whose debit cards can take a repaired refund. Source: protocol.md 6.4. */
const BANKS = [
  ...['CMB', 'COMM', 'ABC', 'CCB', 'ICBC', 'BOC', 'PAB', 'SPDB'],
  ...['CITIC', 'CEB', 'CMBC', 'CIB', 'GDB', 'PSBC', 'NBCB'],
].map((bank) => `${bank}_DEBIT`);
const SEALED = ['bank_account', 'real_name'] as const;
const SEALED_LENGTH_MAX = 1024;

const BODY: Check = shape(
  { out_refund_no: text(isRefundNumber), type: oneOf('USER_BANK_CARD', 'MERCHANT_BANK_CARD') },
  { bank_type: oneOf(...BANKS), bank_account: upTo(SEALED_LENGTH_MAX), real_name: upTo(SEALED_LENGTH_MAX) },
);

interface RepairBody {
  readonly out_refund_no: string;
  readonly type: 'USER_BANK_CARD' | 'MERCHANT_BANK_CARD';
  readonly bank_type?: string;
  readonly bank_account?: string;
  readonly real_name?: string;
}

/** POST /v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund: an ABNORMAL refund is worked on again, to another card. */
export function repairRefund(world: World, request: V3Request): Result {
  const { merchant, body, path } = request;
  const wrong = misshapen(body, BODY);
  if (wrong) return wrong;
  const wish = body as RepairBody;
  const found = world.refund(merchant.mchId, wish.out_refund_no);
  if (!found || found.refundId !== path[0]) return refuse('RESOURCE_NOT_EXISTS', '退款单不存在');
  const unreadable = wish.type === 'USER_BANK_CARD' ? unreadableCard(request, wish) : null;
  if (unreadable !== null) return refuseField(`/${unreadable}`, 'is missing or does not decrypt');
  if (found.state !== 'CHANGE') return refuse('INVALID_REQUEST', '退款单状态不是退款异常');
  moveRefund(world, found, 'PROCESSING');
  return { status: 200, body: refundObject(found) };
}

/** The field of the user's card that is missing or was not encrypted with the key that Wechatpay-Serial names. */
function unreadableCard({ merchant, wechatpaySerial }: V3Request, card: RepairBody): string | null {
  if (card.bank_type === undefined) return 'bank_type';
  const key = wechatpaySerial === null ? null : merchant.platform.named(wechatpaySerial);
  return SEALED.find((name) => !decrypts(key, card[name])) ?? null;
}

function decrypts(key: SigningKey | null, sealed: string | undefined): boolean {
  if (key === null || sealed === undefined) return false;
  try {
    return Rsa.decrypt(sealed, key.privateKey) !== '';
  } catch {
    return false;
  }
}
