import { BlockList, isIP } from 'node:net';

/** What no event is sent to: everything in IPv4 that is not global unicast. Source: IANA IPv4 Special-Purpose Address Registry. */
const REFUSED_IPV4 = [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // shared by carriers
  ['127.0.0.0', 8], // loopback
  ['169.254.0.0', 16], // link-local; the metadata services of clouds
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // 6to4 relays
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, broadcast
] as const;

/** In IPv6 only global unicast is let through, which leaves out mapped, translated (64:ff9b::), local and multicast addresses. */
const GLOBAL_IPV6 = [['2000::', 3]] as const;

/** What inside it is no place of its own. Source: IANA IPv6 Special-Purpose Address Registry. */
const REFUSED_IPV6 = [
  ['2001::', 23], // protocol assignments, Teredo, ORCHID
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4: any IPv4 address in disguise
  ['3fff::', 20], // documentation
] as const;

type Network = readonly [network: string, prefix: number];

function listOf(family: 'ipv4' | 'ipv6', networks: readonly Network[]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of networks) list.addSubnet(network, prefix, family);
  return list;
}

const refusedIpv4 = listOf('ipv4', REFUSED_IPV4);
const globalIpv6 = listOf('ipv6', GLOBAL_IPV6);
const refusedIpv6 = listOf('ipv6', REFUSED_IPV6);
const loopback = listOf('ipv4', [['127.0.0.0', 8]]);
loopback.addAddress('::1', 'ipv6');

/** True for 127.0.0.0/8 and ::1 as such, in no other dress. */
export function isLoopback(address: string): boolean {
  return isIP(address) === 4 ? loopback.check(address, 'ipv4') : address === '::1';
}

/** True when events may be sent to this address: a global unicast one. Text that is no address is refused. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !refusedIpv4.check(address, 'ipv4');
  // A zone (fe80::1%eth0) is never global.
  if (family !== 6 || address.includes('%')) return false;
  return globalIpv6.check(address, 'ipv6') && !refusedIpv6.check(address, 'ipv6');
}
