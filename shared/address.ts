/**
 * IP addresses and networks: where a request came from, and whether that is one of the networks that a key or a grant is
 * for. An address narrows what a caller may do; it never says who the caller is.
 */

import { BlockList, isIPv4, isIPv6, SocketAddress } from "node:net";

/**
 * The one way to write an address, or undefined where the text is not exactly one. IPv4 inside IPv6 (`::ffff:10.0.0.1`, as
 * a socket that listens for both reports it) is IPv4. With a port, a zone or a second address it is no address.
 */
export function normalAddress(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const { address } = new SocketAddress({ address: text, family: "ipv6" });
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}

export interface Networks {
  /** Of a normal address. */
  includes(address: string): boolean;
}

const known = new WeakMap<readonly string[], Networks>();

/** The networks of `cidrs`, which have been checked; made once for each list. */
export function networks(cidrs: readonly string[]): Networks {
  const made = known.get(cidrs) ?? networksOf(cidrs);
  known.set(cidrs, made);
  return made;
}

function networksOf(cidrs: readonly string[]): Networks {
  // One list each: in one alone, ::/0 would also hold every IPv4 address.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const cidr of cidrs) {
    const [network = "", length] = cidr.split("/");
    const family = isIPv4(network) ? "ipv4" : "ipv6";
    lists[family].addSubnet(network, Number(length), family);
  }
  return {
    includes(address) {
      const family = isIPv4(address) ? "ipv4" : "ipv6";
      return lists[family].check(address, family);
    },
  };
}
