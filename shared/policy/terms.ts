/**
 * The terms on which a credential of a decision would be asked for: how long it lives, and the session policy that narrows
 * it. Where there can be none, why not. Pure; issuing and explaining both go by it, so that they cannot disagree.
 */

import type { Decision } from "./decision.ts";
import { LONGEST_SESSION_POLICY, type RegistryLocation, SessionPolicy } from "./session-policy.ts";

export type AllowedDecision = Extract<Decision, { outcome: "allow" }>;

/** Seconds, both. */
export interface LifetimeWish {
  /** Left out: as long as the decision allows. */
  readonly ttlSeconds?: number | undefined;
  /** What the caller needs at the least. */
  readonly minTtlSeconds?: number | undefined;
}

export type Terms = { readonly lifetimeSeconds: number } & (
  | { readonly policy: SessionPolicy }
  | {
      readonly refused: "invalid_request" | "policy_too_large";
      /** What to ask for instead. */
      readonly detail: string;
      /** Of the session policy, where it is what is too large. */
      readonly characters?: number;
    }
);

/** @throws Error as `SessionPolicy.of` does */
export function termsOf(
  { rights, grants, maxTtlSeconds }: AllowedDecision,
  location: RegistryLocation,
  { ttlSeconds, minTtlSeconds }: LifetimeWish,
): Terms {
  const lifetimeSeconds = Math.min(ttlSeconds ?? maxTtlSeconds, maxTtlSeconds);
  if (minTtlSeconds !== undefined && minTtlSeconds > lifetimeSeconds) {
    const names = grants.map((grant) => grant.name).join(", ");
    const detail = `min_ttl is ${minTtlSeconds}, and the credential lives ${lifetimeSeconds} s; ask for less, or raise max_ttl of ${names}`;
    return { lifetimeSeconds, refused: "invalid_request", detail };
  }
  const result = SessionPolicy.of(rights, location);
  if ("policy" in result) return { lifetimeSeconds, policy: result.policy };
  const { characters } = result;
  const detail = `the ${rights.scopes.length} scopes make a session policy of ${characters} characters, and STS takes ${LONGEST_SESSION_POLICY}; ask for fewer at once, or for a whole namespace where a grant allows it`;
  return { lifetimeSeconds, refused: "policy_too_large", detail, characters };
}
