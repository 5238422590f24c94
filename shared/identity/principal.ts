/** Where every kind of credential ends: who is calling, and until when that holds. */

import type { Principal } from "../policy/grant.ts";

export interface AuthenticatedPrincipal extends Principal {
  /** The token's own identity, where it has one (`jti`); what replay protection remembers. */
  readonly tokenId?: string;
  /** No later than this does the presented token prove anything. */
  readonly expiresAt: Date;
}

/** The principal in one word, for messages, logs and session names: `github:repo:acme/app:ref:refs/heads/main`. */
export function principalName(principal: Principal): string {
  const source = "issuer" in principal.source ? principal.source.issuer : principal.source.apiKey;
  return `${source}:${principal.subject}`;
}
