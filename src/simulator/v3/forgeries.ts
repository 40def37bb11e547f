import { Formatter } from 'wechatpay-axios-plugin';
import type { Letter } from '../notices.js';
import type { SimulatedMerchant, SimulatedRefund, World } from '../world.js';
import type { Json } from './answer.js';
import { unknownSerial } from './answering.js';
import { type Content, envelope, type Event, letterOf, newEvent, refundContent } from './notices.js';
import { probed, reserialised, type SignatureHeaders, signatureHeaders, spoiled } from './signing.js';

/** Notices that must not be believed, by name; `status:<STATUS>` is one more. All but the first six are rightly signed. */
export const V3_FORGERIES = [
  'bad_sign',
  'signtest',
  'old_timestamp',
  'future_timestamp',
  'unknown_serial',
  'reserialised',
  'other_key',
  'short_tag',
  'wrong_aad',
  'wrong_event',
  'other_amount',
  'other_merchant',
  'unknown_refund',
] as const;
type Forgery = (typeof V3_FORGERIES)[number];

/** Outside of the five minutes that receivers allow, whatever a delivery takes. */
const OFF_SECONDS = 310;
/** base64 digits of the last 3 bytes of the tag, with what fills them up. */
const TAG_CUT = 4;

/** What a forgery says. */
const CONTENTS: Readonly<Partial<Record<Forgery, (content: Content, world: World) => Content>>> = {
  wrong_event: (content) => ({
    ...content,
    eventType: content.eventType === 'REFUND.SUCCESS' ? 'REFUND.CLOSED' : 'REFUND.SUCCESS',
  }),
  other_amount: (content) => {
    const { amount } = content.resource;
    const { refund = 0, payer_refund: paid = 0, ...rest } = amount as Record<string, number>;
    return told(content, { amount: { ...rest, refund: refund + 1, payer_refund: paid + 1 } });
  },
  other_merchant: (content, world) => {
    const other = [...world.merchants.keys()].find((mchId) => mchId !== content.resource['mchid']);
    return told(content, { mchid: other ?? '1000000000' });
  },
  unknown_refund: (content) => told(content, { out_refund_no: `X${Formatter.nonce(16)}` }),
};

/** What a forgery does to the sealed resource, before it is signed. */
const RESOURCES: Readonly<Partial<Record<Forgery, (resource: Json) => Json>>> = {
  short_tag: (resource) => ({ ...resource, ciphertext: shortened(String(resource['ciphertext'])) }),
  wrong_aad: (resource) => ({ ...resource, associated_data: 'transaction' }),
};

/** What a forgery does to the headers, after the body was signed. */
const HEADERS: Readonly<Partial<Record<Forgery, (headers: SignatureHeaders) => SignatureHeaders>>> = {
  bad_sign: spoiled,
  signtest: probed,
  unknown_serial: (headers) => ({ ...headers, 'Wechatpay-Serial': unknownSerial(headers['Wechatpay-Serial'] ?? '') }),
};

const SKEWS: Readonly<Partial<Record<Forgery, number>>> = {
  old_timestamp: -OFF_SECONDS,
  future_timestamp: OFF_SECONDS,
};

const told = (content: Content, change: Json): Content => ({
  ...content,
  resource: { ...content.resource, ...change },
});

/** The ciphertext with 13 of the tag's 16 bytes. */
function shortened(ciphertext: string): string {
  const bytes = Buffer.from(ciphertext, 'base64');
  return bytes.subarray(0, bytes.length - TAG_CUT + 1).toString('base64');
}

/** One refund notice; `forge` null makes a good one. Null when nothing is sent for lack of an APIv3 key. */
export function v3RefundNotice(
  world: World,
  merchant: SimulatedMerchant,
  refund: SimulatedRefund,
  forge: string | null,
): Letter | null {
  if (merchant.apiV3Key === null) return null;
  const [word = '', status = ''] = (forge ?? '').split(':');
  const forgery = word as Forgery;
  const content = word === 'status' ? withStatus(refundContent(refund), status) : contentOf(world, refund, forgery);
  const body = bodyOf(newEvent(world), content, merchant.apiV3Key, forgery);
  const ms = world.signatureMs() + (SKEWS[forgery] ?? 0) * 1000;
  const headers = signatureHeaders(merchant.platform.forNotice(), body, ms);
  return letterOf(forgery === 'reserialised' ? reserialised(body) : body, HEADERS[forgery]?.(headers) ?? headers);
}

const withStatus = (content: Content, status: string): Content =>
  told({ ...content, eventType: `REFUND.${status}` }, { refund_status: status });

function contentOf(world: World, refund: SimulatedRefund, forgery: Forgery): Content {
  const genuine = refundContent(refund);
  return CONTENTS[forgery]?.(genuine, world) ?? genuine;
}

function bodyOf(event: Event, content: Content, apiV3Key: string, forgery: Forgery): string {
  const body = envelope(event, content, forgery === 'other_key' ? Formatter.nonce(apiV3Key.length) : apiV3Key);
  const change = RESOURCES[forgery];
  if (!change) return body;
  const whole = JSON.parse(body) as Json;
  return JSON.stringify({ ...whole, resource: change(whole['resource'] as Json) });
}
