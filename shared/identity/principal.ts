/** Where every kind of credential ends: who is calling, and until when that holds. */

import type { Principal } from "../policy/grant.ts";

export interface AuthenticatedPrincipal extends Principal {
  /** The token's own identity, where it has one (`jti`); what replay protection remembers. */
  readonly tokenId?: string;
  /** No later than this does the presented token prove anything. */
  readonly expiresAt: Date;
}

/**
 * The principal in one word, for messages, logs and session names: `github:repo:acme/app:ref:refs/heads/main`, or
 * `api_key.nightly`, which no issuer's caller is called, since theirs have a colon.
 */
export function principalName({ source, subject }: Principal): string {
  return "issuer" in source ? `${source.issuer}:${subject}` : `api_key.${source.apiKey}`;
}
