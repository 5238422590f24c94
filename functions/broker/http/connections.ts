/** What one connection may take of the process, and how many there may be: node:http's limits, set. docs/reliability.md has all of them. */

import type { Server, ServerOptions } from "node:http";

export const CONNECTION_LIMITS: ServerOptions = {
  // Function Compute keeps connections to an instance open and takes a closed one for a failure.
  keepAliveTimeout: 0,
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  // How late those two may be; with Node's own 30 s whoever sends nothing would stay for 40 s.
  connectionsCheckingInterval: 5_000,
  // Function Compute allows 8 KB of headers; elsewhere a token of 8 KiB must still get an answer that says so.
  maxHeaderSize: 32 * 1024,
};

/** A hundred times what Function Compute sends to an instance. */
const MOST_CONNECTIONS = 10_000;

/**
 * Closes each further one unread. As idle ones are otherwise kept, all of them are closed then, so that there is room for the next
 * caller; those that never sent a request have `headersTimeout`.
 */
export function limitConnections(server: Server, most = MOST_CONNECTIONS): void {
  server.maxConnections = most;
  server.on("drop", () => server.closeIdleConnections());
}
