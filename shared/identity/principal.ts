/** Where every kind of credential ends: who is calling, and until when that holds. */

import type { Principal } from "../policy/grant.ts";

export interface AuthenticatedPrincipal extends Principal {
  /** The token's own identity, where it has one (`jti`); what replay protection remembers. */
  readonly tokenId?: string;
  /** No later than this does the presented token prove anything. */
  readonly expiresAt: Date;
}

/**
 * The principal in one word, for messages, logs and session names: `github:repo:acme/app:ref:refs/heads/main`,
 * `clusters/eu-1:system:serviceaccount:ci:builder` where a template stands for many issuers, or `api_key.nightly`, which no
 * issuer's caller is called, since theirs have a colon.
 */
export function principalName({ source, member, subject }: Principal): string {
  if (!("issuer" in source)) return `api_key.${source.apiKey}`;
  return `${member === undefined ? source.issuer : `${source.issuer}/${member}`}:${subject}`;
}
