import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { isLoopback, isPublicAddress } from './addresses.js';

const PORTS = ['', '443', '8443'];

/** Every address of a host name; rejects when there is none. */
export type Resolve = (hostname: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

/** With two tries less than the time to connect. */
const resolver = new Resolver({ timeout: 1500, tries: 2 });

/**
 * Asks the name servers and nobody else: the system's own lookup runs on four threads for the whole process, so a few names whose
 * servers hang would hold up every other receiver. The machine's own names are not found by it, and are not public either.
 */
export const systemResolve: Resolve = async (hostname) => {
  if (hostname === 'localhost') return LOCALHOST;
  const [v4, v6] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  if (v4.status === 'rejected' && v6.status === 'rejected') throw v4.reason;
  return [
    ...(v4.status === 'fulfilled' ? v4.value.map((address) => ({ address, family: 4 })) : []),
    ...(v6.status === 'fulfilled' ? v6.value.map((address) => ({ address, family: 6 })) : []),
  ];
};

/** As RFC 6761 has it. */
const LOCALHOST = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
] as const;

/** One text for every reason, so that nobody learns by it what a name means inside our network. */
const HOST_REFUSED = 'must name a host that has addresses, and public ones only';

/** An address that no event is sent to. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}

/** Where events may go, at save and again at every connect. `allowLoopback` is the development switch. */
export class WebhookTargets {
  constructor(
    private readonly allowLoopback: boolean,
    private readonly resolve: Resolve = systemResolve,
  ) {}

  /** Why a URL may not be saved, in words for its owner; null when it may. Its host must resolve, to allowed addresses only. */
  async refusalOf(text: string): Promise<string | null> {
    if (!URL.canParse(text)) return 'is not a URL';
    const url = new URL(text);
    const form = refusalOfForm(url, text, this.allowLoopback && isLocal(hostOf(url)));
    if (form !== null) return form;
    try {
      await this.addressesOf(hostOf(url));
      return null;
    } catch {
      return HOST_REFUSED;
    }
  }

  /**
   * The addresses a connection to this host may use: all it has. One that is not public refuses the whole set, so that nobody
   * can hide one behind another. Throws {@link AddressRefused}, or what the resolver throws.
   */
  async addressesOf(hostname: string): Promise<readonly { readonly address: string; readonly family: number }[]> {
    const family = isIP(hostname);
    const addresses = family === 0 ? await this.resolve(hostname) : [{ address: hostname, family }];
    const [first] = addresses;
    if (first === undefined) throw new Error('the host has no address');
    for (const { address } of addresses) this.assertAllowed(address);
    return addresses;
  }

  /** Throws {@link AddressRefused} unless events may be sent to this address. */
  assertAllowed(address: string): void {
    if (isPublicAddress(address) || (this.allowLoopback && isLoopback(address))) return;
    throw new AddressRefused(HOST_REFUSED);
  }
}

/** The host of a URL without the brackets of an IPv6 address. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

/** What is wrong with the URL as it is written; `local` is a receiver on this machine that the development switch lets pass. */
function refusalOfForm(url: URL, text: string, local: boolean): string | null {
  const rules: readonly (readonly [boolean, string])[] = [
    [url.username !== '' || url.password !== '', 'must not hold a user or password'],
    [text.includes('#'), 'must not hold a fragment'],
    [url.protocol !== 'https:' && !(local && url.protocol === 'http:'), 'must start with https://'],
    [!PORTS.includes(url.port) && !local, 'must use port 443 or 8443'],
  ];
  return rules.find(([broken]) => broken)?.[1] ?? null;
}

function isLocal(hostname: string): boolean {
  return hostname === 'localhost' || isLoopback(hostname);
}
