import { createPublicKey, randomBytes, X509Certificate } from 'node:crypto';
import { KEY_KINDS, PlatformKeys } from '../platform-keys.js';
import { BadWish, type Wish } from '../wish.js';
import type { SimulatedMerchant, World } from '../world.js';

const DEFAULT_BALANCE_FEN = 1_000_000_000;
const VALID_DAYS = 1825;
/** An APIv2 or APIv3 key has 32 characters. */
const KEY_BYTES = 16;
const API_V3_KEY = /^[0-9A-Za-z]{32}$/;

const newKey = (): string => randomBytes(KEY_BYTES).toString('hex');

export function merchantOf(world: World, mchId: string): SimulatedMerchant {
  const merchant = world.merchants.get(mchId);
  if (!merchant) throw new BadWish('mch_id', 'names no merchant');
  return merchant;
}

/** Makes a merchant, or changes what is named of a known one. */
export function putMerchant(world: World, wish: Wish): unknown {
  const mchId = wish.text('mch_id');
  const known = world.merchants.get(mchId);
  const merchant: SimulatedMerchant = known ?? newMerchant(world, mchId);
  setPlatform(merchant.platform, wish);
  world.merchants.set(mchId, merchant);
  for (const appid of wish.texts('appids')) merchant.appids.add(appid);
  merchant.apiV2Key = wish.optionalText('api_v2_key') ?? merchant.apiV2Key;
  if (wish.has('api_v3_key')) merchant.apiV3Key = apiV3Key(wish);
  merchant.balanceFen = wish.integer('balance_fen', merchant.balanceFen);
  merchant.vendorNotifyUrl = wish.optionalText('vendor_notify_url') ?? merchant.vendorNotifyUrl;
  merchant.visibilityLagMs = wish.integer('visibility_lag_ms', merchant.visibilityLagMs);
  merchant.settleAfterMs = wish.has('settle_after_ms') ? wish.integerOrNull('settle_after_ms') : merchant.settleAfterMs;
  merchant.muteNotices = wish.flag('mute_notices', merchant.muteNotices);
  merchant.noAuth = wish.flag('no_auth', merchant.noAuth);
  const shown = { mch_id: mchId, appids: [...merchant.appids], serial: merchant.serial };
  return { ...(known ? shown : issueCertificate(world, merchant, wish)), ...v3Material(merchant) };
}

function newMerchant(world: World, mchId: string): SimulatedMerchant {
  return {
    mchId,
    apiV2Key: newKey(),
    apiV3Key: newKey(),
    appids: new Set(),
    balanceFen: DEFAULT_BALANCE_FEN,
    revoked: new Set(),
    serial: '',
    apiCertificate: null,
    platform: new PlatformKeys(world.platformAuthority, mchId),
    vendorNotifyUrl: null,
    visibilityLagMs: 0,
    settleAfterMs: null,
    muteNotices: false,
    noAuth: false,
  };
}

/** Which keys WeChat has towards the merchant, and which of them signs notices: the one that is left when the other is off. */
function setPlatform(platform: PlatformKeys, wish: Wish): void {
  const on = {
    public_key: wish.flag('public_key', platform.publicKeyOn),
    certificate: wish.flag('platform_certificates', platform.certificatesOn),
  };
  if (!on.public_key && !on.certificate)
    throw new BadWish('public_key', 'and platform_certificates cannot both be off');
  const asked = wish.has('notice_key') ? wish.oneOf('notice_key', KEY_KINDS) : platform.noticeKind;
  if (wish.has('notice_key') && !on[asked]) throw new BadWish('notice_key', 'names a key that is off');
  platform.publicKeyOn = on.public_key;
  platform.certificatesOn = on.certificate;
  platform.noticeKind = on[asked] ? asked : on.public_key ? 'public_key' : 'certificate';
  platform.signtestEvery = wish.integer('signtest_every', platform.signtestEvery);
}

function v3Material({ apiV3Key: api_v3_key, platform }: SimulatedMerchant): object {
  return {
    api_v3_key,
    platform_certificates: platform.certificatesOn,
    public_key: platform.publicKeyOn,
    notice_key: platform.noticeKind,
    wechatpay_public_key_id: platform.publicKeyId,
    // One that is off need not be made.
    wechatpay_public_key_pem: platform.publicKeyOn ? platform.publicKeyPem : null,
  };
}

function apiV3Key(wish: Wish): string | null {
  const key = wish.textOrNull('api_v3_key');
  if (key !== null && !API_V3_KEY.test(key)) throw new BadWish('api_v3_key', 'must be 32 letters and digits');
  return key;
}

/** Hands out a certificate, which is the one in force from now on. */
function issueCertificate(world: World, merchant: SimulatedMerchant, wish: Wish): object {
  const certificate = world.authority.issue(merchant.mchId, wish.integer('valid_days', VALID_DAYS));
  merchant.serial = certificate.serial;
  merchant.apiCertificate = {
    publicKey: createPublicKey(certificate.certificatePem),
    endMs: Date.parse(new X509Certificate(certificate.certificatePem).validTo),
  };
  return {
    mch_id: merchant.mchId,
    api_v2_key: merchant.apiV2Key,
    appids: [...merchant.appids],
    certificate_pem: certificate.certificatePem,
    private_key_pem: certificate.privateKeyPem,
    certificate_p12: certificate.p12,
    serial: certificate.serial,
  };
}

/** `add_fen` adds, `balance_fen` sets. */
export function setBalance(world: World, wish: Wish, mchId: string): unknown {
  const merchant = merchantOf(world, mchId);
  merchant.balanceFen = wish.has('balance_fen')
    ? wish.integer('balance_fen', 0)
    : merchant.balanceFen + wish.integer('add_fen', 0);
  return { mch_id: mchId, balance_fen: merchant.balanceFen };
}

/** Revokes, restores or renews the merchant's own certificate. */
export function changeCertificate(world: World, wish: Wish, mchId: string): unknown {
  const merchant = merchantOf(world, mchId);
  const action = wish.oneOf('action', ['revoke', 'restore', 'renew'] as const);
  if (action === 'revoke') merchant.revoked.add(merchant.serial);
  else if (action === 'restore') merchant.revoked.clear();
  else return issueCertificate(world, merchant, wish);
  return { mch_id: mchId, serial: merchant.serial, revoked: [...merchant.revoked] };
}

/**
 * Sets or, without a given one, makes anew one key: that of `kind`, else the given one's, else the V2 key. A null `api_v3_key` unsets it.
 */
export function changeKey(world: World, wish: Wish, mchId: string): unknown {
  const merchant = merchantOf(world, mchId);
  const kind = wish.has('kind') ? wish.oneOf('kind', ['v2', 'v3'] as const) : wish.has('api_v3_key') ? 'v3' : 'v2';
  if (kind === 'v2') {
    merchant.apiV2Key = wish.optionalText('api_v2_key') ?? newKey();
    return { mch_id: mchId, api_v2_key: merchant.apiV2Key };
  }
  merchant.apiV3Key = wish.has('api_v3_key') ? apiV3Key(wish) : newKey();
  return { mch_id: mchId, api_v3_key: merchant.apiV3Key };
}

/** `rotate` makes a new platform certificate that signs from now on, beside the old ones; `retire` takes the old ones away. */
export function changePlatformCertificate(world: World, wish: Wish, mchId: string): unknown {
  const { platform } = merchantOf(world, mchId);
  if (!platform.certificatesOn) throw new BadWish('mch_id', 'has no platform certificates');
  const action = wish.oneOf('action', ['rotate', 'retire'] as const);
  // Those before come into being first, so that there is something to rotate from.
  const { length } = platform.certificates;
  if (action === 'rotate' && length > 0) platform.rotate();
  else platform.retire();
  const serials = platform.certificates.map(({ serial }) => serial);
  return { mch_id: mchId, serial: serials.at(-1), serials };
}
