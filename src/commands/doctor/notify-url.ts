import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Settings } from '../../config/settings.js';
import { isPublicAddress } from '../../events/addresses.js';
import { type Check, fail, ok, warn } from './check.js';

const NAME = 'notify URL';
/** WeChat's notify_url holds at most 256 characters; ours ends in /notify/wechat/<32 hex>/payment. */
const URL_MAX = 256;
const PATH_LENGTH = '/notify/wechat/'.length + 32 + '/payment'.length;

/** What WeChat is told to call, by WeChat's rules: https, a public name, port 443, no query. Source: WeChat Pay, "回调通知注意事项". */
export async function checkNotifyUrl({ publicUrl, wechatpayHostIsReal }: Settings): Promise<Check[]> {
  const faults = notifyUrlFaults(publicUrl);
  const { hostname } = new URL(publicUrl);
  if (faults.length > 0) {
    const judge = wechatpayHostIsReal ? fail : warn;
    return faults.map((fault) => judge(NAME, `${publicUrl} ${fault}`, 'set PUBLIC_URL to what WeChat can call'));
  }
  const addresses = await lookup(hostname, { all: true }).catch(() => []);
  if (addresses.length === 0)
    return [warn(NAME, `${hostname} has no address here`, 'see that it has one for WeChat, in the public DNS')];
  const inside = addresses.filter(({ address }) => !isPublicAddress(address)).map(({ address }) => address);
  if (inside.length > 0)
    return [warn(NAME, `${hostname} is ${inside.join(', ')} here`, 'see that the public DNS has another address')];
  return [ok(NAME, `${publicUrl}/notify/… keeps WeChat’s rules`)];
}

/** Every rule that a base URL breaks; empty for none. Pure. */
export function notifyUrlFaults(publicUrl: string): string[] {
  const { protocol, hostname, port, search, hash } = new URL(publicUrl);
  const address = isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
  return [
    ...(protocol === 'https:' ? [] : ['is not https']),
    ...(address || !hostname.includes('.') ? ['names no public host'] : []),
    ...(port === '' ? [] : [`has the port ${port}; WeChat calls 443`]),
    ...(search === '' && hash === '' && !publicUrl.includes('?') ? [] : ['has a query']),
    ...(publicUrl.length + PATH_LENGTH <= URL_MAX ? [] : ['is too long: 256 characters with the path']),
  ];
}
