/**
 * Where a request comes from, or that this cannot be known. Outside Function Compute that is the connection's other end.
 * Inside, every connection comes from the platform, which documents no header for the caller's address that the caller
 * could not write himself (x-forwarded-for is forgeable, and its order undocumented): there it is unknown, unless the
 * operator names the header that his own gateway sets.
 */

import { normalAddress } from "../../shared/address.ts";
import { type Environment, isFunctionCompute } from "../../shared/alibaba/role-keys.ts";
import type { BrokerConfig } from "../../shared/config/config.ts";

/** As much of a request as it is found by; Hono's context is one. */
export interface Arriving {
  readonly req: { header(name: string): string | undefined };
  /** The server's `Connection`. */
  readonly env: unknown;
}

/** The address at a connection's other end. */
export type SocketAddress = (request: Arriving) => string | undefined;

/** For each request its address in normal form; undefined where it is not known for certain. */
export function clientAddress(
  { clientAddress }: BrokerConfig,
  environment: Environment,
  socketAddress: SocketAddress,
): SocketAddress {
  // Never both: without its header, a request has come past the gateway.
  if (clientAddress !== undefined) return ({ req }) => normalAddress(req.header(clientAddress.header));
  if (isFunctionCompute(environment)) return () => undefined;
  return (request) => normalAddress(socketAddress(request));
}

/** Keys and grants that cannot open anything here, in words for the log at the start. */
export function withoutUse({ apiKeys, grants, clientAddress }: BrokerConfig, environment: Environment): string[] {
  if (clientAddress !== undefined || !isFunctionCompute(environment)) return [];
  const limited = [
    ...[...apiKeys.values()].filter(({ cidrs }) => cidrs.length > 0).map(({ name }) => `API key ${name}`),
    ...grants
      .filter(({ limits = [] }) => limits.some(({ kind }) => kind === "network"))
      .map(({ name }) => `grant ${name}`),
  ];
  return limited.map(
    (what) =>
      `${what} opens nothing: it has cidrs, and in Function Compute a caller's address is known only from the header of a gateway of your own (client_address)`,
  );
}
