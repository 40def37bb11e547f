import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { isLoopback, isPublicAddress } from './addresses.js';

const PORTS = ['', '443', '8443'];

/** Every address of a host name; rejects when there is none. */
export type Resolve = (hostname: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

/** The system's resolver, as a connection would use it. */
export const systemResolve: Resolve = (hostname) => lookup(hostname, { all: true });

/** An address that no event is sent to; the message names it. */
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
    } catch (error) {
      return error instanceof AddressRefused ? error.message : 'names a host that does not resolve';
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
    throw new AddressRefused(`leads to ${address}, which is not public`);
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
